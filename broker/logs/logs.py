"""All writers and collectors of one endpoint, and who in the mesh writes what.

Endpoints announce the streams that they write, as they announce the stores that they are master of; collectors find
writers by that, and ask them.  Both may be at the same endpoint: what they say to each other stays in it then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from broker.errors import BrokerError, LogInUse, Malformed
from broker.journaling import Journal
from broker.logs import wire
from broker.logs.collector import Collector
from broker.logs.sessions import Post
from broker.logs.source import Source
from broker.logs.wire import LogKind, NoStream, Schema
from broker.logs.writer import Options, Writer
from broker.protocol.actions import Action
from broker.protocol.frames import Role
from broker.protocol.member import Member, Refused, not_told
from broker.protocol.members import Members
from broker.protocol.transit import Transit
from broker.protocol.wires import Chance

__all__ = ["Logs"]

_FOR_WRITERS = frozenset({LogKind.COLLECT, LogKind.ACKNOWLEDGE, LogKind.LEAVE})


class Logs(Post):
    """The log streams of one endpoint."""

    def __init__(self, members: Members, transit: Transit, chance: Chance, act: Callable[[Action], None]) -> None:
        self._members = members
        self._transit = transit
        self._chance = chance
        self._act = act
        self.writers: dict[str, Writer] = {}
        self.collectors: list[Collector] = []
        self._sources: dict[int, tuple[Collector, Source]] = {}  # by serial
        self._serial = 0
        self._announced: set[str] = set()
        self._inside: deque[tuple[int, int, int, bytes]] = deque()  # from us to us: serial, sequence, kind, body
        self._look = False
        self._now = 0.0
        self.refused: Refused = not_told

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self.writers or self.collectors)

    def send(self, kind: int, body: bytes, member: Member, flow: int = 0, sequence: int = 0) -> None:
        """Send a frame to an endpoint, which may be our own."""
        if member is self._members.own:
            self._inside.append((flow, sequence, kind, body))
        else:
            self._transit.send(kind, body, ((member, flow, sequence),))

    def reaches(self, member: Member) -> bool:
        """Whether there is a way to an endpoint, which may be our own."""
        return member is self._members.own or member.reachable

    # -- what a program asks ---------------------------------------------------------------------------------------

    def check_free(self, stream: str) -> None:
        """Raise LogInUse when that stream has a writer here already."""
        if stream in self.writers:
            raise LogInUse(
                stream, "this endpoint has a writer of it already: use that one, from as many tasks as you like"
            )

    def attach_writer(
        self, stream: str, journal: Journal, schema: Schema, options: Options, now: float, time_ns: int
    ) -> Writer:
        """Become a stream's writer here.  Raises LogInUse, and JournalError for a spool that cannot be read."""
        self.check_free(stream)
        self._now = now
        writer = Writer(
            stream,
            journal,
            self,
            self._act,
            schema=schema,
            options=options,
            mark=self._chance.randbytes(8),
            now=now,
            time_ns=time_ns,
        )
        self.writers[stream] = writer
        self.settle(now)
        return writer

    def detach_writer(self, writer: Writer, now: float) -> None:
        """End a writer."""
        self._now = now
        if self.writers.get(writer.name) is writer:
            del self.writers[writer.name]
            writer.close()
            self._announce()
            self.settle(now)

    def attach_collector(self, stream: str, now: float, **options: Any) -> Collector:
        """Begin to collect a stream, wherever it is written."""
        self._now = now
        collector = Collector(stream, self, self._act, member=self._chance.randbytes(16), **options)
        self.collectors.append(collector)
        collector.find(self._find(stream), now)
        self.settle(now)
        return collector

    def detach_collector(self, collector: Collector, unread: Mapping[bytes, Any], now: float) -> None:
        """End a collector."""
        self._now = now
        if collector in self.collectors:
            self.collectors.remove(collector)
            collector.close(unread)
            self.settle(now)

    def over(self, serial: int) -> None:
        """Let frames of a serial be nobody's."""
        self._sources.pop(serial, None)

    def begin(self, source: Source) -> int:
        """Return a serial, by which frames for a source are known from now on."""
        self._serial += 1
        collector = next(one for one in self.collectors if one.sources.get(source.journal) is source)
        self._sources[self._serial] = collector, source
        return self._serial

    def close(self, now: float) -> None:
        """End all."""
        for writer in list(self.writers.values()):
            self.detach_writer(writer, now)
        for collector in list(self.collectors):
            self.detach_collector(collector, {}, now)

    # -- what the node tells ---------------------------------------------------------------------------------------

    def take(self, member: Member, flow: int, sequence: int, kind: int, body: bytes, now: float) -> None:
        """Act on a frame about a log stream; raises Malformed when it makes no sense."""
        self._now = now
        self._take(member, flow, sequence, kind, body)
        self.settle(now)

    def _take(self, member: Member, flow: int, sequence: int, kind: int, body: bytes) -> None:
        if kind in _FOR_WRITERS:
            writer = self.writers.get(wire.stream_of(body))
            if kind == LogKind.COLLECT and writer and not member.grants.may_use_log("collect", writer.name):
                self.refused(member, "log collect", writer.name)
            if writer is not None:
                writer.serving.take(member, kind, body, self._now)
                writer.pump(self._now)
            elif kind == LogKind.ACKNOWLEDGE:
                serial = wire.decode(wire.Acknowledge, body).serial
                self.send(LogKind.NO_STREAM, wire.encode(NoStream("it is not written here")), member, serial)
        elif kind <= LogKind.NO_STREAM:
            found = self._sources.get(flow)
            if found is not None and found[1].member is member:
                found[0].take(found[1], sequence, kind, body, self._now)
        else:
            raise Malformed(f"frames of kind {kind} are not known in this version")

    def rules_changed(self, now: float) -> None:
        """Let go of collectors that may not collect any more, and of writers that may not write any more, at once."""
        self._now = now
        self._look = True
        for writer in self.writers.values():
            for member in writer.serving.rules_changed(f"the access rules no longer let you collect {writer.name!r}"):
                self.refused(member, "log collect", writer.name)
        self.settle(now)

    def streams_changed(self) -> None:
        """Take note that endpoints write other streams than before, or can be reached or not."""
        self._look = True

    def ways_changed(self, now: float) -> None:
        """Take note that ways have changed."""
        self._now = now
        self._look = True
        for writer in self.writers.values():  # who can be reached again is given more
            writer.pump(now)
        self.settle(now)

    def member_forgotten(self, member: Member) -> None:
        """Let go of an endpoint that is no longer part of the mesh."""
        self._look = True
        for writer in self.writers.values():
            writer.serving.member_forgotten(member)

    def carried_out(self, writer: Writer, error: BrokerError | None, now: float) -> None:
        """Take note that a commit is done, or could not be."""
        self._now = now
        writer.carried_out(error, now)
        if self.writers.get(writer.name) is writer:
            writer.pump(now)
        self.settle(now)

    def flush(self, now: float) -> None:
        """Write and send what there is."""
        self._now = now
        for writer in self.writers.values():
            writer.pump(now)
        self.settle(now)

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        self._now = now
        for writer in self.writers.values():
            if now >= writer.next_deadline():
                writer.pump(now)
        for collector in list(self.collectors):
            if now >= collector.next_deadline():
                collector.tick(now)
        self.settle(now)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        if self._look or self._inside:
            return float("-inf")
        due = float("inf")
        for writer in self.writers.values():
            due = min(due, writer.next_deadline())
        for collector in self.collectors:
            due = min(due, collector.next_deadline())
        return due

    # -- who writes what -------------------------------------------------------------------------------------------

    def _find(self, stream: str) -> Iterator[tuple[Member, bytes, int]]:
        """Give who can be reached and writes a stream: the endpoint, its journal, since when.

        Of two lives of one endpoint it is the later, and of an endpoint's roles the first for the stream.
        """
        own = self._members.own
        found: dict[str, tuple[Member, bytes, int]] = {}
        for member in (own, *self._members.members.values()):
            if not member.streams or not (member is own or (member.reachable and member.name != own.name)):
                continue
            role = next((role for role in member.streams if role.name == stream), None)
            if role is not None and (member.name not in found or found[member.name][2] < role.since):
                found[member.name] = member, role.journal, role.since
        return iter(found.values())

    def settle(self, now: float) -> None:
        """Announce what has begun, look for writers where that may have changed, pass on what stays inside."""
        if {stream for stream, writer in self.writers.items() if writer.ready} != self._announced:
            self._announce()
        if self._look:
            self._look = False
            for collector in self.collectors:
                collector.find(self._find(collector.stream), now)
        while self._inside:
            flow, sequence, kind, body = self._inside.popleft()
            self._take(self._members.own, flow, sequence, kind, body)

    def _announce(self) -> None:
        own = self._members.own
        ready = {stream: writer for stream, writer in self.writers.items() if writer.ready}
        own.streams = tuple(
            Role(stream, writer.journal.position.journal, writer.started_ns) for stream, writer in sorted(ready.items())
        )
        self._announced = set(ready)
        self._look = True
        self._members.roles_changed(self._now)

    def survey(self) -> Mapping[str, Iterable[str]]:
        """Return the streams that are written in the mesh, each with the endpoints that write it."""
        found: dict[str, list[str]] = {}
        for member in (self._members.own, *self._members.members.values()):
            if member is self._members.own or member.reachable:
                for role in member.streams:
                    found.setdefault(role.name, []).append(member.name)
        return found
