"""Seals of frames for several receivers, which relays split."""

from __future__ import annotations

import pytest
from trust_mesh import ALL, Intruder, Mesh, Reading, values

from broker.protocol.addresses import Address, address_of
from broker.protocol.frames import HEADER_BYTES, SEALED, Header, Kind
from broker.status import AccessRefused

RECEIVERS = ("a", "b", "c")


def tree() -> tuple[Mesh, Intruder, Intruder]:
    """Return a mesh in which ``p`` reaches three others by way of ``r`` and then ``s``, and what watches these two."""
    mesh = Mesh(dict.fromkeys((*RECEIVERS, "p", "r", "s"), ALL))
    mesh.line("p", "r", "s")
    for name in RECEIVERS:
        mesh.add(name, "s")
    mesh.run(1.0)
    return mesh, Intruder(mesh["r"]), Intruder(mesh["s"])


def events(intruder: Intruder) -> list[tuple[bool, list[int]]]:
    """Return of each frame of events that has passed: whether it is sealed, and how long each of its entries is."""
    seen = [(header, address) for header, address, _ in intruder.seen if header.kind == Kind.EVENTS]
    return [(bool(header.flags & SEALED), [len(entry.raw) for entry in address.entries()]) for header, address in seen]


def test_one_copy_goes_to_all_with_a_seal_for_each_and_is_split_where_their_ways_part() -> None:
    mesh, first, second = tree()
    readers = [mesh[name].subscribe("") for name in (*RECEIVERS, "s")]
    mesh.run(1.0)
    first.watch()
    second.watch()
    for number in range(5):
        mesh["p"].publish("x", Reading(number))
        mesh.run(0.1)
    assert all(values(reader) == list(range(5)) for reader in readers)
    assert events(first) == events(second) == [(True, [44] * 4)] * 5
    assert not any(mesh.told(name, AccessRefused) for name in (*RECEIVERS, "p", "r", "s"))


@pytest.mark.parametrize("names", [("a", "b"), RECEIVERS])
def test_a_seal_for_one_receiver_is_none_for_another(names: tuple[str, ...]) -> None:
    mesh, _, last = tree()
    readers = [mesh[name].subscribe("") for name in names]
    mesh.run(1.0)
    left = [1]

    def swap(header: Header, address: Address, frame: bytes) -> bytes:
        if header.kind != Kind.EVENTS or not left[0]:
            return frame
        left[0] -= 1
        entries = [entry.raw for entry in address.entries()]
        turned = [*entries[1:], entries[0]]
        swapped = [entry[:28] + other[28:] for entry, other in zip(entries, turned, strict=True)]
        return frame[:HEADER_BYTES] + address_of(address.origin, swapped) + frame[HEADER_BYTES + address.size :]

    last.watch(swap)
    mesh["p"].publish("x", Reading(1))
    mesh.run(0.3)
    assert [values(reader) for reader in readers] == [[] for _ in names]
    mesh.run(4.0)  # it is sent again
    assert [values(reader) for reader in readers] == [[1] for _ in names]
    for name in names:
        assert {(told.peer, told.right, told.what) for told in mesh.told(name, AccessRefused)} == {
            ("s", "speak for", "p")
        }


def test_what_comes_straight_from_its_sender_needs_no_seal_and_costs_none() -> None:
    mesh = Mesh({"a": ALL, "p": ALL})
    a, p = mesh.line("a", "p")
    reader = a.subscribe("")
    mesh.run(1.0)
    p.publish("x", Reading(1))
    mesh.run(0.5)
    assert values(reader) == [1]
    assert mesh.member("a", "p").seal_keys is None  # type: ignore[union-attr]
    assert mesh.member("p", "a").seal_keys is None  # type: ignore[union-attr]
