"""Elements that Python takes for the same share a place, whole or nested; no others do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_model import do, journal

from broker.errors import Malformed, NoSuchElement, TypeClash
from broker.stores.commands import Command, Insert, Remove, SetTo
from broker.stores.contents import Contents
from broker.stores.elements import elements_of, gather, place_of, read_element, row_of, spread_kind
from broker.stores.entries import DICT, LIST, SET, WHOLE, pack_key
from broker.testing import strategies
from broker.values import Count, Timestamp, pack

INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
TWINS: list[list[Any]] = [
    [1, 1.0, True, Count(1)],
    [0, 0.0, -0.0, False, Count(0)],
    [2**63, 2.0**63, Count(2**63)],
    [-(2**63), -(2.0**63)],
    [INSTANT, Timestamp(2026, 1, 2, 3, 4, 5, 678900)],
]
NESTED: list[Callable[[Any], Any]] = [
    lambda value: (value, "x"),
    lambda value: frozenset({value, "x"}),
    lambda value: ("y", (frozenset({value}),)),
]
FAMILIES = TWINS + [[nest(value) for value in family] for family in TWINS for nest in NESTED]
PAIRS = [(one, other) for family in FAMILIES for one in family for other in family if pack(one) != pack(other)]

twins = st.sampled_from([value for family in TWINS for value in family])
tangled = st.recursive(
    twins | strategies.scalars().filter(lambda value: value == value),  # noqa: PLR0124 - anything but NaN
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)


def contents_of(*commands: Command) -> Contents:
    kept = journal()
    for command in commands:
        do(kept, command)
    return Contents("hosts", kept)


@given(tangled, tangled)
def test_the_place_is_the_same_for_those_that_are_equal_and_for_no_others(one: Any, other: Any) -> None:
    assert (place_of(pack(one)) == place_of(pack(other))) == (one == other)


@given(st.sampled_from(PAIRS))
def test_twins_share_a_place(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert one == other
    assert place_of(pack(one)) == place_of(pack(other))


@pytest.mark.parametrize("beside", [range(2, 4), range(2, 1000)], ids=["small", "spread"])
@pytest.mark.parametrize(("there", "other"), [*PAIRS[::7], (1, True), (0.0, -0.0), ((1,), (True,))], ids=repr)
def test_a_twin_of_an_element_is_refused_not_collapsed(there: Any, other: Any, beside: range) -> None:
    key = pack_key("k")
    kept = journal()
    for whole, value in ((set(beside), None), (dict.fromkeys(beside, "v"), pack("v"))):
        do(kept, SetTo(key, pack(whole)), Insert(key, pack_key(there), value))
        with pytest.raises(TypeClash, match=r"which Python takes for the same as .*: remove that one first"):
            do(kept, Insert(key, pack_key(other), value))
        with pytest.raises(NoSuchElement, match=r"has no element .*, but "):
            do(kept, Remove(key, pack_key(other)))
        contents = Contents("hosts", kept)
        assert contents.size("k") == len(beside) + 1
        assert len(contents.find("k")) == len(beside) + 1
        (found,) = [element for element in contents.find("k") if element == there]
        assert pack(found) == pack(there)
        do(kept, Remove(key, pack_key(there)), Insert(key, pack_key(other), value))
        assert Contents("hosts", kept).size("k") == len(beside) + 1


def test_an_element_is_found_by_type_too() -> None:
    contents = contents_of(
        SetTo(pack_key("s"), pack({True, "x"})),
        SetTo(pack_key("d"), pack({1.0: "float"})),
        Insert(pack_key("spread"), pack_key(True), pack("bool")),
    )
    assert [contents.element("s", index) for index in (True, 1, 1.0, Count(1), "x")] == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert contents.element("d", 1.0) == "float"
    assert contents.element("spread", True) == "bool"
    for key, index in (("d", 1), ("d", True), ("spread", 1), ("spread", Count(1))):
        with pytest.raises(NoSuchElement):
            contents.element(key, index)


@given(strategies.values(8))
def test_what_is_taken_apart_gathers_to_the_same(value: Any) -> None:
    packed = pack(value)
    kind = spread_kind(packed)
    kinds: dict[type, int] = {set: SET, dict: DICT, list: LIST}
    assert kind == kinds.get(type(value), WHOLE)
    if kind == WHOLE:
        with pytest.raises(Malformed):
            list(elements_of(packed))
        return
    rows = sorted((b"12345678" + place, row) for place, row in elements_of(packed))
    found = gather(kind, rows)
    assert type(found) is type(value)
    assert sorted(map(pack, found)) == sorted(map(pack, value))
    assert kind != DICT or all(pack(found[key]) == pack(value[key]) for key in value if key == key)  # noqa: PLR0124


@given(strategies.hashable_values(), st.binary(max_size=5))
def test_a_row_says_who_is_there(element: Any, value: bytes) -> None:
    packed = pack(element)
    place = place_of(packed)
    if place == packed and value[:1] == b"\xc1":
        return  # begins no value
    assert read_element(place, row_of(packed, place, value)) == (packed, value)


@pytest.mark.parametrize("kind", [SET, DICT])
def test_elements_chosen_to_have_one_hash_are_no_container(kind: int) -> None:
    alike = [UUID(int=number * (2**61 - 1)) for number in range(1, 200)]
    packed = [pack(member) for member in alike]
    rows = [(bytes(8) + element, row_of(element, element, b"" if kind == SET else pack(1))) for element in packed]
    with pytest.raises(Malformed, match="one hash"):
        gather(kind, rows)
