from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Malformed
from broker.protocol.addresses import ENTRY_BYTES, Address, address_of, entry_of, read_address

ids = st.binary(min_size=16, max_size=16)
triples = st.tuples(ids, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))


def test_an_address_is_laid_out_as_documented() -> None:
    address = address_of(b"O" * 16, [entry_of(b"A" * 16, 0x01020304, 0x1112131415161718)])
    assert address.hex() == "4f" * 16 + "0001" + "41" * 16 + "01020304" + "1112131415161718"
    assert ENTRY_BYTES == 28


@given(ids, st.lists(triples, min_size=1, max_size=20), st.binary(max_size=30), st.binary(max_size=30))
def test_an_address_comes_back_whatever_is_around_it(
    origin: bytes, entries: list[tuple[bytes, int, int]], before: bytes, after: bytes
) -> None:
    head = address_of(origin, [entry_of(*entry) for entry in entries])
    address = read_address(before + head + after, len(before))
    assert (address.origin, address.head, address.size) == (origin, head, len(head))
    assert [entry[:3] for entry in address.entries()] == entries
    assert [entry.raw for entry in address.entries()] == [entry_of(*entry) for entry in entries]


@pytest.mark.parametrize("cut", [1, ENTRY_BYTES, ENTRY_BYTES + 1, ENTRY_BYTES + 18])
def test_an_address_that_is_cut_short_is_malformed(cut: int) -> None:
    head = address_of(bytes(16), [entry_of(bytes(16), 0, 0)] * 2)
    with pytest.raises(Malformed):
        read_address(head[:-cut], 0)


def test_an_address_that_names_nobody_is_malformed() -> None:
    with pytest.raises(Malformed, match="names nobody"):
        read_address(address_of(bytes(16), []) + bytes(100), 0)


@given(st.binary(max_size=200), st.integers(0, 40))
def test_garbage_is_an_address_within_the_frame_or_malformed_and_nothing_else(frame: bytes, at: int) -> None:
    with suppress(Malformed):
        address = read_address(frame, at)
        assert isinstance(address, Address)
        assert at + address.size <= len(frame)
        assert len(list(address.entries())) == (address.size - 18) // ENTRY_BYTES
