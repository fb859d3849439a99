"""Which annotations a field may have, what comes back for each, and what is said of the others."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import re
import typing
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import count
from typing import Any, Literal, Optional, Union
from uuid import UUID

import attrs
import pytest

from broker import events
from broker.errors import EventDefinitionError, EventMisfit, NotCarried
from broker.events import Event
from broker.values import Count, EnumValue, Port, Timestamp

numbers = count()


class Mode(enum.Enum):
    RAID = object()
    PLAIN = 1
    ALIAS = PLAIN


class Colour(enum.Enum):
    RED = 1


class Permission(enum.Flag):
    READ = 1


@attrs.frozen
class Mount:
    path: str
    size: int = 0
    inner: list[Mount] = attrs.field(factory=list)


@attrs.define
class Loose:
    """Not frozen, with a ``__weakref__`` slot."""

    number: int


@attrs.define(slots=False)
class WithDict:
    number: int


@attrs.frozen
class Key:
    host: str
    mode: Mode


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Square:
    side: float


@dataclasses.dataclass
class Data:
    number: int


HostName = typing.NewType("HostName", str)
Number = typing.NewType("Number", int | float)  # type: ignore[valid-newtype] # a union behind a NewType
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def event_with(annotation: Any) -> Any:
    """An event class with one field of that annotation."""
    return events.event(type(f"Made{next(numbers)}", (), {"__annotations__": {"field": annotation}}))


def sent(event: Any) -> Any:
    name, row = events.encode(event, 1)
    messages, misfits = events.decoder_for(name)(b"\x91" + row, 1, "t", "o")
    if misfits:
        raise misfits[0].error
    return messages[0].event


CARRIED: list[tuple[Any, Any]] = [
    (bool, True),
    (int, 2**64 - 1),
    (float, 0.5),
    (str, "ü"),
    (bytes, b"\x00"),
    (None, None),
    (IPv4Address, IPv4Address("10.0.0.1")),
    (IPv6Address, IPv6Address("::1")),
    (IPv4Network, IPv4Network("10.0.0.0/8")),
    (IPv6Network, IPv6Network("fe80::/10")),
    (Port, Port(53, "udp")),
    (Count, Count(7)),
    (EnumValue, EnumValue("Notice::LOG")),
    (datetime, NOON),
    (datetime, Timestamp.from_ns(1_000_000_001)),
    (Timestamp, Timestamp.from_ns(5)),
    (timedelta, timedelta(microseconds=-1)),
    (UUID, UUID(int=5)),
    (list[str], ["a", "b"]),
    (list[float], [1, 1.5]),
    (list, [1, "a", None]),
    (typing.List[int], [1]),  # noqa: UP006 - older programs write it so
    (set[int], {1, 2}),
    (frozenset[tuple[str, int]], frozenset({("a", 1)})),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (tuple, (1, "a")),
    (dict[str, list[int]], {"a": [1]}),
    (dict[tuple[int, int], str], {(1, 2): "a"}),
    (dict, {1: "a"}),
    (Optional[str], None),  # noqa: UP045 - older programs write it so
    (Union[int, str], "a"),  # noqa: UP007
    (str | int | None, 5),
    (bool | int | float | str | bytes | None, b"a"),
    (list[int] | list[str], ["a"]),
    (list[int] | dict[str, int] | None, {"a": 1}),
    (Literal["up", "down"], "down"),
    (Literal[1, "one", None], 1),  # noqa: PYI061 - it is to be understood
    (Literal[Mode.RAID], Mode.RAID),
    (Literal["auto", Mode.RAID], "auto"),
    (Literal["auto", Mode.RAID], Mode.RAID),
    (Mode, Mode.RAID),
    (Mode | Colour, Colour.RED),
    (list[Mode], [Mode.RAID, Mode.PLAIN]),
    (dict[Mode, set[Mode]], {Mode.RAID: {Mode.PLAIN}}),
    (Any, {"a": [1, (2,)]}),
    (object, [None]),
    (int | Any, "a"),
    (HostName, "a"),
    (Number | None, 1.5),
    (typing.Annotated[int, "percent"], 5),
    (Mount, Mount("/", 1)),
    (Mount, Mount("/", 1, [Mount("/home", 2, [Mount("/home/a")])])),
    (list[Mount], [Mount("/"), Mount("/x")]),
    (Mount | None, None),
    (Mount | None, Mount("/")),
    (Mount | str, Mount("/")),
    (tuple[Mount, Mode], (Mount("/"), Mode.PLAIN)),
    (dict[Key, Mount], {Key("a", Mode.RAID): Mount("/")}),
    (set[Key], {Key("a", Mode.RAID), Key("b", Mode.PLAIN)}),
    (Loose, Loose(1)),
    (WithDict, WithDict(1)),
    (Circle | Square, Square(1.0)),
    (list[Circle | Square | None], [Circle(1), None, Square(2.5)]),
]


@pytest.mark.parametrize(("annotation", "value"), CARRIED, ids=lambda thing: re.sub(r" at 0x\w+", "", repr(thing))[:40])
def test_a_value_comes_back_equal_and_of_the_same_type(annotation: Any, value: Any) -> None:
    cls = event_with(annotation)
    back = sent(cls(value))
    assert type(back) is cls
    assert back.field == value
    # A datetime comes back as a Timestamp only if it was one.
    assert type(back.field) is type(value)
    assert repr(back.field) == repr(value) or isinstance(value, set | frozenset | dict)


@pytest.mark.parametrize(
    ("annotation", "value", "field", "expected", "found"),
    [
        (int, True, "field", "int", "bool True"),
        (list[str], ["a", 1], "field[1]", "str", "int 1"),
        (list[str], ("a",), "field", "list[str]", "tuple ('a',)"),
        (set[int], {"a"}, "field{'a'}", "int", "str 'a'"),
        (dict[str, list[int]], {"a": [1, None]}, "field['a'][1]", "int", "None"),
        (dict[str, int], {1: 1}, "field key int 1", "str", "int 1"),
        (tuple[int, str], (1,), "field", "tuple[int, str]", "tuple of 1"),
        (tuple[int, str], (1, 2), "field[1]", "str", "int 2"),
        (Literal["up", "down"], "left", "field", "Literal['up', 'down']", "str 'left'"),
        (Literal[1], True, "field", "Literal[1]", "bool True"),
        (Literal[1, "a"], [], "field", "Literal[1, 'a']", "list []"),
        (str | None, 5, "field", "str | None", "int 5"),
        (list[int] | None, ["a"], "field[0]", "int", "str 'a'"),
    ],
)
def test_a_misfit_is_found_by_both_ends_alike(
    annotation: Any, value: Any, field: str, expected: str, found: str
) -> None:
    cls = event_with(annotation)
    for event in (cls(value), Event(cls.__name__, (value,))):
        with pytest.raises(EventMisfit) as caught:
            sent(event)
        error = caught.value
        assert (error.field, error.expected, error.found) == (field, expected, found)


@pytest.mark.parametrize(
    ("annotation", "value", "field", "expected"),
    [
        (Mode, Colour.RED, "field", "Mode"),
        (Literal[Mode.RAID], Mode.PLAIN, "field", "Literal[Mode.RAID]"),
        (Mount, Circle(1), "field", "Mount"),
        (Mount, Mount("/", 1, [Mount("/x", "big")]), "field.inner[0].size", "int"),  # type: ignore[arg-type]
        (list[Circle | Square], [Circle(1), Square("a")], "field[1].side", "float"),  # type: ignore[arg-type]
    ],
)
def test_a_publisher_is_led_into_nested_objects(annotation: Any, value: Any, field: Any, expected: Any) -> None:
    with pytest.raises(EventMisfit) as caught:
        sent(event_with(annotation)(value))
    assert (caught.value.field, caught.value.expected) == (field, expected)


@pytest.mark.parametrize(
    ("annotation", "value", "field"),
    [
        (Mode, EnumValue("SSD"), "field"),
        (Mode, "RAID", "field"),
        (Mount, "not an array", "field"),
        (Mount, ["/", 1, [["/x", "big"]]], "field.inner[0].size"),
        (Mount, [], "field.path"),
        (Circle | Square, ["Triangle", [1.0]], "field"),
        (Circle | Square, ["Square", ["a"]], "field.side"),
        (Circle | Square, [], "field"),
    ],
)
def test_a_receiver_is_led_into_nested_objects(annotation: Any, value: Any, field: Any) -> None:
    cls = event_with(annotation)
    with pytest.raises(EventMisfit) as caught:
        sent(Event(cls.__name__, (value,)))
    assert caught.value.field == field


def test_nested_objects_take_defaults_and_leave_the_unknown_out() -> None:
    cls = event_with(list[Mount])
    assert sent(Event(cls.__name__, ([["/"], ["/x", 5, [], "new"]],))).field == [Mount("/"), Mount("/x", 5)]


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (list[Mount], [Mount("/", 1, [Mount("/x", 2**64)])], ".field[0].inner[0].size"),
        (dict[str, Mount], {"a": Mount("\ud800")}, ".field['a'].path"),
        (tuple[int, Mount], (1, Mount("/", 2**64)), ".field[1].size"),
        (Mount | None, Mount("/", 2**64), ".field.size"),
        (Any, [1, {"a": object()}], ".field[1]['a']"),
        (datetime, datetime(2024, 1, 1), ".field"),  # noqa: DTZ001 - it is to be refused
        (list[int], [1, 2**64], ".field[1]"),
    ],
)
def test_the_path_to_what_is_not_carried_names_fields(annotation: Any, value: Any, path: Any) -> None:
    with pytest.raises(NotCarried) as caught:
        sent(event_with(annotation)(value))
    assert caught.value.path == path


def test_objects_nested_too_deeply_are_refused() -> None:
    mount = Mount("/")
    for _ in range(2_000):
        mount = Mount("/", 0, [mount])
    with pytest.raises(NotCarried, match="nested deeper"):
        sent(event_with(Mount)(mount))


@pytest.mark.parametrize(
    ("annotation", "advice"),
    [
        (complex, "complex"),
        (bytearray, "write bytes"),
        (collections.abc.Sequence[int], "write list"),
        (collections.abc.Mapping[str, int], "write dict"),
        (collections.abc.Callable[[], int], "cannot be carried"),
        (Data, "Data is neither"),
        (Permission, "annotate the field with int"),
        (type[int], "cannot be carried"),
        (typing.TypeVar("T"), "cannot be carried"),
        (list[complex], "complex"),
        (dict[str, complex], "complex"),
        (tuple[int, complex], "complex"),
        (str | complex, "complex"),
        (Mount | list[int], "told apart"),
        (Mount | tuple[int, ...], "told apart"),
        (list[Circle] | list[Square], "told apart"),
        (Mode | EnumValue, "told apart"),
        (Mode | Any, "told apart"),
        (Mode | enum.Enum("Other", ["RAID"]), "told apart"),
        (Circle | attrs.make_class("Circle", ["radius"]), "same name"),
    ],
    ids=lambda thing: repr(thing)[:40],
)
def test_an_annotation_that_cannot_be_is_refused_with_class_and_field(annotation: Any, advice: Any) -> None:
    with pytest.raises(EventDefinitionError, match=rf"Made\d+\.field: .*{advice}"):
        event_with(annotation)


def test_a_field_without_annotation_is_refused() -> None:
    with pytest.raises(EventDefinitionError, match="Bare"):

        @events.event
        class Bare:
            field = attrs.field()


@events.event
class Early:
    """Refers to what the module defines further down."""

    later: Later | None
    itself: list[Early] = attrs.field(factory=list)


@attrs.frozen
class Later:
    number: int


def test_a_class_may_be_named_before_it_exists() -> None:
    event = Early(Later(1), [Early(None)])
    assert sent(event) == event


def test_classes_of_a_function_may_name_each_other() -> None:
    @attrs.frozen
    class Inside:
        number: int

    @events.event
    class Around:
        field: list[Inside]
        parent: Around | None = None

    event = Around([Inside(1)], Around([]))
    assert sent(event) == event


def test_a_name_that_never_comes_to_exist_is_told_at_first_use() -> None:
    @events.event
    class Lost:
        field: Nowhere  # type: ignore[name-defined] # noqa: F821 - that is the point

    with pytest.raises(EventDefinitionError, match=r"Lost: name 'Nowhere' is not defined"):
        events.encode(Lost(1), 1)
    with pytest.raises(EventDefinitionError, match="Nowhere"):
        events.encoder_for(Lost)
