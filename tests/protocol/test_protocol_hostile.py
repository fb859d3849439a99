"""Whatever a peer sends becomes messages or a status event about that peer; the node goes on serving the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_wiring import Wiring, header, read

from broker.protocol import frames
from broker.protocol.addresses import address_of, entry_of
from broker.protocol.frames import ROUTED, TTL_DEFAULT, Batch, Kind, Run
from broker.protocol.subscriptions import Subscription
from broker.status import PeeringFailed, PeerLost, PeerRefused
from broker.testing.strategies import values
from broker.values import pack

HOSTILE = "hostile"
NUMBERS = st.integers(0, 8) | st.integers(0, 2**64 - 1)


def prepared() -> tuple[Wiring, Subscription]:
    """Return a node ``a`` with a good peer and a hostile one, and its subscription to everything."""
    wiring = Wiring("a", "good", HOSTILE)
    wiring.join("good", "a")
    wiring.join(HOSTILE, "a")
    subscription = wiring["a"].node.subscribe("")
    wiring["good"].node.subscribe("")
    wiring[HOSTILE].node.subscribe("")
    wiring.settle()
    return wiring, subscription


def still_serves(wiring: Wiring, subscription: Subscription) -> None:
    """Check that the good peer's events arrive and ours arrive there, whatever the hostile one did."""
    read(subscription)
    wiring["a"].node.drained(subscription)
    wiring["a"].node.tick(wiring.now)
    wiring.settle()
    assert not [status for status in wiring["a"].told(PeerLost) if getattr(status, "peer", "") == "good"]
    wiring.publish("good", "still/here", 1)
    wiring.settle()
    assert [message.event.value for message in read(subscription) if message.origin == "good"] == [1]
    wiring.publish("a", "still/here", 2)
    wiring.settle()
    wiring.pass_time(0.3)
    assert wiring["a"].link(wiring["good"]).drained


def inject(wiring: Wiring, frame: bytes) -> None:
    link = wiring["a"].node.peerings.links.get(wiring[HOSTILE].node.id)
    if link is not None and link.wire is not None:
        wiring["a"].node.receive(link.wire, frame, wiring.now)
        wiring.carry_out()


payload_values = values(max_leaves=5).map(pack)
texts = st.text(st.characters(codec="utf-8"), max_size=300)
small = st.binary(max_size=60)
few = st.integers(1, 4) | st.integers(1, 2**64 - 1)
runs = st.builds(
    Run,
    st.lists(texts, min_size=1, max_size=3),
    texts,
    few,
    small,
    small | st.lists(values(max_leaves=4), max_size=3).map(pack),
)
named_events = st.none() | st.lists(texts, max_size=2)
interests = st.lists(
    st.tuples(texts, named_events) | st.tuples(texts, named_events, small | texts | st.lists(small)), max_size=3
)
# Whom a frame speaks of: the hostile peer itself, us, or nobody there is.
WHO = st.sampled_from([HOSTILE, "a", "nobody"])
SHAPES: dict[int, st.SearchStrategy[list[Any]]] = {
    Kind.EVENTS: st.tuples(st.lists(runs, min_size=1, max_size=3)).map(list),
    Kind.LOST: st.tuples(st.lists(st.tuples(texts, texts, few), min_size=1, max_size=3)).map(list),
    Kind.PROBE: st.tuples(few, few, NUMBERS).map(list),
    Kind.REPORT: st.tuples(few, *[NUMBERS] * 4).map(list),
    Kind.LEARNED: st.tuples(NUMBERS).map(list),
    Kind.ASK: st.just([]),
    Kind.INTERESTS: st.tuples(WHO, NUMBERS, few, st.booleans(), interests, interests).map(list),
    Kind.MEMBER: st.tuples(
        WHO,
        WHO | texts,
        few,
        st.booleans(),
        st.booleans(),
        st.lists(st.tuples(WHO, st.booleans(), NUMBERS), max_size=3),
        NUMBERS,
    ).map(list),
    Kind.SYNC: st.tuples(st.booleans(), st.lists(st.tuples(WHO, NUMBERS, NUMBERS), max_size=3)).map(list),
}


def id_of(wiring: Wiring, who: str) -> bytes:
    return wiring[who].node.id if who in wiring.stations else bytes(16)


def named(wiring: Wiring, payload: Any) -> Any:
    """Put ids where a drawn payload names endpoints: at the beginning of each list."""
    if not isinstance(payload, list | tuple) or not payload:
        return payload
    head, *rest = (named(wiring, item) for item in payload)
    if isinstance(head, str) and head in {HOSTILE, "good", "a", "nobody"}:
        head = id_of(wiring, head)
    return [head, *rest]


@st.composite
def nearly_right(draw: st.DrawFn) -> Callable[[Wiring], bytes]:
    """Draw a frame that is right in most ways: it takes the session's next sequence, and names who there is."""
    kind = draw(st.sampled_from([*Kind, *SHAPES, 0, 8, 20, 48, 255]))
    payload: Any = draw(SHAPES[kind] | small | payload_values if kind in SHAPES else small | payload_values)
    flags, off, ack = draw(NUMBERS), draw(st.sampled_from([0, 0, 0, 1, -1])), draw(NUMBERS)
    ttl = draw(st.sampled_from([1, 2, 32, 32, 32, 0, 33, 255]))
    origin, target = draw(WHO), draw(WHO | st.sampled_from(["a", "good"]))
    flow, place = draw(st.integers(0, 3) | st.integers(0, 2**32 - 1)), draw(NUMBERS)

    def make(wiring: Wiring) -> bytes:
        peer = wiring[HOSTILE].node.id
        link = wiring["a"].node.peerings.links.get(peer)
        received = link.received if link is not None else 0
        sequence = max(0, received + 1 + off) if kind >= Kind.SYNC else 0
        acknowledged = min(ack, link.acknowledged) if link is not None and off == 0 else ack
        body = payload if isinstance(payload, bytes) else frames.encode(named(wiring, payload))
        if kind >= ROUTED:
            entry = entry_of(id_of(wiring, target), flow, place)
            body = address_of(id_of(wiring, origin), [entry]) + body
        return header(kind, sequence=sequence, ack=acknowledged, flags=flags & 255, ttl=ttl) + body

    return make


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_within_a_session(garbage: list[bytes]) -> None:
    wiring, subscription = prepared()
    for frame in garbage:
        inject(wiring, frame)
    still_serves(wiring, subscription)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_instead_of_a_hello(garbage: list[bytes]) -> None:
    wiring, subscription = prepared()
    for frame in garbage:
        wire = wiring["a"].node.accept("sim://stranger", wiring.now)
        wiring["a"].node.receive(wire, frame, wiring.now)
    wiring.carry_out()
    told = wiring["a"].told(PeerRefused)
    assert len(told) == len(garbage)
    still_serves(wiring, subscription)


@given(st.binary(max_size=100), st.integers(0, 255))
def test_any_bytes_instead_of_a_welcome(garbage: bytes, kind: int) -> None:
    wiring, subscription = prepared()
    wiring["a"].node.peer("sim://stranger", wiring.now)
    wiring.carry_out()
    ((_, wire, _),) = wiring.dials
    wiring.dials.clear()
    wiring["a"].node.receive(wire, header(kind) + garbage, wiring.now)
    wiring.carry_out()
    assert len(wiring["a"].told(PeeringFailed)) == 1
    still_serves(wiring, subscription)


@settings(max_examples=300)
@given(st.lists(nearly_right(), min_size=1, max_size=6))
def test_frames_that_are_nearly_right(makers: list[Callable[[Wiring], bytes]]) -> None:
    wiring, subscription = prepared()
    for make in makers:
        inject(wiring, make(wiring))
        read(subscription)
    still_serves(wiring, subscription)


@settings(max_examples=200)
@given(st.data())
def test_frames_of_a_real_session_with_some_bytes_changed(data: st.DataObject) -> None:
    wiring, subscription = prepared()
    link = wiring[HOSTILE].link(wiring["a"])
    for value in range(3):
        wiring.publish(HOSTILE, "x/y", value, value)
        wiring[HOSTILE].node.subscribe(f"prefix/{value}")
    wiring[HOSTILE].node.take_actions()
    for frame in [link._bytes_of(frame) for frame in link.sent]:
        mutated = bytearray(frame)
        for _ in range(data.draw(st.integers(0, 3))):
            mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
        inject(wiring, bytes(mutated))
        read(subscription)
    still_serves(wiring, subscription)


def events_frame(wiring: Wiring, *runs: Run) -> bytes:
    """Return the next frame of the hostile peer, with what are the first events of its flow."""
    sequence = wiring["a"].link(wiring[HOSTILE]).received + 1
    address = address_of(wiring[HOSTILE].node.id, [entry_of(wiring["a"].node.id, 1, 1)])
    return header(Kind.EVENTS, sequence=sequence, ttl=TTL_DEFAULT) + address + frames.encode(Batch(list(runs)))


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (Run(["x"], "protocol.Reading", 2, b"", pack([[1, "h", 1]])), "not an array of 2"),
        (Run(["x"], "protocol.Reading", 1, b"", b"\xc1"), ""),
        (Run(["x"], "protocol.Reading", 1, b"", pack([["now", "h", 1]])), "beginning with its time"),
        (Run(["x"], "unheard.of", 1, b"", pack([[]])), "beginning with its time"),
        (Run(["x"], "", 1, b"", pack([[1]])), ""),
        (Run(["x"], "ä" * 200, 1, b"", pack([[1]])), ""),
        (Run(["x"], "protocol.Reading", 2**63, b"", pack([])), "not a Batch"),
        (Run(["a//b"], "protocol.Reading", 1, b"", pack([[1, "h", 1]])), "not normalised"),
        (Run(["a\n"], "protocol.Reading", 1, b"", pack([[1, "h", 1]])), "control characters"),
        (Run([""], "protocol.Reading", 1, b"", pack([[1, "h", 1]])), "not empty"),
        (Run(["x", "y"], "protocol.Reading", 1, b"", pack([[1, "h", 1]])), "which event has which"),
        (Run(["x", "y"], "protocol.Reading", 1, b"\x02", pack([[1, "h", 1]])), "which event has which"),
    ],
)
def test_events_that_are_not_what_they_say_end_the_link_and_are_told(run: Run, why: str) -> None:
    wiring, subscription = prepared()
    inject(wiring, events_frame(wiring, run))
    assert read(subscription) == []
    wiring["a"].node.tick(wiring.now)
    wiring.carry_out()
    (lost,) = wiring["a"].told(PeerLost)
    assert isinstance(lost, PeerLost)
    assert lost.peer == HOSTILE
    assert lost.reason.startswith("broke the protocol")
    assert why in lost.reason
    still_serves(wiring, subscription)


def test_indexes_where_none_are_due_do_no_harm() -> None:
    wiring, subscription = prepared()
    misfit = Run(["x"], "protocol.Reading", 1, b"\xff", pack([[1, "h", "one"]]))
    inject(wiring, events_frame(wiring, misfit))
    assert read(subscription) == []
    still_serves(wiring, subscription)


def test_a_link_that_broke_the_protocol_is_dialled_again_slowly() -> None:
    wiring, subscription = prepared()
    del subscription
    wiring["a"].node.peer("sim://hostile", wiring.now)
    wiring.settle()
    wiring[HOSTILE].node.unpeer("sim://a")
    wiring.settle()
    wiring.pass_time(1.0)
    assert wiring["a"].link(wiring[HOSTILE]).added
    inject(wiring, header(200, sequence=wiring["a"].link(wiring[HOSTILE]).received + 1))
    peering = wiring["a"].node.peerings.peerings["sim://hostile"]
    assert peering.dial_at is not None
    assert peering.dial_at - wiring.now > 1.0
