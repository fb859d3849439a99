"""Status events: what an endpoint tells of itself, its peers and its losses.

``endpoint.status()`` gives them in the order in which they happened.  Each is a frozen class whose ``str`` is a
sentence for a log.  The file is long because it is a list, and is read as one.
"""

from __future__ import annotations

from msgspec import Struct

from broker.errors import in_words

__all__ = [
    "AccessRefused",
    "AccessRules",
    "ActionsLost",
    "CollectorRefused",
    "CollectorStalled",
    "EventMisfitted",
    "LogFailing",
    "LogRecovered",
    "MessagesLost",
    "MessagesRecovered",
    "PeerAdded",
    "PeerInterrupted",
    "PeerLost",
    "PeerRefused",
    "PeerResumed",
    "PeeringFailed",
    "RecordMisfitted",
    "RecordsDropped",
    "RecordsLost",
    "RuleFailed",
    "RulesBroken",
    "RulesFailing",
    "RulesRecovered",
    "RulesReloaded",
    "Status",
    "StatusLost",
    "StoreConflict",
    "StoreFailing",
    "StoreForked",
    "StoreRecovered",
    "StoreSynced",
    "WriterReset",
]


class Status(Struct, frozen=True):
    """The base of all status events."""


class PeerAdded(Status, frozen=True):
    """A peer is linked and each end knows what the other subscribes to: messages flow."""

    peer: str
    address: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): linked"


class PeerInterrupted(Status, frozen=True):
    """The connection to a peer is gone; messages wait for it to come back, nothing is lost yet."""

    peer: str
    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): interrupted: {self.reason}"


class PeerResumed(Status, frozen=True):
    """An interrupted peer is back in the same session: nothing was lost."""

    peer: str
    address: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): resumed"


class PeerLost(Status, frozen=True):
    """The link with a peer is over.  Events still reach it if there is another way.

    ``code`` is one of: cut (its connection was closed and it did not come back), silent (nothing came from it, and it
    did not come back either), goodbye (it left), replaced (a new process has its name, or it began anew), protocol
    (it broke the protocol), refused (its key or its name is no longer allowed), unpeered (by us), closed (our endpoint
    was).
    """

    peer: str
    address: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): lost: {self.reason}"


class PeerRefused(Status, frozen=True):
    """Somebody who dialled us was turned away, or sent what is not this protocol."""

    peer: str
    address: str
    code: str
    reason: str

    def __str__(self) -> str:
        where = f" ({self.address})" if self.address else ""
        return f"{self.peer}{where}: refused ({self.code}): {self.reason}"


class AccessRefused(Status, frozen=True):
    """The access rules of ``refused_by`` do not let ``peer``, whose key is ``key`` there, do something.

    ``right`` is one of publish, subscribe, relay, speak for, store read, store write, store master, log write and log
    collect; ``what`` the topic, prefix, store, stream or endpoint that it is about; ``count`` how often, since it was
    told last.
    """

    peer: str
    key: str
    right: str
    what: str
    refused_by: str
    count: int

    def __str__(self) -> str:
        return (
            f"{self.peer} (key {self.key}): has no right to {in_words(self.right, self.what)}: "
            f"refused {'once' if self.count == 1 else f'{self.count} times'} by {self.refused_by}"
        )


class AccessRules(Status, frozen=True):
    """The access rules were read anew: they hold from now on if ``accepted``, else ``reason`` says what is wrong.

    Rules that cannot be read leave the former ones in force.
    """

    source: str
    accepted: bool
    reason: str

    def __str__(self) -> str:
        if self.accepted:
            return f"{self.source}: {self.reason or 'in force'}"
        return f"{self.source}: not taken, the former rules stay in force: {self.reason}"


class PeeringFailed(Status, frozen=True):
    """An attempt to dial a peer failed; unless ``final``, it is tried again.

    ``code`` is one of refused, unreachable, silent, foreign, version, self, name, authentication, key (what listens
    there closes the connection, as it does when it has another key than is expected), authorisation, full, protocol.
    """

    address: str
    code: str
    reason: str
    final: bool

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}{'' if self.final else '; will try again'}"


class MessagesLost(Status, frozen=True):
    """Messages that did not arrive: to ``peer`` from us (direction "out"), or from it to us ("in").

    ``topics`` are some of theirs, at most 16; for a subscription that drops them because it is slow, its prefix.
    Going out, those of a peer that was given up count as lost unless it acknowledged them; if the same process is heard
    of again, a :class:`MessagesRecovered` says how many had arrived, and the difference is exact.
    """

    peer: str
    count: int
    direction: str
    reason: str
    topics: tuple[str, ...] = ()

    def __str__(self) -> str:
        way = "for it" if self.direction == "out" else "from it"
        topics = f" ({', '.join(self.topics)})" if self.topics else ""
        return f"{self.peer}: {self.count} messages {way} lost: {self.reason}{topics}"


class MessagesRecovered(Status, frozen=True):
    """So many of the messages to ``peer`` that an earlier :class:`MessagesLost` told of had arrived after all."""

    peer: str
    count: int

    def __str__(self) -> str:
        return f"{self.peer}: {self.count} messages told as lost had arrived"


class EventMisfitted(Status, frozen=True):
    """An event that did not fit its class here; no subscriber got it."""

    topic: str
    origin: str
    event: str
    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.origin}: an event on {self.topic!r} does not fit {self.event}: "
            f"{self.field}: expected {self.expected}, found {self.found}"
        )


class StatusLost(Status, frozen=True):
    """This reader was too slow: ``count`` older status events were dropped before this one."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} status events lost: read them faster"


class StoreFailing(Status, frozen=True):
    """A store could not be written to disk.  Reading goes on; writes are refused until it works again."""

    store: str
    reason: str
    lost: int  # writes that had been answered as applied, and are not

    def __str__(self) -> str:
        lost = f"; {self.lost} writes that had been applied are lost" if self.lost else ""
        return f"store {self.store!r} could not be written: {self.reason}{lost}"


class StoreRecovered(Status, frozen=True):
    """A store that could not be written can be again."""

    store: str

    def __str__(self) -> str:
        return f"store {self.store!r} is written again"


class StoreSynced(Status, frozen=True):
    """A clone has what its master had when it asked: by the log from where it was, or by a snapshot."""

    store: str
    master: str
    snapshot: bool

    def __str__(self) -> str:
        return f"store {self.store!r}: in step with {self.master}, by {'a snapshot' if self.snapshot else 'the log'}"


class StoreForked(Status, frozen=True):
    """What a clone had is not of its master's history: the master was restored from a backup, or is another.

    The clone's contents are replaced by the master's, in whole.
    """

    store: str
    master: str
    had: str  # the clone's position

    def __str__(self) -> str:
        return f"store {self.store!r}: {self.had} is not of the history of {self.master}; its contents replace ours"


class StoreConflict(Status, frozen=True):
    """Two endpoints are master of one store: ``yielding`` writes nothing until one of them ends."""

    store: str
    master: str
    yielding: str

    def __str__(self) -> str:
        return (
            f"store {self.store!r} has two masters, {self.master} and {self.yielding}: {self.yielding} writes nothing"
        )


class RecordsDropped(Status, frozen=True):
    """At a writer: records left its spool before every collector had them."""

    stream: str
    count: int
    reason: str
    collectors: tuple[str, ...]  # the names that lacked some; none: none is registered

    def __str__(self) -> str:
        who = ", ".join(self.collectors) or "no collector had them"
        return f"log stream {self.stream!r}: {self.count} records dropped ({who}): {self.reason}"


class RecordsLost(Status, frozen=True):
    """At a collector: records of a writer that it will not get."""

    stream: str
    writer: str
    count: int
    reason: str

    def __str__(self) -> str:
        return f"log stream {self.stream!r}: {self.count} records of {self.writer} lost: {self.reason}"


class RecordMisfitted(Status, frozen=True):
    """A record that did not fit its class here; it was passed over, and counts as acknowledged."""

    stream: str
    writer: str
    number: int
    record: str
    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"log stream {self.stream!r}: record {self.number} of {self.writer} does not fit {self.record}: "
            f"{self.field}: expected {self.expected}, found {self.found}"
        )


class LogFailing(Status, frozen=True):
    """A spool could not be written or read; records wait, and it is tried again."""

    stream: str
    reason: str

    def __str__(self) -> str:
        return f"log stream {self.stream!r}: its spool fails: {self.reason}"


class LogRecovered(Status, frozen=True):
    """A spool that failed works again; nothing was lost."""

    stream: str

    def __str__(self) -> str:
        return f"log stream {self.stream!r}: its spool works again"


class WriterReset(Status, frozen=True):
    """A writer has another spool than before: what it had in the former one, and was not collected, may be lost.

    ``had`` is the position in the former one up to which the writer was known, ``lost`` how many records it is known
    to have had that had not come.
    """

    stream: str
    writer: str
    had: str
    lost: int

    def __str__(self) -> str:
        return (
            f"log stream {self.stream!r}: {self.writer} begins anew with another spool; "
            f"of the former one ({self.had}) {self.lost} records are known not to have come"
        )


class CollectorRefused(Status, frozen=True):
    """A writer gives a collector nothing."""

    stream: str
    name: str
    writer: str
    reason: str

    def __str__(self) -> str:
        return f"log stream {self.stream!r}: {self.writer} refuses the collector {self.name!r}: {self.reason}"


class CollectorStalled(Status, frozen=True):
    """A collector has had records for long and acknowledged none: the spool cannot be trimmed.

    Told at the writer (``peer`` is the collector's endpoint) and at the collector (``peer`` is the writer's).
    """

    stream: str
    name: str
    peer: str
    in_hand: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"log stream {self.stream!r}: the collector {self.name!r} has {self.in_hand} records in hand and "
            f"acknowledged none for {self.seconds:.0f} s ({self.peer})"
        )


class RulesReloaded(Status, frozen=True):
    """Rules were read anew: so many are as they were, and keep their state; so many are new; so many are gone."""

    rules: str
    source: str
    kept: int
    new: int
    gone: int

    def __str__(self) -> str:
        return f"rules {self.rules!r}: {self.source}: in force: {self.kept} kept, {self.new} new, {self.gone} gone"


class RulesBroken(Status, frozen=True):
    """Rules were read anew, and make no sense or cannot be read: the former ones stay in force."""

    rules: str
    source: str
    reason: str

    def __str__(self) -> str:
        return f"rules {self.rules!r}: {self.source}: not taken, the former rules stay in force: {self.reason}"


class RuleFailed(Status, frozen=True):
    """A rule could not do what it is for, ``count`` times since it was told last; the stream goes on.

    ``rule`` is empty where it is about an event that no rule could look at.
    """

    rules: str
    rule: str
    reason: str
    count: int = 1

    def __str__(self) -> str:
        which = f"rule {self.rule!r}" if self.rule else "events"
        times = "" if self.count == 1 else f" ({self.count} times)"
        return f"rules {self.rules!r}: {which}: {self.reason}{times}"


class ActionsLost(Status, frozen=True):
    """Actions of rules were dropped, the oldest first, as nobody took them."""

    rules: str
    count: int

    def __str__(self) -> str:
        return f"rules {self.rules!r}: {self.count} actions dropped: read them faster"


class RulesFailing(Status, frozen=True):
    """What rules were given could not be written to disk: nothing of it is published until it can be."""

    rules: str
    reason: str

    def __str__(self) -> str:
        return f"rules {self.rules!r}: their journal could not be written: {self.reason}"


class RulesRecovered(Status, frozen=True):
    """Rules' journal is taken up, or can be written again.  ``lost`` says what of their state could not be taken up."""

    rules: str
    lost: str = ""

    def __str__(self) -> str:
        if self.lost:
            return f"rules {self.rules!r}: their journal is taken up, but not all of it: {self.lost}"
        return f"rules {self.rules!r}: their journal is written again"
