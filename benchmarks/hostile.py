"""What well-behaved peers of an endpoint keep of their rate and round trip while somebody attacks it, as a table.

Three processes: the endpoint under attack, which subscribes, answers, and is master of a store; a well-behaved peer,
which publishes to it; and the attacker (:mod:`benchmarks.attacks`).  Windows without and with the attack take turns, in
the same processes; each attack has processes of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import resource
import statistics
import threading
import time
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
WINDOW_S = 1.0
_GRACE_S = 6.0
_ROUND = 5_000
# How long the endpoint may take to close what an attacker left behind: handshakes have 3 s, links 10 s.
_RECOVERY_S = 20.0
# What an attacker may bring an endpoint to take: what may be received and not seen yet, twice over, and as much again
# that the allocator keeps.
_MEMORY_MB = 512.0
_LOW_DESCRIPTORS = 256
_LOW = ("silent", "never-hello")


NOTES = (
    "rate kept: events/s of a well-behaved publisher to the attacked endpoint, by those just before the attack",
    "beside spin: the rate kept by what was kept beside a process that only uses a core: the rest is the attack's own",
    "p50, p99: round trips of one event between the two, during the attack; quiet: without it",
    "join: until one more endpoint was linked, during the attack",
    "MB, files: of the attacked process, beyond what it had before; after: when what could be closed was closed",
    "inf: it did not come about within six seconds; connections, MB sent: of the attacker, in the last window",
)


def run(options: Options) -> Table:
    """Measure every attack; ``options.count`` is how many of them."""
    attacks = [(name, 0) for name in ATTACKS] + [(name, _LOW_DESCRIPTORS) for name in _LOW]
    rows = [_measure(name, descriptors, options.repeat) for name, descriptors in attacks[: options.count]]
    spinning = float(rows[0]["rate kept"])
    rows = [row | {"beside spin": float(row["rate kept"]) / spinning} for row in rows]
    most = "the most memory that an attack takes, MB"
    left = "the most files that one leaves open"
    return Table(
        name="hostile",
        title="what other peers of an attacked endpoint keep",
        rows=tuple(rows),
        version=OURS.version(),
        figures={
            most: max(float(row["most MB"]) for row in rows),
            left: max(float(row["files after"]) for row in rows),
        },
        limits={most: _MEMORY_MB, left: 0.0},
        notes=NOTES,
    )


@attrs.frozen
class Window:
    """What the well-behaved peer saw in one window."""

    rate: float  # events/s
    p50_us: float
    p99_us: float
    join_ms: float  # until one more peer was linked


def _measure(name: str, descriptors: int, repeat: int) -> dict[str, str | float]:
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
            while await _order(channel) is not None:
                pass
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _answer(endpoint: broker.Endpoint, messages: broker.Subscriber) -> None:
    async for message in messages:
        if message.topic == "load/ping":
            await endpoint.publish("pong", message.event)


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
    join_ms = await _join(address)
    rate = await _rate(endpoint, messages)
    trips = await _round_trips(endpoint, messages)
    return Window(rate, statistics.median(trips) * 1e6, trips[int(len(trips) * 0.99)] * 1e6, join_ms)


_pings = itertools.count()


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
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
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
    # In a thread: the loop goes on answering its peers.
    return await trio.to_thread.run_sync(channel.order, abandon_on_cancel=True)
