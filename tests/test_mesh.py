"""The values that describe a mesh."""

from __future__ import annotations

import broker

A, B, C = (digit * 32 for digit in "abc")


def endpoint(name: str, ident: str, hops: int | None) -> broker.MeshEndpoint:
    return broker.MeshEndpoint(name, ident, True, hops, ())


MESH = broker.Mesh(
    (endpoint("hub", A, 0), endpoint("web", B, 1), endpoint("web", C, None)),
    (broker.MeshLink(A, B, 0.001, False), broker.MeshLink(B, C, None, True)),
)


def test_an_endpoint_is_found_by_its_name_with_all_that_have_the_same() -> None:
    assert [found.id for found in MESH.named("web")] == [B, C]
    assert MESH.named("nobody") == ()
    assert MESH.ourselves.name == "hub"


def test_neighbours_are_linked_in_either_direction_interrupted_or_not() -> None:
    assert [near.id for near in MESH.neighbours(B)] == [A, C]
    assert [near.id for near in MESH.neighbours(C)] == [B]
    assert MESH.neighbours("d" * 32) == ()
    assert MESH.links[0].far_end(A) == B
    assert MESH.links[0].far_end(B) == A


def test_equal_meshes_are_equal_and_can_be_kept_in_sets() -> None:
    same = broker.Mesh(tuple(MESH.endpoints), tuple(MESH.links))
    assert {MESH, same} == {MESH}
