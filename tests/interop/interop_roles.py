"""Members of a mesh for ``interop_child.py``: a publisher of numbers, a reader that checks them, a relay.

Each takes its options as one JSON object, tells what happens as JSON lines and does what the words on its standard
input say.  Common options: ``name``; ``timing``, the fields of :class:`broker.Timing`; ``listen`` and ``peer``, lists
of addresses.  It tells ``addresses`` when it listens, ``joined`` when all its peers are linked, and every status event.
It leaves the mesh, and ends, at the word ``leave``.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import trio
from interop_programs import Sample

import broker

__all__ = ["checker", "member", "publisher", "relay", "tell"]

# The note of a publisher's last message.
END = "end"
# Progress is told this often, in messages.
EVERY = 5000


def tell(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


class Member:
    """An endpoint with the words that were said to its program."""

    def __init__(self, endpoint: broker.Endpoint) -> None:
        self.endpoint = endpoint
        self.said: defaultdict[str, trio.Event] = defaultdict(trio.Event)

    async def join(self, listen: list[str], peer: list[str]) -> None:
        tell(addresses=[await self.endpoint.listen(address, insecure=True) for address in listen])
        async with trio.open_nursery() as nursery:
            for address in peer:
                nursery.start_soon(partial(self.endpoint.peer, address, timeout=math.inf, insecure=True))
        tell(joined=True)

    async def hear(self) -> None:
        rest = b""
        async with trio.lowlevel.FdStream(os.dup(0)) as stream:
            async for some in stream:
                *words, rest = (rest + some).split(b"\n")
                for word in words:
                    self.said[word.decode()].set()

    async def tell_status(self, task_status: trio.TaskStatus[None]) -> None:
        with suppress(broker.EndpointClosed):
            async with self.endpoint.status() as changes:
                task_status.started()
                async for change in changes:
                    tell(status=type(change).__name__, **msgspec.structs.asdict(change))


@asynccontextmanager
async def member(options: dict[str, Any], *, listens: bool = True) -> AsyncIterator[Member]:
    timing = broker.Timing(**options.get("timing", {}))
    # What the endpoint tells when it is closed is told too: the nursery is around it.
    async with trio.open_nursery() as outer, broker.Endpoint(options["name"], timing=timing, linger_s=20.0) as endpoint:
        member = Member(endpoint)
        await outer.start(member.tell_status)
        async with trio.open_nursery() as nursery:
            if listens:
                nursery.start_soon(member.hear)
            yield member
            nursery.cancel_scope.cancel()


async def relay(text: str) -> None:
    """Join, and be there."""
    options = json.loads(text)
    async with member(options) as here:
        await here.join(options.get("listen", []), options.get("peer", []))
        await here.said["leave"].wait()


async def publisher(text: str) -> None:
    """Publish numbers to ``load/`` when ``readers`` want them, until ``count`` or the word ``stop``; then a last one.

    ``source``: whose numbers they are, the endpoint's unless given.  ``size``: the length of a note in each.
    ``wanted``: publish only while somebody wants it, so that every number is published on a subscription.
    ``ends``: publish last ones, numbered on, again and again, every 10 ms.
    ``beside``: a topic for slow messages at the same time, whose value is how many went to ``load/`` by then.
    """
    options = json.loads(text)
    source, count = options.get("source", options["name"]), options.get("count", math.inf)
    async with member(options) as here:
        await here.join(options.get("listen", []), options.get("peer", []))
        stream = Stream(here.endpoint, source, "x" * options.get("size", 0), wanted=options.get("wanted", False))
        await here.endpoint.subscribers("load/0", options.get("readers", 1))
        async with trio.open_nursery() as nursery:
            if "beside" in options:
                nursery.start_soon(publish_beside, here.endpoint, options["beside"], stream)
            tell(ready=True)
            while stream.number < count and not here.said["stop"].is_set():
                await stream.publish()
                if stream.number % EVERY == 0:
                    tell(published=stream.number)
            stream.note = END
            await stream.publish()
            tell(ended=stream.number)
            while options.get("ends", False) and not here.said["leave"].is_set():
                await stream.publish()
                await trio.sleep(0.01)
            await here.said["leave"].wait()
            nursery.cancel_scope.cancel()


class Stream:
    """Numbered messages to a few topics in turn."""

    def __init__(self, endpoint: broker.Endpoint, source: str, note: str, *, wanted: bool) -> None:
        self._endpoint = endpoint
        self._source = source
        self._wanted = wanted
        self.note = note
        self.number = 0

    async def publish(self) -> None:
        number = self.number
        topic, sample = f"load/{number % 5}", Sample(self._source, number, 0.0, self.note)
        if self._wanted:
            await self._publish_when_wanted(topic, sample)
        else:
            await self._endpoint.publish(topic, sample)
        self.number = number + 1

    async def _publish_when_wanted(self, topic: str, sample: Sample) -> None:
        """Publish without a wait between the look at who wants it and the publication."""
        if sample.number % 50 == 0:
            await trio.lowlevel.checkpoint()
        while True:
            if not self._endpoint.subscriber_count(topic):
                await self._endpoint.subscribers(topic)
            try:
                self._endpoint.publish_nowait(topic, sample)
                return
            except trio.WouldBlock:
                await trio.sleep(0.001)


async def publish_beside(endpoint: broker.Endpoint, topic: str, stream: Stream) -> None:
    number = 0
    while True:
        await endpoint.publish(topic, Sample("beside", number, float(stream.number)))
        number += 1
        await trio.sleep(0.002)


class Tally:
    """What came of one source's numbers."""

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.first: int | None = None
        self.last = -1
        self.broken: list[str] = []

    def take(self, number: int, lost_before: int, *, middle: bool) -> None:
        """Note a number; a gap has to be told by the message after it, unless the reader came in the ``middle``."""
        self.received += 1
        self.lost += lost_before
        if self.first is None:
            self.first = number
            if middle:
                self.last = number - 1 - lost_before
        if number != self.last + 1 + lost_before and len(self.broken) < 10:
            self.broken.append(f"{number} after {self.last}, with {lost_before} lost before it")
        self.last = number


async def checker(text: str) -> None:
    """Subscribe to ``load/`` (``subscribe``: how) and check the numbers of each source, in a ``report`` on it.

    Reports come with a source's last message, and on all of them at the end.
    ``pause``: [n, s] to pause s seconds after every n messages.  ``hold``: begin to read at the word ``go``.
    ``middle``: the first number need not be 0.
    """
    options = json.loads(text)
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    async with member(options) as here, here.endpoint.subscribe("load/", Sample, **options.get("subscribe", {})) as got:
        await here.join(options.get("listen", []), options.get("peer", []))
        if options.get("hold", False):
            await here.said["go"].wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check, got, tallies, options)
            await here.said["leave"].wait()
            nursery.cancel_scope.cancel()
    for source, tally in tallies.items():
        tell(report=vars(tally), source=source)


async def check(messages: broker.Subscriber, tallies: defaultdict[str, Tally], options: dict[str, Any]) -> None:
    pause_after, pause_s = options.get("pause", [math.inf, 0.0])
    middle = options.get("middle", False)
    received = 0
    async for message in messages:
        sample = message.event
        tally = tallies[sample.source]
        tally.take(sample.number, message.lost_before, middle=middle)
        received += 1
        if received % EVERY == 0:
            tell(received=received)
        if sample.note == END:
            tell(report=vars(tally), source=sample.source)
        if received % pause_after == 0:
            await trio.sleep(pause_s)
