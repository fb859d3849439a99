"""What well-behaved peers of an endpoint keep of their rate and round trip while somebody attacks it, as a table.

Three processes: the endpoint under attack, which subscribes, answers, and is master of a store; a well-behaved peer,
which publishes to it; and the attacker (:mod:`benchmarks.attacks`).  Windows without and with the attack take turns, in
the same processes; each attack has processes of its own.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import statistics
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import attrs
import trio

import broker
from benchmarks.attacks import ATTACKS, STORE, Attacker
from benchmarks.child import Channel
from benchmarks.harness import Options, Table
from benchmarks.memory import Memory, memory_mb
from benchmarks.ours import DiskUsage
from benchmarks.peers import OURS
from benchmarks.processes import Child
from benchmarks.workload import HOST, MOUNT, USED

__all__ = ["attack", "load", "run", "target"]

# Of the time of a window: so much for the rate, as much for round trips; at most so much longer for what is under way.
WINDOW_S = 1.5
_GRACE_S = 6.0
_ROUND = 5_000
# How long the endpoint may take to close what an attacker left behind: handshakes have 3 s, links 10 s.
_RECOVERY_S = 20.0
_LOW_DESCRIPTORS = 256
_LOW = ("silent", "never-hello")


def run(options: Options) -> Table:
    """Measure every attack; ``options.count`` limits how many of them."""
    names = [(name, 0) for name in ATTACKS][: options.count] + [(name, _LOW_DESCRIPTORS) for name in _LOW]
    if only := os.environ.get("ATTACKS"):
        names = [(name, limit) for name, limit in names if name in only.split(",")]
    rows: list[Mapping[str, str | float]] = []
    for name, descriptors in names:
        rows.append(_measure(name, descriptors, options.repeat))
        print({k: v if isinstance(v, str) else float(f"{v:.3g}") for k, v in rows[-1].items()}, flush=True)
    return Table(
        name="hostile",
        title="what other peers of an attacked endpoint keep",
        rows=tuple(rows),
        version=OURS.version(),
    )


@attrs.frozen
class Window:
    """What the well-behaved peer saw in one window."""

    rate: float  # events/s
    p50_us: float
    p99_us: float
    join_ms: float  # until one more peer was linked


def _measure(name: str, descriptors: int, repeat: int) -> Mapping[str, str | float]:
    quiet: list[Window] = []
    attacked: list[Window] = []
    with contextlib.ExitStack() as stack:
        module = "benchmarks.hostile"
        there = stack.enter_context(Child(module, "target", descriptors=descriptors))
        address = there.told("address")
        good = stack.enter_context(Child(module, "load", address=address))
        good.told("ready")
        bad = stack.enter_context(Child(module, "attack", address=address, name=name))
        window(good)  # warm-up
        memory = Memory(there.pid)
        open_before = open_files(there.pid)
        most_open = 0
        with memory:
            for _ in range(repeat):
                quiet.append(window(good))
                bad.order(count=1)
                bad.told("attacking")
                attacked.append(window(good))
                most_open = max(most_open, open_files(there.pid))
                bad.order(count=0)
                did = bad.told("did")
                settle(there.pid, open_before)
        took = settle(there.pid, open_before)
        after = memory_mb(there.pid)[0]
        left = open_files(there.pid) - open_before
    name += f" ({descriptors} descriptors)" if descriptors else ""
    rates = [one.rate / other.rate for one, other in zip(attacked, quiet, strict=True)]
    return {
        "attack": name,
        "rate kept": statistics.median(rates),
        "events/s": statistics.median(one.rate for one in attacked),
        "p50, us": statistics.median(one.p50_us for one in attacked),
        "p99, us": statistics.median(one.p99_us for one in attacked),
        "quiet p50": statistics.median(one.p50_us for one in quiet),
        "quiet p99": statistics.median(one.p99_us for one in quiet),
        "join, ms": statistics.median(one.join_ms for one in attacked),
        "most MB": memory.own - memory.before[0],
        "MB after": after - memory.before[0],
        "most files": float(most_open - open_before),
        "files after": float(left),
        "recovery, s": took,
        "connections": float(did[0]),
        "MB sent": did[1] / 1e6,
    }


def window(good: Child) -> Window:
    """Let the well-behaved peer measure once."""
    good.order(count=1)
    return Window(**good.told("window", timeout=4 * (WINDOW_S + _GRACE_S)))


def open_files(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def settle(pid: int, before: int) -> float:
    """Wait until the process has closed what it opened since; returns how long that took."""
    began = time.monotonic()
    while open_files(pid) > before and time.monotonic() < began + _RECOVERY_S:
        time.sleep(0.05)
    return time.monotonic() - began


# -- roles -----------------------------------------------------------------------------------------------------------


def target(channel: Channel, descriptors: int) -> None:
    """Be the endpoint under attack."""
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    async def main() -> None:
        async with (
            broker.Endpoint("target") as endpoint,
            endpoint.master(STORE) as store,
            endpoint.subscribe("load/", DiskUsage) as messages,
            trio.open_nursery() as nursery,
        ):
            await store.put("key", "value")
            channel.tell(address=await endpoint.listen("tcp://127.0.0.1:0"))
            nursery.start_soon(_answer, endpoint, messages)
            nursery.start_soon(_report, endpoint)
            while await _order(channel) is not None:
                pass
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _answer(endpoint: broker.Endpoint, messages: broker.Subscriber) -> None:
    async for message in messages:
        if message.topic == "load/ping":
            await endpoint.publish("pong", message.event)


async def _report(endpoint: broker.Endpoint) -> None:
    seen: dict[str, int] = {}
    async with endpoint.status() as changes:
        async for change in changes:
            if os.environ.get("HOSTILE_LOG"):
                key = f"{type(change).__name__} {getattr(change, 'reason', '')[:100]}"
                seen[key] = seen.get(key, 0) + 1
                if seen[key] in (1, 10, 100, 1000, 10000):
                    print(f"  target: {seen[key]} x {key}", flush=True)


def load(channel: Channel, address: str) -> None:
    """Be the well-behaved peer: publish and wait for answers."""

    async def main() -> None:
        async with broker.Endpoint("good") as endpoint:
            await endpoint.peer(address, timeout=30.0)
            async with endpoint.subscribe("pong", DiskUsage) as messages:
                await endpoint.subscribers("load/ping")
                channel.tell(ready=True)
                while await _order(channel) is not None:
                    channel.tell(window=attrs.asdict(await _window(endpoint, messages, address)))

    trio.run(main)


async def _window(endpoint: broker.Endpoint, messages: broker.Subscriber, address: str) -> Window:
    began = time.perf_counter()
    join_ms = await _join(address)
    rate = await _rate(endpoint, messages)
    trips = await _round_trips(endpoint, messages)
    del began
    return Window(rate, statistics.median(trips) * 1e6, trips[int(len(trips) * 0.99)] * 1e6, join_ms)


_pings = iter(range(1 << 60))


async def _ping(endpoint: broker.Endpoint, messages: broker.Subscriber) -> None:
    number = next(_pings)
    await endpoint.publish("load/ping", DiskUsage(HOST, MOUNT, USED, number))
    while (await messages.receive()).event.sequence != number:
        pass


async def _join(address: str) -> float:
    began = time.perf_counter()
    try:
        async with broker.Endpoint("newcomer") as endpoint:
            await endpoint.peer(address, timeout=_GRACE_S)
            return (time.perf_counter() - began) * 1e3
    except broker.PeeringError:
        return math.inf


async def _rate(endpoint: broker.Endpoint, messages: broker.Subscriber) -> float:
    began = ended = time.perf_counter()
    events = 0
    with trio.move_on_after(WINDOW_S + _GRACE_S):
        while ended < began + WINDOW_S:
            for number in range(_ROUND):
                await endpoint.publish("load/event", DiskUsage(HOST, MOUNT, USED, number))
            await _ping(endpoint, messages)
            ended = time.perf_counter()
            events += _ROUND
    return events / (ended - began) if events else 0.0


async def _round_trips(endpoint: broker.Endpoint, messages: broker.Subscriber) -> list[float]:
    end = time.perf_counter() + WINDOW_S
    seconds = []
    while (began := time.perf_counter()) < end:
        with trio.move_on_after(_GRACE_S) as scope:
            await _ping(endpoint, messages)
        seconds.append(math.inf if scope.cancelled_caught else time.perf_counter() - began)
    return sorted(seconds)


def attack(channel: Channel, address: str, name: str) -> None:
    """Be the attacker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    del soft
    while channel.order() is not None:
        attacker = Attacker(address)
        thread = threading.Thread(target=ATTACKS[name], args=(attacker,))
        thread.start()
        time.sleep(0.2)
        channel.tell(attacking=True)
        if channel.order() is None:
            attacker.stop.set()
            return
        attacker.stop.set()
        thread.join()
        channel.tell(did=[attacker.connections, attacker.sent_bytes])


async def _order(channel: Channel) -> int | None:
    return await trio.to_thread.run_sync(channel.order, abandon_on_cancel=True)
