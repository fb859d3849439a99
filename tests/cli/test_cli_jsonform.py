"""Values as JSON: nothing is lost on the way there and back, and what stands for no value is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from broker.cli.jsonform import FormError, dumps, from_json, loads, to_json
from broker.testing.strategies import values
from broker.values import pack


def there_and_back(value: Any) -> Any:
    line = dumps(to_json(value))
    assert "\n" not in line
    return from_json(loads(line))


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, with NaN equal to itself and 0.0 not to -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(map(pack, one)) == list(map(pack, other)) and all(map(same, one.values(), other.values()))
    return bool(one == other) and pack(one) == pack(other)


@given(values())
def test_every_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    back = there_and_back(value)
    # A datetime comes back in UTC, as from a peer.
    assert same(back, there_and_back(back))
    assert same(back, value) or pack(back) == pack(value)


@pytest.mark.parametrize("value", [{"$bytes": "AAE="}, {"$": 1}, {"$set": [1], "b": 2}, {1: 2, "1": 3}, {}, {"a": {}}])
def test_maps_that_look_like_tags_stay_maps(value: dict[Any, Any]) -> None:
    assert same(there_and_back(value), value)


def test_plain_values_are_plain_json() -> None:
    value = {"used": 0.91, "mounts": ["/", "/var"], "up": True, "none": None, "big": 2**64 - 1}
    assert json.loads(dumps(to_json(value))) == value


def test_equal_sets_give_equal_lines() -> None:
    assert dumps(to_json({3, 1, 2})) == dumps(to_json({2, 3, 1})) == '{"$set": [1, 2, 3]}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{nope", "not JSON: .* at column 2"),
        ("[1, 2", "at column"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("NaN", r'write \{"\$float": "nan"\}'),
        ("[-Infinity]", "-inf"),
        ("1e999", "too large for a float"),
        ("9" * 5000, "digits"),
        ("[" * 100_000, "nested too deep"),
        ('{"$date": "2026-01-01"}', r"'\$date' is no tag .*\$datetime"),
        ('{"$bytes": 1}', r"\$bytes: expected text, found 1"),
        ('{"$bytes": "A"}', r"\$bytes: "),
        ('{"$count": -1}', r"\$count: .*0 to 2\*\*64 - 1"),
        ('{"$count": true}', r"\$count: expected an integer"),
        ('{"$port": "53/sctp"}', r"\$port: "),
        ('{"$port": "x/udp"}', r"\$port: "),
        ('{"$address": "10.0.0.256"}', r"\$address: "),
        ('{"$network": "10.0.0.1/8"}', r"\$network: "),
        ('{"$uuid": "1"}', r"\$uuid: "),
        ('{"$datetime": "2026-01-01T00:00"}', "names no instant"),
        ('{"$timestamp": "yesterday"}', r"\$timestamp: "),
        ('{"$timedelta": "1.2345678"}', "at most six decimals"),
        ('{"$timedelta": "999999999999999999"}', r"\$timedelta: "),
        ('{"$float": "1.5"}', "expected nan, inf or -inf"),
        ('{"$set": [1, true]}', "stands twice"),
        ('{"$set": [[1]]}', "unhashable"),
        ('{"$dict": [[1, 2], [1.0, 3]]}', "the key 1.0 stands twice"),
        ('{"$dict": [[1]]}', r"expected \[key, value\]"),
        ('{"$enum": ""}', r"\$enum: "),
    ],
)
def test_what_stands_for_no_value_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(FormError, match=reason):
        from_json(loads(text))
