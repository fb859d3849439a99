"""What rules have to be given: no more than they listen to, and nothing twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.rules import language
from broker.rules.engine.interests import Interest, interests, least, subtypes
from broker.rules.model import EventType, Program, Rule, Step

PREFIXES = st.lists(st.text("ab/", max_size=3), max_size=3).map(tuple)


def wanted(text: str, *topics: str) -> tuple[Interest, ...]:
    return interests(language.load(text), topics or ("",))


def test_rules_that_listen_to_parts_of_each_other_s_topics_share_a_subscription() -> None:
    text = """
    event A { x }; event B extends A { y }; event C { z }; C c(A a) := { z = a.x };
    One: [A a] on "host/" -> c;
    Two: [A a] on "host/web/", "db/" -> c;
    Three: [B b] -> c;
    """
    assert wanted(text) == (
        Interest("", ("B",)),
        Interest("db/", ("A",)),
        Interest("host/", ("A",)),
    )
    assert wanted(text, "host/web/") == (Interest("host/web/", ("A", "B")),)
    assert wanted(text, "elsewhere/") == (Interest("elsewhere/", ("B",)),)


def test_rules_that_are_switched_off_want_nothing() -> None:
    rule = Rule("R", (Step("a", "A"),), active=False)
    assert interests(Program((EventType("A"),), (), (rule,))) == ()


def test_reserved_topics_are_not_below_the_empty_prefix() -> None:
    assert least(["", "$broker/", "host/"]) == ["", "$broker/"]


def test_types_that_extend_each_other_in_a_circle_end() -> None:
    types = (
        EventType("A", parent="B"),
        EventType("B", parent="A"),
        EventType("C", parent="C"),
        EventType("D", parent="A"),
    )
    assert subtypes(types, "A") == {"A", "B", "D"}
    assert subtypes(types, "C") == {"C"}


@given(
    st.lists(st.tuples(st.sampled_from("AB"), PREFIXES), max_size=4), PREFIXES, st.text("ab/", min_size=1, max_size=5)
)
def test_a_message_comes_once_if_a_rule_wants_it_and_else_not(
    rules: list[tuple[str, tuple[str, ...]]], topics: tuple[str, ...], topic: str
) -> None:
    topic = topic.replace("//", "/").replace("//", "/")
    made = [Rule(f"R{place}", (Step("x", kind),), listens=listens) for place, (kind, listens) in enumerate(rules)]
    program = Program((EventType("A"), EventType("B", parent="A")), (), tuple(made))
    found = interests(program, topics)
    for name in "AB":
        times = sum(name in one.names and topic.startswith(one.prefix) for one in found)
        kinds = {"A"} if name == "A" else {"A", "B"}
        heard = any(
            kind in kinds and any(topic.startswith(_normal(prefix)) for prefix in listens or ("",))
            for kind, listens in rules
        )
        assert times == (heard and any(topic.startswith(_normal(prefix)) for prefix in topics))


def _normal(prefix: str) -> str:
    return prefix.replace("//", "/").replace("//", "/")
