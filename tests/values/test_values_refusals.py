"""What is not carried is refused on the sender's side, with the path to it and what to do."""

from __future__ import annotations

import decimal
import enum
import re
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from broker.errors import NotCarried
from broker.values import Count, EnumValue, Limits, Port, lower, pack


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - untyped as users write it


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, "subclass of int"),
        (Name("x"), "subclass of str"),
        (Pair(1, 2), "subclass of tuple"),
        (OrderedDict(), "subclass of dict"),
        (decimal.Decimal(1), "decimal.Decimal is not carried: send it as str"),
        (bytearray(b"x"), "convert it to bytes"),
        (1j, "complex"),
        (date(2024, 1, 1), "datetime.date"),
        (object(), "object is not carried"),
        (int, "type is not carried"),
        (2**64, "outside -2**63 to 2**64 - 1"),
        (-(2**63) - 1, "outside -2**63 to 2**64 - 1"),
        ("a\ud800", "lone surrogate"),
        (datetime(2024, 1, 1), "naive datetime"),  # noqa: DTZ001 - naive is the point
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "outside the years"),
        (IPv6Address("fe80::1%eth0"), "scope"),
        (IPv6Network((IPv6Address("fe80::1%eth0"), 128)), "scope"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else type(value).__name__,
)
def test_a_value_that_is_not_carried_says_why(value: Any, text: str) -> None:
    with pytest.raises(NotCarried, match=re.escape(text)) as caught:
        pack(value)
    assert caught.value.path == ""


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"mounts": [0, 1, 2, 1j]}, "['mounts'][3]"),
        ([1, (2, {"a": {3: 2**64}})], "[1][1]['a'][3]"),
        ({(1, Name("x")): 1}, ".keys(){<tuple>}[1]"),
        ({frozenset({Name("x")})}, "{<frozenset>}{<Name>}"),
        (["x" * 10, "\ud800"], "[1]"),
        ([1, 2, 2**64], "[2]"),
        ({"a": 2**64}, "['a']"),
        ({10**5000: 1}, ".keys(){<int>}"),
    ],
)
def test_the_path_leads_to_the_value(value: Any, path: str) -> None:
    with pytest.raises(NotCarried) as caught:
        lower(value, ".event")
    assert caught.value.path == ".event" + path


def test_a_list_that_contains_itself_is_refused() -> None:
    cycle: list[Any] = [1]
    cycle.append([cycle])
    with pytest.raises(NotCarried, match="contains itself"):
        pack(cycle)


def nested(depth: int) -> Any:
    value: Any = ()
    for level in range(depth - 1):
        value = [value] if level % 2 else {"x": value}
    return value


def test_the_deepest_value_is_carried_and_one_deeper_is_refused() -> None:
    pack(nested(64))
    with pytest.raises(NotCarried, match="deeper than 64"):
        pack(nested(65))


def test_elements_of_all_containers_are_counted_together() -> None:
    limits = Limits(max_elements=10)
    lower([[1, 2], {3: 4}, (5,), {6}], limits=limits)
    with pytest.raises(NotCarried, match="more than 10 elements"):
        lower([[1, 2], {3: 4}, (5,), {6, 7}], limits=limits)


def test_a_value_shared_over_and_over_is_counted_each_time() -> None:
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value]
    with pytest.raises(NotCarried, match="elements in one value"):
        pack(value)


def test_long_text_and_bytes_are_refused_with_their_path() -> None:
    limits = Limits(max_bytes=10)
    lower({"a": ["x" * 10, b"y" * 10]}, limits=limits)
    for long in ("x" * 11, "é" * 6, b"y" * 11):
        with pytest.raises(NotCarried, match="more than 10") as caught:
            lower({"a": [long]}, limits=limits)
        assert caught.value.path == "['a'][0]"


def test_a_value_of_too_many_bytes_in_all_is_refused() -> None:
    half = b"x" * (8 * 1024 * 1024)
    with pytest.raises(NotCarried, match="send it in parts"):
        pack([half, half])


def test_keys_that_have_the_same_bytes_are_refused() -> None:
    one, other = (float("nan"),), (float("nan"),)
    with pytest.raises(NotCarried, match="same bytes"):
        pack({one: 1, other: 2})
    with pytest.raises(NotCarried, match="same bytes"):
        pack({one, other})


def test_an_aware_datetime_of_any_zone_is_carried() -> None:
    lower(datetime(2024, 1, 1, tzinfo=UTC))
    lower(datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Port(65536, "tcp"), ValueError),
        (lambda: Port(-1, "tcp"), ValueError),
        (lambda: Port(True, "tcp"), TypeError),
        (lambda: Port(1, "sctp"), ValueError),  # type: ignore[arg-type]
        (lambda: Count(-1), ValueError),
        (lambda: Count(2**64), ValueError),
        (lambda: EnumValue(""), ValueError),
        (lambda: EnumValue("x" * 256), ValueError),
        (lambda: EnumValue("\ud800"), ValueError),
        (lambda: EnumValue(1), TypeError),  # type: ignore[arg-type]
    ],
)
def test_our_own_types_refuse_what_they_cannot_hold(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
