"""Ways through the graph, against a plain search over simple paths' costs."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.protocol.frames import Neighbour
from broker.protocol.topology import BROKEN, shortest_ways


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


@attrs.define
class Place:
    """An endpoint: its links, and whether each has a connection, as it tells of them."""

    links: dict[bytes, bool]
    forward: bool = True

    @property
    def neighbours(self) -> dict[bytes, Neighbour]:
        return {id_: Neighbour(id_, up) for id_, up in self.links.items()}


Graph = dict[bytes, Place]


def graph(*edges: tuple[int, int], leaves: tuple[int, ...] = ()) -> tuple[dict[bytes, bool], Graph]:
    """Return our own links and the others, of unbroken links told by both ends; we are 0."""
    own: dict[bytes, bool] = {}
    places: Graph = {}
    for one, other in edges:
        for end, far in ((one, other), (other, one)):
            if end == 0:
                own[id_of(far)] = True
            else:
                places.setdefault(id_of(end), Place({}, end not in leaves)).links[id_of(far)] = True
    return own, places


def plain(ways: dict[bytes, tuple[int, bytes]]) -> dict[int, tuple[int, int]]:
    return {int.from_bytes(id_, "big"): (far, int.from_bytes(first, "big")) for id_, (far, first) in ways.items()}


def distances(own: dict[bytes, bool], places: Graph) -> dict[bytes, int]:
    """Relax every link again and again until nothing gets shorter (Bellman and Ford)."""
    found = {id_: 1 if up else BROKEN for id_, up in own.items() if id_ in places}
    changed = True
    while changed:
        changed = False
        for id_, far in list(found.items()):
            if not places[id_].forward:
                continue
            for other, up in places[id_].links.items():
                if other in places and id_ in places[other].links:
                    total = far + (1 if up and places[other].links[id_] else BROKEN)
                    if total < found.get(other, 1 << 60):
                        found[other] = total
                        changed = True
    return found


def test_the_first_hop_of_a_line_is_the_neighbour() -> None:
    assert plain(shortest_ways(*graph((0, 1), (1, 2), (2, 3)))) == {1: (1, 1), 2: (2, 1), 3: (3, 1)}


def test_the_shorter_way_round_a_circle_is_taken() -> None:
    ways = plain(shortest_ways(*graph((0, 1), (1, 2), (2, 3), (3, 4), (4, 0))))
    assert ways == {1: (1, 1), 2: (2, 1), 3: (2, 4), 4: (1, 4)}


def test_of_equal_ways_always_the_same_is_taken() -> None:
    own, places = graph((0, 1), (0, 2), (1, 3), (2, 3))
    again = dict(reversed(own.items())), dict(reversed(places.items()))
    assert shortest_ways(own, places) == shortest_ways(*again)
    assert plain(shortest_ways(own, places))[3] == (2, 1)


def test_a_link_that_only_one_end_tells_of_is_none() -> None:
    own, places = graph((0, 1), (1, 2))
    del places[id_of(2)].links[id_of(1)]
    assert plain(shortest_ways(own, places)) == {1: (1, 1)}
    own, places = graph((0, 1), (1, 2))
    del places[id_of(1)].links[id_of(2)]
    assert plain(shortest_ways(own, places)) == {1: (1, 1)}


def test_a_link_of_ours_counts_before_its_other_end_tells_of_it() -> None:
    assert plain(shortest_ways({id_of(1): True}, {id_of(1): Place({})})) == {1: (1, 1)}


def test_no_way_leads_through_a_leaf() -> None:
    ways = plain(shortest_ways(*graph((0, 1), (1, 2), (0, 3), (3, 4), (4, 2), leaves=(1,))))
    assert ways == {1: (1, 1), 2: (3, 3), 3: (1, 3), 4: (2, 3)}


def test_who_is_behind_leaves_only_is_out_of_reach() -> None:
    assert plain(shortest_ways(*graph((0, 1), (1, 2), leaves=(1,)))) == {1: (1, 1)}


def test_a_link_without_a_connection_is_used_only_where_there_is_no_other_way() -> None:
    own, places = graph((0, 1), (0, 2), (2, 3), (3, 4), (4, 1), (1, 5))
    own[id_of(1)] = False
    ways = plain(shortest_ways(own, places))
    assert ways[1] == (4, 2)
    assert ways[5] == (5, 2)
    places[id_of(4)].links[id_of(1)] = False  # one end's word is enough
    ways = plain(shortest_ways(own, places))
    assert ways[1] == (BROKEN, 1)
    assert ways[4] == (3, 2)


def test_endpoints_that_nothing_is_known_of_have_no_way() -> None:
    own, places = graph((0, 1), (1, 2), (2, 3))
    del places[id_of(2)]
    assert plain(shortest_ways(own, places)) == {1: (1, 1)}
    assert shortest_ways({id_of(9): True}, {}) == {}


def test_we_ourselves_are_no_way_to_anybody() -> None:
    own, places = graph((0, 1), (1, 0), (0, 2))
    assert plain(shortest_ways(own, places)) == {1: (1, 1), 2: (1, 2)}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[bytes, bool], Graph]:
    """Draw what a mesh of up to a dozen may look like: half told links, broken ones, leaves, unknown endpoints."""
    size = draw(st.integers(1, 12))
    number = st.integers(0, size)
    edges = draw(st.lists(st.tuples(number, number, st.sampled_from([True, True, False])), max_size=40))
    own = {id_of(far): up for one, far, up in edges if one == 0 and far != 0}
    places = {id_of(number): Place({}, draw(st.sampled_from([True, True, False]))) for number in range(1, size)}
    for one, other, up in edges:
        if one and id_of(one) in places and one != other:
            places[id_of(one)].links[id_of(other)] = up
            if other and id_of(other) in places and draw(st.sampled_from([True, True, True, False])):
                places[id_of(other)].links[id_of(one)] = up
    return own, places


@settings(max_examples=500)
@given(graphs())
def test_distances_are_those_of_a_plain_search_and_each_hop_brings_us_nearer(
    drawn: tuple[dict[bytes, bool], Graph],
) -> None:
    own, places = drawn
    ways = shortest_ways(own, places)
    assert {id_: far for id_, (far, _) in ways.items()} == distances(own, places)
    for id_, (far, first) in ways.items():
        assert first in own
        assert far >= ways[first][0] or not own[first]
        alone = shortest_ways({first: own[first]}, places)
        assert alone[id_][0] == far, "there is a way of that length over that neighbour"
