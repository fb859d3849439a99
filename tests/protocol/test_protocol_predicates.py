"""Predicates as they travel: packed, read, compiled for the class that a publisher has; and what is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_wiring import NOW_NS, Block, Reading, Wiring, read

import broker
from broker.errors import EventDefinitionError, NotCarried, RuleError
from broker.protocol.frames import WHERE_BYTES_MAX
from broker.protocol.predicates import Fork, Predicates, pack_where
from broker.rules.model import Apply, Constant, EventType, Expression, Member, MemberType, Name, Where, to_data
from broker.testing.strategies import values
from broker.values import pack

VALUE = Member(Name("event"), "value")
HIGH = Apply("num.gt", (VALUE, Constant(5)))


@broker.event(name="protocol.Alike")
class Alike:
    host: str
    value: int


def where(expression: Expression = HIGH, name: str = "protocol.Reading", type_: str = "number") -> Where:
    return Where(EventType(name, (MemberType("host", "string"), MemberType("value", type_))), expression)


def asked(packed: bytes, event: object) -> tuple[bool, int]:
    """Return the answer, and how often there could be none."""
    predicates = Predicates()
    return predicates.accepts(packed)(event), predicates.unjudged


def test_a_predicate_travels_and_is_asked() -> None:
    packed = pack_where(where(), [Reading])
    assert asked(packed, Reading("a", 6)) == (True, 0)
    assert asked(packed, Reading("a", 5)) == (False, 0)


def test_the_golden_bytes_of_a_predicate() -> None:
    """Peers of other versions read them."""
    told = pack(
        {
            "is": "Where",
            "type": {
                "is": "EventType",
                "name": "protocol.Reading",
                "members": [{"is": "MemberType", "name": "value", "type": "number"}],
            },
            "expression": [
                {"is": "Name", "name": "event"},
                {"is": "Member", "name": "value"},
                {"is": "Constant", "value": 5},
                {"is": "Apply", "operator": "num.gt", "operands": 2},
            ],
        }
    )
    assert pack_where(where(), [Reading]) == told


def test_of_an_event_type_only_what_is_asked_for_travels() -> None:
    other = Where(EventType("protocol.Reading", (MemberType("value", "number"),), known=True), HIGH)
    assert pack_where(where(), [Reading]) == pack_where(other, [Reading])


def test_publishers_ask_what_programs_subscribe_to() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x", ["protocol.Reading"], where=pack_where(where(), [Reading]))
    wiring.settle()
    wiring.publish("a", "x", *range(10))
    wiring.settle()
    assert [message.event.value for message in read(subscription)] == [6, 7, 8, 9]
    figures = wiring["a"].node.figures(wiring.now).endpoint
    assert (figures.published, figures.filtered, figures.unjudged) == (4, 6, 0)


@pytest.mark.parametrize(
    ("predicate", "kinds", "why"),
    [
        (True, [Reading], "expected a predicate, found bool"),
        (lambda event: True, [Reading], "expected a predicate, found function"),
        (where(), [], "exactly one event class"),
        (where(), [Reading, Block], "exactly one event class"),
        (where(), ["protocol.Reading"], "exactly one event class"),
        (where(), [Block], "a predicate on protocol.Reading, and a subscription to protocol.Block"),
        (where(Apply("num.gt", (Member(Name("event"), "missing"), Constant(5)))), [Reading], "missing"),
    ],
)
def test_what_is_no_predicate_for_a_subscription_says_why(predicate: Any, kinds: list[Any], why: str) -> None:
    with pytest.raises(RuleError, match=why):
        pack_where(predicate, kinds)


def test_a_class_that_is_no_event_is_told_as_such() -> None:
    with pytest.raises(EventDefinitionError, match="int is not an event class"):
        pack_where(where(), [int])


def test_a_predicate_that_is_too_large_says_so() -> None:
    words = Constant(tuple("x" * 100 for _ in range(WHERE_BYTES_MAX // 100)))
    large = Apply("str.in", (Member(Name("event"), "host"), words))
    with pytest.raises(NotCarried, match=f"at most {WHERE_BYTES_MAX} bytes"):
        pack_where(where(large), [Reading])


def former(fields: dict[str, Any]) -> type:
    """Return the class as a program has it in another version."""
    body = {"__annotations__": fields, "__qualname__": "former.<locals>.Versions", "__module__": __name__}
    return broker.event(name="protocol.Versions")(type("Versions", (), body))


def test_a_publisher_whose_class_is_of_another_version_asks_what_it_can() -> None:
    packed = pack_where(where(HIGH, "protocol.Versions"), [former({"host": str, "value": int})])
    more = former({"host": str, "value": float, "later": str})
    assert asked(packed, more("a", 6.0, "")) == (True, 0)
    assert asked(packed, more("a", 5.0, "")) == (False, 0)
    assert asked(packed, former({"host": str})("a")) == (True, 1)
    assert asked(packed, former({"host": str, "value": str})("a", "0")) == (True, 1)
    assert asked(packed, former({"host": str, "value": float | None})("a", None)) == (False, 0)


def test_events_of_other_names_and_those_without_a_class_cannot_be_asked_about() -> None:
    packed = pack_where(where(), [Reading])
    assert asked(packed, Block(1, b"")) == (True, 1)
    assert asked(packed, Alike("a", 1)) == (True, 1)
    assert asked(packed, broker.Event("protocol.Reading", ("a", 1))) == (True, 1)
    assert asked(packed, 7) == (True, 1)


@pytest.mark.parametrize(
    "data",
    [
        to_data(HIGH),
        to_data(where(type_="string")),
        to_data(where(Apply("num.gt", (VALUE,)))),
        to_data(where(Apply("os.system", (VALUE, Constant(5))))),
        to_data(where(Apply("num.gt", (Member(Name("event"), "__class__"), Constant(5))))),
        to_data(where(Apply("num.gt", (Member(Name("other"), "value"), Constant(5))))),
        to_data(where(Constant("text"))),
        [to_data(where())],
        None,
    ],
)
def test_what_peers_may_send_as_a_predicate_and_is_none_is_true(data: Any) -> None:
    assert asked(pack(data), Reading("a", 1)) == (True, 1)


@settings(max_examples=200)
@given(st.binary(max_size=200) | values(max_leaves=10).map(pack))
def test_whatever_a_peer_sends_is_asked_without_harm(packed: bytes) -> None:
    assert asked(packed, Reading("a", 1)) == (True, 1)


@given(st.data())
def test_predicates_that_are_nearly_right_are_asked_without_harm(data: st.DataObject) -> None:
    mutated = bytearray(pack_where(where(), [Reading]))
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    wiring = Wiring("a")
    node = wiring["a"].node
    subscription = node.subscribe("x", ["protocol.Reading"], where=bytes(mutated))
    node.publish("x", Reading("a", 6), NOW_NS)
    node.flush()
    assert len(read(subscription)) <= 1


# -- time ------------------------------------------------------------------------------------------------------------

HOST = Member(Name("event"), "host")


def chain(operator: str, first: Expression, times: int, *others: Expression) -> Expression:
    for _ in range(times):
        first = Apply(operator, (first, *others))
    return first


@pytest.mark.parametrize(
    "laborious",
    [
        Apply("num.gt", (Apply("vec.len", (chain("vec.neg", Constant((1,) * 5_000), 90),)), VALUE)),
        Apply("num.in", (VALUE, chain("vec.add", Constant((1,) * 500), 90, Constant((1,))))),
        Apply("num.gt", (Apply("str.len", (chain("str.lower", Constant("x" * 15_000), 90),)), VALUE)),
        Apply("str.matches", (HOST, Constant("(?:[ab]*a[ab]{300}){3}c"))),
        Apply("str.matches", (HOST, Constant(r"(?:\b|[ab]){1000}c"))),
        Apply("str.matches", (HOST, Constant("[ab]{0,100000}c"))),
    ],
)
def test_a_predicate_that_walks_through_too_much_is_not_asked(laborious: Expression) -> None:
    data = Where(
        EventType("protocol.Reading", (MemberType("host", "string"), MemberType("value", "number"))), laborious
    )
    assert asked(pack(to_data(data)), Reading("a", 6)) == (True, 1)
    with pytest.raises(RuleError, match=r"walks through too much|may be left out"):
        pack_where(data, [Reading])


class Timed:
    """Predicates of which each takes the time that its bytes say, in microseconds, by a clock of their own."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.compiling_ns = 0
        self.asked: list[bytes] = []
        self.predicates = Predicates()
        self.predicates.timer = lambda: self.now_ns
        self.predicates.make_test = self.make_test

    def make_test(self, where: bytes, kind: type) -> Callable[[object], bool]:
        self.now_ns += self.compiling_ns

        def test(event: object) -> bool:
            self.asked.append(where)
            self.now_ns += int(where) * 1_000
            return False

        return test

    def answers(self, fork: Fork, times: int = 1) -> list[int]:
        return [self.predicates.answer(fork, Reading("a", 1)) for _ in range(times)]


def test_predicates_that_take_too_long_are_asked_no_more() -> None:
    timed = Timed()
    fork = Fork((b"1", b"500000", b"2", b"900"), (), ())
    assert timed.answers(fork, 3) == [0, 0b0010, 0b0010]
    assert timed.asked.count(b"500000") == 2  # and once alone: it could have been a chance
    assert timed.asked.count(b"900") == 4
    assert timed.predicates.unjudged == 2
    # Nor are they in another fork.
    assert timed.answers(Fork((b"500000", b"3"), (), ())) == [0b01]


def test_many_predicates_that_take_too_long_together_are_not_all_asked() -> None:
    timed = Timed()
    fork = Fork(tuple(b"%d" % (100 + place) for place in range(20)), (), ())
    assert [answer.bit_count() for answer in timed.answers(fork, 2)] == [0, 11]


def test_compiling_predicates_takes_a_share_of_the_time() -> None:
    timed = Timed()
    timed.compiling_ns = 1_000_000_000
    for place in range(20):
        timed.answers(Fork((b"%d" % place,), (), ()))
    assert len(set(timed.asked)) == 6  # what was granted, and one that had begun
    assert timed.answers(Fork((b"0",), (), ())) == [0]  # those that are compiled are asked
    timed.now_ns += 200_000_000_000
    later = Fork((b"77",), (), ())
    assert timed.answers(later, 2) == [0, 0]
