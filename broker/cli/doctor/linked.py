"""Handshake, rights, round trip, large frames, clock and mesh: peering as any endpoint does, and looking at it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import time_ns
from typing import Final

import trio

import broker
from broker.cli.doctor.steps import Finding, StepFailed
from broker.cli.identity import Identity
from broker.cli.running import counted

__all__ = ["Visit"]

# Its topics are nobody's: "$" keeps them out of what people name theirs.
_PROBE: Final = "$doctor/"
_LARGE_BYTES: Final = 16_384
_PREFIX_BYTES: Final = 240
_ROUND_TRIPS: Final = 5
_CLOCK_WARNING_S: Final = 1.0
_SLOW_S: Final = 0.5


class Visit:
    """One link with the endpoint, and what was seen over it."""

    def __init__(self, endpoint: broker.Endpoint, address: str, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._address = address
        self._timeout_s = timeout_s
        self._round_trip_s = 0.0
        self._name = ""

    async def handshake(self, identity: Identity) -> Finding:
        """Peer; raises StepFailed, with what the library says and what else is known of it."""
        began = trio.current_time()
        try:
            await identity.peer_all(self._endpoint, [self._address], self._timeout_s)
        except broker.PeeringError as error:
            raise StepFailed(_without_address(error), _advice(error), error=type(error).__name__) from None
        took_s = trio.current_time() - began
        self._name = next((peer.name for peer in self._endpoint.peers() if peer.dialled), "?")
        return Finding(
            "handshake",
            "ok",
            f"{self._name} took us in as {self._endpoint.name}, in {took_s * 1e3:.0f} ms",
            details={"peer": self._name, "ourselves": self._endpoint.name, "took_s": round(took_s, 6)},
        )

    async def rights(self, prefixes: Sequence[str], changes: broker.StatusReader) -> Finding:
        """Subscribe to what was asked for: the rules at the other end refuse it, or not."""
        if not prefixes:
            return Finding("rights", "skipped", "say --subscribe PREFIX to try whether the rules there allow it")
        async with AsyncExitStack() as stack:
            for prefix in prefixes:
                await stack.enter_async_context(self._endpoint.subscribe(prefix))
            refused = await self._refusals(changes)
        if refused:
            key = refused[0].key
            raise StepFailed(
                "; ".join(str(change) for change in refused),
                f"at {self._name}: broker keys trust KEY --name NAME --subscribe PREFIX, for our key {key}",
                refused=[change.what for change in refused],
            )
        return Finding("rights", "ok", f"we may subscribe to {', '.join(map(repr, prefixes))}")

    async def round_trip(self) -> Finding:
        """Time how long a subscription takes to be acknowledged: what is slow there shows in it."""
        times = []
        for number in range(_ROUND_TRIPS):
            began = trio.current_time()
            with trio.move_on_after(self._timeout_s) as scope:
                async with self._endpoint.subscribe(f"{_PROBE}{number}"):
                    times.append(trio.current_time() - began)
            if scope.cancelled_caught:
                raise StepFailed(f"no acknowledgement within {self._timeout_s:g} s", "its program is busy, or hangs")
        self._round_trip_s = min(times)
        found = f"{self._round_trip_s * 1e3:.2f} ms at best, {max(times) * 1e3:.2f} ms at worst of {_ROUND_TRIPS}"
        details = {"best_s": round(min(times), 6), "worst_s": round(max(times), 6)}
        if max(times) > _SLOW_S:
            advice = "its program, or one of ours, keeps the processor busy: work that takes long belongs in a thread"
            return Finding("round trip", "warning", found, advice, details)
        return Finding("round trip", "ok", found, details=details)

    async def large_frames(self, changes: broker.StatusReader) -> Finding:
        """Send more than many packets hold, as subscriptions, and wait until they are acknowledged."""
        count = -(-_LARGE_BYTES // _PREFIX_BYTES)
        began = trio.current_time()
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            with trio.move_on_after(self._timeout_s) as scope:
                async with trio.open_nursery() as opening:
                    for number in range(count):
                        prefix = f"{_PROBE}{number}/".ljust(_PREFIX_BYTES, "x")
                        opening.start_soon(stack.enter_async_context, self._endpoint.subscribe(prefix))
            nursery.cancel_scope.cancel()
        took_s = trio.current_time() - began
        if scope.cancelled_caught:
            raise StepFailed(
                f"{_LARGE_BYTES:,} bytes were not acknowledged within {self._timeout_s:g} s, though small frames were",
                "packets of full size get lost on the way: lower the MTU of this machine's interface ('ip link set "
                "dev ... mtu 1400') and try again, or let ICMP 'fragmentation needed' through the firewalls",
            )
        refused = self._refused_already(changes)
        note = " (the rules there refuse them; they arrived)" if refused else ""
        return Finding(
            "large frames",
            "ok",
            f"{_LARGE_BYTES:,} bytes at once were acknowledged in {took_s * 1e3:.0f} ms{note}",
            details={"bytes": _LARGE_BYTES, "took_s": round(took_s, 6)},
        )

    async def clock(self, prefixes: Sequence[str], wait_s: float) -> Finding:
        """Compare the time that a message of its carries with ours; what it took to come is in the difference."""
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            found: list[float] = []

            async def read(messages: broker.Subscriber) -> None:
                async for message in messages:
                    if message.origin == self._name:
                        found.append((time_ns() - message.time_ns) / 1e9)
                        nursery.cancel_scope.cancel()

            for prefix in prefixes:
                options = {"overflow": "drop_oldest"}
                messages = await stack.enter_async_context(self._endpoint.subscribe(prefix, **options))  # type: ignore[arg-type]
                nursery.start_soon(read, messages)
            with trio.move_on_after(wait_s):
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        if not found:
            what = " or ".join(map(repr, prefixes))
            return Finding(
                "clock",
                "skipped",
                f"it published nothing on {what} within {wait_s:g} s, and only messages carry its time",
                "Endpoint(report_every=1) publishes its figures; --subscribe PREFIX names topics that it publishes on",
            )
        # On its way it was for half a round trip, or longer when it was published before we subscribed.
        ahead_s = self._round_trip_s / 2 - found[0]
        details = {"ahead_s": round(ahead_s, 6), "uncertain_s": round(self._round_trip_s / 2, 6)}
        if abs(ahead_s) < _CLOCK_WARNING_S:
            text = f"as ours, to {abs(ahead_s) * 1e3:.0f} ms, by the time of a message and half a round trip"
            return Finding("clock", "ok", text, details=details)
        text = f"{abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} ours, by the time of a message"
        advice = "peering does not depend on it, but times in messages, expiry of keys and since= do: use NTP"
        return Finding("clock", "warning", text, advice, details)

    def mesh(self) -> Finding:
        """Say what it relays, and what is wanted behind it."""
        mesh = self._endpoint.mesh()
        near = next(iter(mesh.neighbours(mesh.ourselves.id)), None)
        if near is None:
            raise StepFailed("the link is gone again", "'broker sub' with the same options tells why")
        others = [each for each in mesh.endpoints[1:] if each is not near and each.hops is not None]
        wanted = len(near.subscriptions)
        kind = "relays for" if near.forward else "is a leaf, and relays nothing; besides it we see"
        text = (
            f"{self._name} {kind} {counted(len(others), 'other endpoint')}, and has {counted(wanted, 'subscription')}"
        )
        details = {
            "forward": near.forward,
            "endpoints": [each.name for each in others],
            "subscriptions": [each.prefix for each in near.subscriptions],
        }
        return Finding("mesh", "ok", text, details=details)

    async def _refusals(self, changes: broker.StatusReader) -> list[broker.AccessRefused]:
        """What was refused to us, once what we sent so far has been answered."""
        # A refusal is on its way before the acknowledgement of what comes after it.
        async with self._endpoint.subscribe(f"{_PROBE}rights"):
            pass
        return self._refused_already(changes)

    def _refused_already(self, changes: broker.StatusReader) -> list[broker.AccessRefused]:
        found = []
        try:
            while True:
                change = changes.receive_nowait()
                if isinstance(change, broker.AccessRefused) and not change.what.startswith(_PROBE):
                    found.append(change)
        except trio.WouldBlock:
            return found


def _without_address(error: broker.PeeringError) -> str:
    return str(error).removeprefix(f"{error.address}: ")


def _advice(error: broker.PeeringError) -> str:
    if isinstance(error, broker.VersionMismatch):
        return f"this is broker {broker.__version__}: the older of the two ends has to be updated"
    if isinstance(error, broker.DuplicateName):
        return "give this end another name (--endpoint NAME); of a key's holder, its name or one that begins with it"
    if isinstance(error, broker.AuthenticationFailed):
        return (
            "compare both ends' 'broker keys list': each has to trust the other's key ('broker keys trust'), unexpired "
            "and unrevoked; 'broker keys show' tells which key an end has"
        )
    if isinstance(error, broker.AuthorizationFailed):
        return "the rules at the other end say what our key may do: 'broker keys list' there"
    return "ZeroMQ answers, but no endpoint behind it: is it another program's port, or does the program hang?"
