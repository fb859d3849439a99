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
from broker.topics import RESERVED

__all__ = ["Visit"]

_TIMES: Final = "Endpoint(report_every=1) publishes figures; --subscribe PREFIX names other topics that it publishes on"
# In one frame, of which Ethernet takes a dozen packets; and how long the name of an event may be.
_LARGE_BYTES: Final = 16_384
_NAME_BYTES: Final = 128
_ROUND_TRIPS: Final = 5
_HEARTBEAT_S: Final = 3.0
_LOOK_S: Final = 0.02
_CLOCK_WARNING_S: Final = 1.0
_SLOW_S: Final = 0.5


class Visit:
    """One link with the endpoint, and what was seen over it."""

    def __init__(self, endpoint: broker.Endpoint, address: str, timeout_s: float, *, have_keys: bool) -> None:
        self._endpoint = endpoint
        self._address = address
        self._timeout_s = timeout_s
        self._have_keys = have_keys
        self._allowed: Sequence[str] = ()  # of the prefixes that were asked for
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
            return Finding("rights", "skipped", "say --subscribe PREFIX to try whether the rules there allow that")
        refused: dict[str, broker.AccessRefused] = {}
        for prefix in prefixes:
            try:
                # A refusal of the first is told before the second is acknowledged.
                for _ in range(2):
                    async with self._endpoint.subscribe(prefix):
                        pass
            except broker.NotPermitted as error:
                return Finding(
                    "rights", "failed", str(error), "see 'broker keys list': the rules here have our own key"
                )
            refused |= {change.what: change for change in _refusals(changes)}
        self._allowed = [prefix for prefix in prefixes if prefix not in refused]
        if not refused:
            return Finding("rights", "ok", f"we may subscribe to {', '.join(map(repr, prefixes))}")
        one = next(iter(refused.values()))
        return Finding(
            "rights",
            "failed",
            f"we may not subscribe to {', '.join(map(repr, refused))}: the rules of {one.refused_by} refuse it",
            f"there: broker keys trust {one.key} --name NAME --subscribe PREFIX, or --group GROUP",
            {"refused": list(refused), "allowed": self._allowed},
        )

    def _probe(self) -> str | None:
        """A prefix that nobody publishes on, and that is not refused: refusals are alarms at the other end."""
        if self._have_keys:
            return f"{self._allowed[0]}$doctor/" if self._allowed else None
        return "$doctor/"

    async def round_trip(self) -> Finding:
        """Time how long a subscription takes to be acknowledged: what is slow there shows in it."""
        probe = self._probe()
        if probe is None:
            return await self._heartbeat()
        times = []
        for _ in range(_ROUND_TRIPS):
            began = trio.current_time()
            with trio.move_on_after(self._timeout_s) as scope:
                async with self._endpoint.subscribe(probe):
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

    async def _heartbeat(self) -> Finding:
        """Wait for the heartbeat that an idle link has each second."""
        with trio.move_on_after(max(self._timeout_s, _HEARTBEAT_S)):
            while not (rtt_s := next((peer.rtt_s for peer in self._endpoint.peers() if peer.dialled), None)):  # noqa: ASYNC110 - no event tells of heartbeats
                await trio.sleep(_LOOK_S)
            self._round_trip_s = rtt_s
            found = f"{rtt_s * 1e3:.2f} ms, of a heartbeat"
            return Finding("round trip", "ok", found, details={"best_s": round(rtt_s, 6), "worst_s": round(rtt_s, 6)})
        raise StepFailed("no heartbeat came back", "its program is busy, or hangs")

    async def large_frames(self) -> Finding:
        """Send what takes many packets, as a subscription to events of long names, until it is acknowledged."""
        probe = self._probe()
        if probe is None:
            advice = "say --subscribe PREFIX, one that the rules there allow: large frames are subscriptions to it"
            return Finding("large frames", "skipped", "we may send nothing without a right", advice)
        names = [f"doctor-{number}-".ljust(_NAME_BYTES, "x") for number in range(-(-_LARGE_BYTES // _NAME_BYTES))]
        began = trio.current_time()
        with trio.move_on_after(self._timeout_s) as scope:
            async with self._endpoint.subscribe(probe, *names):
                pass
        took_s = trio.current_time() - began
        if scope.cancelled_caught:
            raise StepFailed(
                f"{_LARGE_BYTES:,} bytes were not acknowledged within {self._timeout_s:g} s, though small frames were",
                "packets of full size get lost on the way: lower the MTU of this machine's interface ('ip link set "
                "dev ... mtu 1400') and try again, or let ICMP 'fragmentation needed' through the firewalls",
            )
        return Finding(
            "large frames",
            "ok",
            f"{_LARGE_BYTES:,} bytes in one frame, acknowledged in {took_s * 1e3:.1f} ms",
            details={"bytes": _LARGE_BYTES, "took_s": round(took_s, 6)},
        )

    async def clock(self, wait_s: float) -> Finding:
        """Compare the time that a message of its carries with ours; what it took to come is in the difference."""
        prefixes = list(self._allowed) if self._have_keys else [f"{RESERVED}{self._name}/", *self._allowed]
        if not prefixes:
            return Finding("clock", "skipped", "only messages carry its time, and we have no right to any", _TIMES)
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
                _TIMES,
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


def _refusals(changes: broker.StatusReader) -> list[broker.AccessRefused]:
    """What was refused to us so far."""
    found = []
    try:
        while True:
            change = changes.receive_nowait()
            if isinstance(change, broker.AccessRefused):
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
