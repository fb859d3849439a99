"""One run of ``broker bench``: round trips first, then a flood of events for a few seconds."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median, quantiles
from typing import Any, Final

import attrs
import trio

import broker
from broker.cli.bench.traffic import Asked, Counted, Figure
from broker.cli.exits import FAILED
from broker.cli.identity import Identity
from broker.cli.jsonform import dumps
from broker.cli.progress import progress
from broker.cli.standard import Output, printable
from broker.cli.tables import fields_table

__all__ = ["Bench"]

_EVENT: Final = ("web-01", "/var/lib/broker", 0.91)
# Enough for a median that is the same the next time, and soon over where a round trip takes long.
_ROUND_TRIPS: Final = 2000
_ROUND_TRIPS_S: Final = 2.0
_WARM_UP_S: Final = 0.5
# Events between two looks at the clock.
_LOOK_EVENTS: Final = 500


@attrs.frozen
class Bench:
    """One run of the command."""

    address: str | None  # None: between two processes of this machine, over loopback TCP
    identity: Identity
    topic: str
    seconds: float
    timeout_s: float

    async def __call__(self, output: Output) -> int:
        """Measure, and tell with what and by which way."""
        async with self.identity.endpoint(linger_s=0, forward=self.address is None) as endpoint:
            way = await self._way(endpoint)
            mine = endpoint.subscribe(f"{self.topic}pong", Figure), endpoint.subscribe(f"{self.topic}count", Counted)
            async with mine[0] as pongs, mine[1] as counts, self._partner(way["address"]):
                for name in ("ping", "flood"):
                    await self._reader(endpoint, f"{self.topic}{name}", way)
                trips = await self._round_trips(endpoint, pongs)
                await self._flood(endpoint, counts, min(_WARM_UP_S, self.seconds), "warming up")
                sent, took_s, counted = await self._flood(endpoint, counts, self.seconds, "events")
        form = {**way, **_trips_form(trips), "events": sent, "took_s": round(took_s, 3)}
        form |= {"events_per_s": round(counted.received / took_s), "lost": sent - counted.received, **_machine()}
        await output.write(fields_table(_told(form)) if output.is_terminal else dumps(form) + "\n")
        return FAILED if form["lost"] else 0

    async def _way(self, endpoint: broker.Endpoint) -> dict[str, Any]:
        """Get to where both processes meet; returns what to say of the way."""
        if self.address is None:
            return {
                "way": "two processes of this machine, loopback TCP",
                "address": await endpoint.listen("tcp://127.0.0.1:0"),
            }
        await self.identity.peer_all(endpoint, [self.address], self.timeout_s)
        mesh = endpoint.mesh()
        (hub,) = mesh.neighbours(mesh.ourselves.id)
        if not hub.forward:
            raise broker.BrokerError(
                f"{hub.name} ({self.address}) is a leaf: it passes nothing on that could be measured"
            )
        return {"way": f"between two processes of this machine by way of {hub.name}", "address": self.address}

    @asynccontextmanager
    async def _partner(self, address: str) -> AsyncIterator[None]:
        """The other process, until the block is left."""
        identity = self.identity
        given = {
            "address": address,
            "topic": self.topic,
            "keys": identity.keys,
            "access": None if identity.access is None else str(identity.access),
            "insecure": identity.insecure,
            "peer_key": identity.peer_key,
            "timeout_s": self.timeout_s,
        }
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "broker.cli.bench.partner", json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not await process.stdout.receive_some():
                raise broker.BrokerError("the other process ended at once: see what it said above")
            yield
        finally:
            with trio.move_on_after(1, shield=True):
                await process.stdin.aclose()
                await process.wait()
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await process.stdout.aclose()

    async def _reader(self, endpoint: broker.Endpoint, topic: str, way: dict[str, Any]) -> None:
        with trio.move_on_after(self.timeout_s):
            await endpoint.subscribers(topic)
            return
        raise broker.BrokerError(
            f"the other process cannot be heard of {way['way']} within {self.timeout_s:g} s: do the rules there let us "
            f"publish and subscribe to {self.topic!r} (--topic)?"
        )

    async def _round_trips(self, endpoint: broker.Endpoint, pongs: broker.Subscriber) -> Sequence[float]:
        """Send one event at a time, and wait until it has come back; the first few are not counted."""
        times: list[float] = []
        end = trio.current_time() + min(_ROUND_TRIPS_S, self.seconds)
        with progress("round trips", _ROUND_TRIPS) as advance:
            for number in range(_ROUND_TRIPS):
                began = trio.current_time()
                await endpoint.publish(f"{self.topic}ping", Figure(*_EVENT, number))
                with trio.move_on_after(self.timeout_s) as scope:
                    await pongs.receive()
                if scope.cancelled_caught:
                    raise broker.BrokerError(f"event {number + 1} did not come back within {self.timeout_s:g} s")
                now = trio.current_time()
                times.append(now - began)
                advance(number + 1)
                if now > end:
                    break
        return times[len(times) // 10 :]

    async def _flood(
        self, endpoint: broker.Endpoint, counts: broker.Subscriber, seconds: float, what: str
    ) -> tuple[int, float, Counted]:
        """Publish as fast as it goes for so long; returns how many, how long until all were read, and how many were."""
        topic, number = f"{self.topic}flood", 0
        began = trio.current_time()
        with progress(what) as advance:
            while trio.current_time() < began + seconds:
                for number in range(number + 1, number + _LOOK_EVENTS + 1):  # noqa: B020 - it goes on where it was
                    await endpoint.publish(topic, Figure(*_EVENT, number))
                advance(number)
            await endpoint.publish(topic, Asked(number))
            with trio.move_on_after(self.timeout_s + seconds):
                message = await counts.receive()
                assert type(message.event) is Counted
                return number, trio.current_time() - began, message.event
        raise broker.BrokerError(
            f"how many of {number:,} events came was not told within {self.timeout_s + seconds:g} s"
        )


def _trips_form(times: Sequence[float]) -> dict[str, Any]:
    return {
        "round_trips": len(times),
        "round_trip_p50_s": round(median(times), 7),
        "round_trip_p99_s": round(quantiles(times, n=100)[98], 7) if len(times) > 1 else None,
    }


def _machine() -> dict[str, Any]:
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "broker": broker.__version__}


def _told(form: dict[str, Any]) -> dict[str, Any]:
    p99_s = form["round_trip_p99_s"]
    return {
        "measured": printable(form["way"]),
        "round trip": f"{form['round_trip_p50_s'] * 1e6:,.0f} µs (half of {form['round_trips']:,} took no longer)",
        "slow ones": f"{p99_s * 1e6:,.0f} µs (1 of 100 took longer)" if p99_s else "",
        "rate": f"{form['events_per_s']:,} events/s, of 4 fields, made and checked, sent and read",
        "in all": f"{form['events']:,} events in {form['took_s']:.1f} s, {form['lost']:,} lost",
        "on": f"{form['cpus']} CPUs, Python {form['python']}, broker {form['broker']}; one run, on whatever else runs",
    }
