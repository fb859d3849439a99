"""The classes of event types: what comes in, what is made, what is published."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

import broker
from broker.errors import RuleError
from broker.rules.compiling import EvaluationFailed, EventClasses, Misfit, class_for
from broker.rules.event_types import event_type
from broker.rules.model import EventType, MemberType, Program


@broker.event(name="tests.rules.Counted")
class Counted:
    host: str
    times: int = 0
    path: list[float] = attrs.Factory(list)
    note: str | None = None


COUNTED = event_type(Counted)
POSITION = EventType("Position", (MemberType("time", "vector"), MemberType("position", "vector")))
CHILD = EventType("Child", (*POSITION.members, MemberType("name", "string", optional=True)), "Position")
GRANDCHILD = EventType("Grandchild", CHILD.members, "Child")


@pytest.fixture
def classes() -> EventClasses:
    return EventClasses(Program((POSITION, CHILD, GRANDCHILD, COUNTED)))


def test_the_types_of_a_class_are_those_of_its_annotations() -> None:
    assert (
        EventType(
            "tests.rules.Counted",
            (
                MemberType("host", "string"),
                MemberType("times", "number"),
                MemberType("path", "vector"),
                MemberType("note", "string", optional=True),
            ),
            known=True,
        )
        == COUNTED
    )

    @broker.event(name="tests.rules.CountedMore")
    class CountedMore(Counted):
        more: dict[str, int] = attrs.Factory(dict)
        span: timedelta = timedelta(0)

    child = event_type(CountedMore)
    assert child.parent == COUNTED.name
    assert child.members[4:] == (MemberType("more", "any"), MemberType("span", "duration"))


def test_a_declared_event_becomes_an_instance_and_an_event_again(classes: EventClasses) -> None:
    instance = classes.accept(broker.Event("Position", ([0], 6)))
    assert (instance.time, instance.position) == ((0.0,), (6.0,))
    assert classes.type_of(instance) == "Position"
    assert instance == classes.make("Position", {"position": (6.0,), "time": (0.0,)})
    assert classes.to_event(instance) == broker.Event("Position", ([0.0], [6.0]))
    with pytest.raises(AttributeError):
        instance.time = (1.0,)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (broker.Event("Position", ([1],)), "Position.position: expected vector, found nothing"),
        (broker.Event("Position", ([1], "a")), "Position.position: expected vector, found str 'a'"),
        (broker.Event("Position", ([True], [1])), "Position.time: expected vector, found list"),
        (broker.Event("Position", (None, [1])), "Position.time: expected vector, found None"),
        (broker.Event("Child", ([1], [1], 3)), "Child.name: expected string, found int 3"),
    ],
)
def test_an_event_that_does_not_fit_its_type_is_a_misfit(classes: EventClasses, event: broker.Event, told: str) -> None:
    misfit = classes.accept(event)
    assert isinstance(misfit, Misfit)
    assert str(misfit).startswith(told)


def test_members_that_may_be_missing_may(classes: EventClasses) -> None:
    assert classes.accept(broker.Event("Child", ([1], [1]))).name is None
    assert classes.accept(broker.Event("Child", ([1], [1], None, "from a newer program"))).name is None


def test_an_instance_of_a_class_that_has_a_declared_name_becomes_one(classes: EventClasses) -> None:
    @broker.event(name="Position")
    class Elsewhere:
        when: float
        where: list[float]

    instance = classes.accept(Elsewhere(1, [2]))
    assert classes.type_of(instance) == "Position"
    assert (instance.time, instance.position) == ((1.0,), (2.0,))


def test_a_known_event_is_its_class_own(classes: EventClasses) -> None:
    event = Counted("web-01")
    assert classes.accept(event) is event
    assert classes.to_event(event) is event
    other = broker.Event("Whatever", (1,))
    assert classes.accept(other) is other


def test_a_known_event_is_made_as_its_annotations_ask(classes: EventClasses) -> None:
    made = classes.make(COUNTED.name, {"host": "a", "times": 3.0, "path": (1.0, 2.0), "note": None})
    assert made == Counted("a", 3, [1.0, 2.0], None)
    assert type(made.times) is int
    fitting: dict[str, object] = {"host": "a", "times": 3.0, "path": (), "note": None}
    with pytest.raises(EvaluationFailed, match=r"times: expected int, found float 3\.5"):
        classes.make(COUNTED.name, fitting | {"times": 3.5})
    with pytest.raises(EvaluationFailed, match="host: expected str"):
        classes.make(COUNTED.name, fitting | {"host": None})


def test_subtypes_are_all_that_extend(classes: EventClasses) -> None:
    assert classes.subtypes("Position") == ("Position", "Child", "Grandchild")
    assert classes.subtypes("Grandchild") == ("Grandchild",)


def test_makers_know_types_and_members(classes: EventClasses) -> None:
    with pytest.raises(RuleError, match="no event type 'Nothing'"):
        classes.maker("Nothing", ())
    with pytest.raises(RuleError, match="made of time, position, each once"):
        classes.maker("Position", ("time", "time"))


def test_a_known_type_must_be_that_of_the_class_here() -> None:
    with pytest.raises(RuleError, match="import the module"):
        EventClasses(Program((EventType("tests.rules.Nowhere", (), known=True),)))
    with pytest.raises(RuleError, match="other members"):
        EventClasses(Program((EventType(COUNTED.name, COUNTED.members[:1], known=True),)))


def test_a_class_is_generated_once_and_members_are_names() -> None:
    assert class_for(POSITION) is class_for(EventType("Position", POSITION.members))
    with pytest.raises(RuleError, match="no name of a member"):
        class_for(EventType("T", (MemberType("a b", "number"),)))
