"""Predicates: what a subscription with ``where=`` asks of an event, asked where the event is published.

Theory of operation
===================

An interest may have a predicate, as bytes that the rules make and read (:mod:`broker.rules`).  The publisher asks it
before the event joins a batch: what nobody accepts leaves no trace, and what leaves is addressed to those alone who
have an interest without a predicate, or one whose predicate accepts it.  Relays ask nothing, they pass on what is
addressed.  The subscription asks once more when the event has come: another of its endpoint's interests may have
brought it, or a publisher of a version that knows no predicates.

**What cannot be asked is true.**  Bytes that are no predicate, a predicate for another event, a class that lacks a
member at the publisher, an event that does not fit the class, an exception: then the event is sent, and its subscriber
decides, who has a class that the predicate was made for.  It is counted (``unjudged``).  So a predicate never loses
what it should not, and who sends nonsense gets what it would get without.

**Once for each event.**  A :class:`Fork` stands for all topics and events of one name whose receivers depend on the
same predicates.  Its predicates are told apart by their bytes: however many endpoints share one, it is asked once.
The answers are bits of a number, and :class:`~broker.protocol.routes.Routes` keeps the way that belongs to a number.

**Time.**  What a predicate may walk through is bounded (:mod:`broker.rules.effort`).  As members of events may be long,
it is measured besides: where those for one event take longer than :data:`ANSWER_NS_MAX`, they are asked once more one
by one, and the slowest are not asked any more.  What that and compiling takes is bounded, too (:data:`GRACE_NS`):
beyond it new predicates are not looked at.  So who means to hold up a publisher cannot.

**Bounds.**  A predicate has at most :data:`~broker.protocol.frames.WHERE_BYTES_MAX` bytes and counts by its size
towards what an endpoint may want.  It is compiled when the first event comes that it decides on.  For one topic and
event an endpoint has at most :data:`ASKED_MAX` predicates asked, and all of them together :data:`ASKED_TOTAL`: beyond
that an endpoint gets everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct, field

from broker import events
from broker.errors import NotCarried, RuleError
from broker.protocol.frames import WHERE_BYTES_MAX
from broker.protocol.member import Member
from broker.protocol.subscriptions import Subscription
from broker.values import pack, unpack

if TYPE_CHECKING:
    from broker.rules.model import Where
    from broker.rules.spelling import Predicate

__all__ = [
    "ASKED_MAX",
    "ASKED_TOTAL",
    "MakeTest",
    "Condition",
    "Fork",
    "Predicates",
    "Test",
    "check_size",
    "pack_where",
]

# What programs give.  The rules are imported when there is one: who has none does not wait for them.
Condition: TypeAlias = "Where | Predicate"

Test = Callable[[object], bool]
MakeTest = Callable[[bytes, type], Test]
"""From a predicate and the class of the events to the function that asks it; raises whatever it likes."""

# A comparison takes some 100 ns, sending an event to one more endpoint as much: beyond this asking is no gain.
ASKED_MAX: Final = 64
ASKED_TOTAL: Final = 1024
ANSWER_NS_MAX: Final = 1_000_000
"""What all predicates may take for one event: as long as it takes to send it to hundreds of endpoints."""
GRACE_NS: Final = 5_000_000_000
"""Time for compiling predicates and for finding out that they are slow; one part in :data:`SHARE` of the time that
passes comes to it.  A thousand, which is all that are asked, are compiled in two seconds."""
SHARE: Final = 20
# Predicates that are kept compiled, by class; past it they are compiled anew when they are asked next.
_TESTS_MAX: Final = 16_384
# Classes of one name for which a fork keeps them: there are more when a program makes its classes anew all the time.
_KINDS_MAX: Final = 8


class Fork(Struct, eq=False):
    """Where the ways of events part: ``wheres`` are asked, and whose bits are among those that accept gets the event.

    The bits of who has an interest without a predicate are 0.
    """

    wheres: tuple[bytes, ...]
    members: tuple[tuple[Member, int], ...]
    local: tuple[tuple[Subscription, int], ...]
    tests: dict[type, tuple[Test, ...]] = field(default_factory=dict)

    @property
    def everything(self) -> int:
        """The answer of which all is true."""
        return (1 << len(self.wheres)) - 1

    def chosen(self, answer: int) -> tuple[tuple[Member, ...], tuple[Subscription, ...]]:
        """Return who gets an event that has this answer."""
        return (
            tuple([member for member, bits in self.members if not bits or bits & answer]),
            tuple([subscription for subscription, bits in self.local if not bits or bits & answer]),
        )


class Predicates:
    """The predicates that one endpoint knows, compiled."""

    def __init__(self) -> None:
        self.make_test: MakeTest = _compile
        self.timer: Callable[[], int] | None = None  # in nanoseconds; without it nobody looks how long anything takes
        self.unjudged = 0  # times that a predicate could not be read, or asked about an event
        self._tests: dict[tuple[bytes, type], Test] = {}
        self._slow: set[tuple[bytes, type]] = set()
        self._spent_ns = 0
        self._since_ns: int | None = None

    def answer(self, fork: Fork, event: object) -> int:
        """Ask the predicates of a fork; None is an event that cannot be asked about."""
        if event is None:
            self.unjudged += 1
            return fork.everything
        tests = fork.tests.get(event.__class__)
        if tests is None:
            tests = self._tests_of(fork, event.__class__)
        timer = self.timer
        began = 0 if timer is None else timer()
        answer, bit = 0, 1
        for test in tests:
            try:
                if test(event):
                    answer |= bit
            except Exception:  # noqa: BLE001 - whatever it is: what cannot be asked is true
                self.unjudged += 1
                answer |= bit
            bit <<= 1
        if timer is not None and timer() - began > ANSWER_NS_MAX:
            self._find_slow(fork, event, tests, began)
        return answer

    def _tests_of(self, fork: Fork, kind: type) -> tuple[Test, ...]:
        if len(fork.tests) >= _KINDS_MAX:
            fork.tests.clear()
        began = 0 if self.timer is None else self.timer()
        has_time = self._has_time(began)
        tests = tuple([self._asked(where, kind, has_time) for where in fork.wheres])
        if has_time:
            fork.tests[kind] = tests
            self._spend(began)
        return tests

    def _asked(self, where: bytes, kind: type, has_time: bool) -> Test:
        known = (where, kind) in self._tests
        if (where, kind) in self._slow or not (known or has_time):
            return self._unjudged
        return self.test(where, kind)

    # -- time ------------------------------------------------------------------------------------------------------

    def _find_slow(self, fork: Fork, event: object, tests: Sequence[Test], began: int) -> None:
        """Ask one by one, and give up the slowest until the rest is quick; what is so by chance is so twice."""
        kind = event.__class__
        taken = sorted([(self._time(test, event), place) for place, test in enumerate(tests)], reverse=True)
        rest = sum([ns for ns, _ in taken])
        for ns, place in taken:
            if rest <= ANSWER_NS_MAX:
                break
            if len(self._slow) >= _TESTS_MAX:
                self._slow.clear()
            self._slow.add((fork.wheres[place], kind))
            rest -= ns
        fork.tests.pop(kind, None)
        self._spend(began)

    def _time(self, test: Test, event: object) -> int:
        assert self.timer is not None
        began = self.timer()
        with suppress(Exception):
            test(event)
        return self.timer() - began

    def _has_time(self, now_ns: int) -> bool:
        if self._since_ns is None:
            self._since_ns = now_ns
        return self._spent_ns <= GRACE_NS + (now_ns - self._since_ns) // SHARE

    def _spend(self, began_ns: int) -> None:
        if self.timer is not None:
            self._spent_ns += self.timer() - began_ns

    # -- one by one ------------------------------------------------------------------------------------------------

    def test(self, where: bytes, kind: type) -> Test:
        """Return the function that asks a predicate about events of that class."""
        found = self._tests.get((where, kind))
        if found is None:
            if len(self._tests) >= _TESTS_MAX:
                self._tests.clear()
            try:
                found = self.make_test(where, kind)
            except Exception:  # noqa: BLE001 - whatever it is: what cannot be asked is true
                found = self._unjudged
            self._tests[where, kind] = found
        return found

    def _unjudged(self, event: object) -> bool:  # noqa: ARG002 - it stands for one that asks
        self.unjudged += 1
        return True

    def accepts(self, where: bytes) -> Test:
        """Return the function that asks a subscription's predicate about any event."""

        def accepts(event: object) -> bool:
            try:
                return bool(self.test(where, event.__class__)(event))
            except Exception:  # noqa: BLE001 - whatever it is: what cannot be asked is true
                self.unjudged += 1
                return True

        return accepts


def pack_where(where: object, kinds: Sequence[type | str]) -> bytes:
    """Return a predicate as it travels: one for the events of the only class that a subscription is to.

    Of its event type only the members that it mentions are told, so that who has the class in another version makes
    the same of it.  Raises RuleError for what is no predicate for that class, and NotCarried if it is too large.
    """
    from broker.rules.compiling import compile_where
    from broker.rules.effort import check_effort
    from broker.rules.model import EventType, Member, Where, to_data, walk
    from broker.rules.spelling import Predicate

    if isinstance(where, Predicate):
        where = where.where
    if not isinstance(where, Where):
        raise RuleError.at("where", f"expected a predicate, found {type(where).__name__}")
    kind = kinds[0] if len(kinds) == 1 else None
    if not isinstance(kind, type):
        raise RuleError.at("where", "a subscription with a predicate is to exactly one event class, such as DiskUsage")
    name = events.name_of(kind)
    if where.type.name != name:
        raise RuleError.at("where", f"a predicate on {where.type.name}, and a subscription to {name}")
    compile_where(where, kind)
    check_effort(where.expression)
    mentioned = {part.name for part in walk(where.expression) if isinstance(part, Member)}
    members = tuple([member for member in where.type.members if member.name in mentioned])
    packed = pack(to_data(Where(EventType(name, members), where.expression)))
    check_size(packed)
    return packed


def check_size(where: bytes) -> None:
    """Raise NotCarried for a packed predicate that is too large."""
    if len(where) > WHERE_BYTES_MAX:
        raise NotCarried(f"a predicate has at most {WHERE_BYTES_MAX} bytes, this one has {len(where)}", "where")


def _compile(where: bytes, kind: type) -> Test:
    from broker.rules.compiling import compile_where
    from broker.rules.effort import check_effort
    from broker.rules.model import Where, from_data

    found, name = from_data(unpack(where), Where), events.name_of(kind)
    if found.type.name != name:
        raise RuleError.at("where", f"a predicate on {found.type.name}, and an event {name}")
    test = compile_where(found, kind)
    check_effort(found.expression)
    return test
