"""What a program says, made into commands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import NotCarried
from broker.stores.asking import pack_value
from broker.testing.strategies import values
from broker.values import pack

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()


@given(values() | PLAIN | st.lists(PLAIN) | st.dictionaries(st.integers(-(2**63), 2**64 - 1) | st.text(), PLAIN))
def test_values_have_the_bytes_that_they_have_everywhere(value: Any) -> None:
    assert pack_value(value) == pack(value)


@pytest.mark.parametrize(
    "value", [2**64, [1, -(2**63) - 1], {"k": "\ud800"}, {"\ud800": 1}, ["\ud800"], {2**64: 1}, object(), [object()]]
)
def test_what_cannot_be_carried_is_refused_as_everywhere(value: Any) -> None:
    with pytest.raises(NotCarried) as refused:
        pack(value)
    with pytest.raises(NotCarried) as here:
        pack_value(value)
    assert str(here.value) == str(refused.value)


def test_a_value_is_not_too_large() -> None:
    pack_value(bytes(4_000_000))
    for value in (bytes(5_000_000), "x" * 5_000_000):
        with pytest.raises(NotCarried, match="a value has at most 4194304: store parts, or where to find it"):
            pack_value(value)


def test_a_value_that_would_fill_a_receivers_memory_is_refused() -> None:
    with pytest.raises(NotCarried, match="many small containers: send it in parts"):
        pack_value([{}] * 400_000)
