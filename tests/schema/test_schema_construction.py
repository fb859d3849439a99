"""Events are made by a faster ``__init__`` than attrs' own: all that one can do with an attrs class still holds."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import attrs
import pytest

from broker import events


@events.event
class Fast:
    host: str
    used: float = 0.5
    tags: list[str] = attrs.field(factory=list)
    _hidden: int = 3
    unit: str = attrs.field(default="%", kw_only=True)


@attrs.frozen(weakref_slot=False)
class Reference:
    host: str
    used: float = 0.5
    tags: list[str] = attrs.field(factory=list)
    _hidden: int = 3
    unit: str = attrs.field(default="%", kw_only=True)


@events.event
class Hashable:
    host: str
    number: int


CALLS = [
    ((), {}),
    (("a",), {}),
    (("a", 1.0, ["x"], 4), {"unit": "B"}),
    ((), {"host": "a", "hidden": 9}),
    ((), {"host": "a", "_hidden": 9}),
    (("a", 1.0, [], 4, 5), {}),
    (("a",), {"host": "b"}),
    (("a",), {"colour": "red"}),
    (("a", 1.0, None), {}),
]


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_arguments_are_taken_and_refused_as_attrs_does(args: Any, kwargs: Any) -> None:
    def outcome(cls: Any) -> object:
        try:
            return attrs.astuple(cls(*args, **kwargs))
        except TypeError as error:
            return str(error).replace(cls.__name__, "")

    assert outcome(Fast) == outcome(Reference)


def test_it_says_the_same_of_itself() -> None:
    ours, theirs = inspect.signature(Fast), inspect.signature(Reference)
    assert [(p.name, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.kind) for p in theirs.parameters.values()
    ]
    assert str(ours) == str(theirs)
    assert Fast.__init__.__annotations__ == Reference.__init__.__annotations__
    assert Fast.__init__.__qualname__ == "Fast.__init__"
    assert Fast.__init__.__module__ == __name__


def test_each_instance_has_its_own_default_list() -> None:
    assert Fast("a").tags is not Fast("a").tags


def test_it_is_frozen_and_has_slots() -> None:
    event = Fast("a")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.host = "b"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del event.host
    assert not hasattr(event, "__dict__")


def test_it_is_compared_hashed_and_shown_as_attrs_does() -> None:
    assert Hashable("a", 1) == Hashable("a", 1) != Hashable("a", 2)
    assert {Hashable("a", 1): 1}[Hashable("a", 1)] == 1
    assert repr(Fast("a")) == "Fast(host='a', used=0.5, tags=[], _hidden=3, unit='%')"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_pickled_and_copied(protocol: Any) -> None:
    event = Fast("a", tags=["x"])
    assert pickle.loads(pickle.dumps(event, protocol)) == event  # noqa: S301 - our own bytes
    assert copy.copy(event) == copy.deepcopy(event) == event


def test_it_is_evolved() -> None:
    evolve: Any = attrs.evolve  # mypy takes an event for a dataclass
    assert evolve(Fast("a", tags=["x"]), host="b", hidden=1) == Fast("b", 0.5, ["x"], 1)


def test_a_match_statement_takes_it_apart() -> None:
    match Hashable("a", 1):
        case Hashable(host, number):
            assert (host, number) == ("a", 1)
        case _:
            pytest.fail("an event is matched by position")


def test_subclasses_of_every_sort_can_be_made() -> None:
    class Plain(Hashable):
        pass

    @events.event
    class Longer(Hashable):
        extra: str

    class WithInit(Hashable):
        def __init__(self, host: str) -> None:
            super().__init__(host, 7)

    plain = Plain("a", 1)
    assert (type(plain), plain.host, plain.number) == (Plain, "a", 1)
    assert (WithInit("a").number, type(WithInit("a"))) == (7, WithInit)
    assert Longer("a", 1, "x").extra == "x"


def test_what_a_decoder_makes_is_in_no_way_different() -> None:
    name, row = events.encode(Hashable("a", 1), 1)
    (message,), _ = events.decoder_for(name)(b"\x91" + row, 1, "t", "o")
    event = message.event
    assert type(event) is Hashable
    assert (event, hash(event), repr(event)) == (Hashable("a", 1), hash(Hashable("a", 1)), repr(Hashable("a", 1)))
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - our own bytes
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.host = "b"  # type: ignore[misc]


def test_validators_converters_and_post_init_run() -> None:
    @events.event
    class Strict:
        a: int = attrs.field(converter=int)
        b: int = attrs.field(validator=attrs.validators.gt(0))
        c: int = attrs.field(init=False, default=0)

        def __attrs_post_init__(self) -> None:
            object.__setattr__(self, "c", self.a + self.b)

    assert Strict("3", 4).c == 7  # type: ignore[arg-type] # the converter takes it
    with pytest.raises(ValueError, match="'b' must be > 0"):
        Strict(1, 0)
    name, row = events.encode(Strict(3, 4), 1)
    assert events.decoder_for(name)(b"\x91" + row, 1, "t", "o")[0][0].event.c == 7
