"""What an endpoint with a valid key, and with the right to relay or without, tries in others' names, and gets nowhere.

``m`` is the intruder.  It is linked with ``a`` and ``p``, which are honest; where it is told of another way, that leads
over ``r``.  Whatever ``m`` says, ``a`` acts on nothing that ``p`` has not sent, and stays linked with whom it was.

It is long because it is a list.
"""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec import structs
from trust_mesh import ALL, NOW, RELAY, Intruder, Line, Mesh, Reading, Rights, secret_of, values

from broker.protocol import frames
from broker.protocol.addresses import Address, address_of, entry_of
from broker.protocol.announcements import update_of, whole
from broker.protocol.flows import lost_parcel
from broker.protocol.frames import (
    HEADER_BYTES,
    SEALED,
    Batch,
    Denied,
    Header,
    Hello,
    Interest,
    InterestUpdate,
    Kind,
    Learned,
    MemberUpdate,
    Neighbour,
    Probe,
    Report,
    pack_header,
)
from broker.status import AccessRefused, MessagesLost, PeerLost, PeerRefused
from broker.testing import SimulatedEndpoint
from broker.trust.judge import Judge

FEW = Rights(publish=("m/",), subscribe=("m/",))


def between(rights: Rights, *, other_way: bool = False, names: tuple[str, ...] = ()) -> tuple[Mesh, Intruder]:
    """Return a mesh in which ``m``, which may have these names, too, lies between ``a`` and ``p``."""
    mesh = Mesh({"a": ALL, "p": ALL, "r": ALL, "m": rights})
    mesh.rule("m", names=names)
    mesh.add("a")
    mesh.add("p")
    if other_way:
        mesh.add("r", "a", "p")
    mesh.add("m", "a", "p")
    mesh.run(1.0)
    return mesh, Intruder(mesh["m"])


def forwarding() -> tuple[Mesh, Intruder]:
    """Return one where ``m`` is the only way and may relay."""
    return between(Rights(publish=("m/",), subscribe=("m/",), relay=True))


def unharmed(mesh: Mesh) -> None:
    """Check that ``p`` still reaches ``a``, and that nobody cut off anybody else."""
    reader = mesh["a"].subscribe("check/")
    mesh.run(2.0)
    mesh["p"].publish("check/it", Reading(7))
    mesh.run(2.0)
    assert values(reader) == [7]
    for name in ("a", "p"):
        assert not [lost for lost in mesh.told(name, PeerLost) if lost.peer != "m"]


def refusals(mesh: Mesh, name: str) -> set[tuple[str, str, str]]:
    return {(told.peer, told.right, told.what) for told in mesh.told(name, AccessRefused)}


def batch_of(value: int, topic: str) -> bytes:
    from broker import events

    name, encode = events.encoder_for(Reading)
    body = b"\x91" + encode(Reading(value), 1)
    return frames.encode(Batch([frames.Run([topic], name, 1, b"", body)]))


# -- messages in another's name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("relays", [True, False])
@pytest.mark.parametrize("seal", ["none", "own", "zero"])
def test_nothing_is_taken_for_anothers_that_was_made_up(seal: str, relays: bool) -> None:
    mesh, intruder = between(Rights(relay=relays), other_way=True)
    a, p = mesh["a"], mesh["p"]
    reader = a.subscribe("")
    mesh.run(1.0)
    body = batch_of(666, "x/1")
    made = {
        "none": None,
        "zero": bytes(16),
        "own": intruder.seal(a, Kind.EVENTS, body, p.node.id, 1, 1),
    }[seal]
    intruder.route(a, p.node.id, a.node.id, Kind.EVENTS, body, flow=1, sequence=1, sealed=made)
    mesh.run(1.0)
    assert values(reader) == []
    assert refusals(mesh, "a") == {("m", "speak for" if relays else "relay", "p")}
    assert refusals(mesh, "m") == refusals(mesh, "a")
    unharmed(mesh)


def test_what_it_has_no_right_to_publish_is_dropped_and_counted_at_both_ends() -> None:
    mesh, intruder = between(FEW, other_way=True)
    reader = mesh["a"].subscribe("")
    mesh.run(1.0)
    member = intruder.node.members.members[mesh["a"].node.id]
    intruder.node.exchange.permit = lambda topic: None  # it does not ask itself
    for value, topic in enumerate(("x/1", "m/1", "x/2", "x/1")):
        intruder.endpoint.publish(topic, Reading(value))
    mesh.run(3.0)
    assert values(reader) == [1]
    assert {told.what: told.count for told in mesh.told("a", AccessRefused)} == {"x/1": 2, "x/2": 1}
    assert {told.what: told.count for told in mesh.told("m", AccessRefused)} == {"x/1": 2, "x/2": 1}
    assert sum(lost.count for lost in mesh.told("a", MessagesLost)) == 3
    assert sum(lost.count for lost in mesh.told("m", MessagesLost) if lost.peer == "a") == 3
    assert member.out.pending is False


def test_it_cannot_tell_of_losses_on_topics_that_are_not_its_own() -> None:
    mesh, intruder = between(FEW, other_way=True)
    reader = mesh["a"].subscribe("")
    mesh.run(1.0)
    parcel = lost_parcel(Counter({("x/1", "trust.Reading"): 5, ("m/1", "trust.Reading"): 2}))
    member = intruder.node.members.members[mesh["a"].node.id]
    intruder.route(
        mesh["a"], intruder.node.id, mesh["a"].node.id, Kind.LOST, parcel.body, flow=member.out.number, sequence=1
    )
    mesh.run(1.5)
    assert reader._subscription.lost == 2
    assert ("m", "publish", "x/1") in refusals(mesh, "a")


@pytest.mark.parametrize("kind", [Kind.REPORT, Kind.LEARNED, Kind.ASK, Kind.DENIED, Kind.PROBE, Kind.LOST])
def test_no_frame_of_the_mesh_is_believed_in_anothers_name(kind: Kind) -> None:
    mesh, intruder = forwarding()
    a, p = mesh["a"], mesh["p"]
    reader = a.subscribe("x/")
    wanted = p.subscribe("q/")
    mesh.run(1.0)
    p.publish("x/1", Reading(1))
    a.publish("q/1", Reading(2))
    mesh.run(2.0)
    flow = mesh.member("p", "a").out.number  # type: ignore[union-attr]
    body = {
        Kind.REPORT: frames.encode(Report(99, 0, 0, 5, 0)),
        Kind.LEARNED: frames.encode(Learned(1)),
        Kind.ASK: b"",
        Kind.DENIED: frames.encode(Denied("publish", "everything", 9)),
        Kind.PROBE: frames.encode(Probe(9, 50, 49)),
        Kind.LOST: lost_parcel(Counter({("x/1", "trust.Reading"): 5})).body,
    }[kind]
    taken: list[int] = []
    take = a.node._take
    a.node._take = lambda member, entry, kind, body: (taken.append(kind), take(member, entry, kind, body))[1]  # type: ignore[method-assign,func-returns-value]
    for sealed in (None, intruder.seal(a, kind, body, p.node.id, flow, 2)):
        intruder.route(a, p.node.id, a.node.id, kind, body, flow=flow, sequence=2, sealed=sealed)
    mesh.run(0.5)
    assert taken == []
    a.node._take = take  # type: ignore[method-assign]
    p.publish("x/1", Reading(3))
    a.publish("q/1", Reading(4))
    mesh.run(1.0)
    assert values(reader) == [1, 3]
    assert values(wanted) == [2, 4]
    assert not mesh.told("a", MessagesLost)


def change_body(header: Header, address: Address, frame: bytes) -> bytes:
    return frame[:-1] + bytes((frame[-1] ^ 1,))


def change_kind(header: Header, address: Address, frame: bytes) -> bytes:
    return bytes((Kind.LOST if frame[0] == Kind.EVENTS else Kind.EVENTS,)) + frame[1:]


def change_entry(address: Address, frame: bytes, flow: int, sequence: int) -> bytes:
    entries = [
        entry_of(entry.id, entry.flow + flow, entry.sequence + sequence) + entry.raw[28:] for entry in address.entries()
    ]
    return frame[:HEADER_BYTES] + address_of(address.origin, entries) + frame[HEADER_BYTES + address.size :]


def change_flow(header: Header, address: Address, frame: bytes) -> bytes:
    return change_entry(address, frame, 1, 0)


def change_sequence(header: Header, address: Address, frame: bytes) -> bytes:
    return change_entry(address, frame, 0, 1)


def take_seal_off(header: Header, address: Address, frame: bytes) -> bytes:
    bare = [entry.raw[:28] for entry in address.entries()]
    head = pack_header(frame[0], header.flags & ~SEALED, header.ttl, header.sequence, header.ack)
    return head + address_of(address.origin, bare) + frame[HEADER_BYTES + address.size :]


@pytest.mark.parametrize(
    "change", [change_body, change_kind, change_flow, change_sequence, take_seal_off], ids=lambda made: made.__name__
)
def test_what_is_changed_on_its_way_is_not_taken_and_sent_again(change: object) -> None:
    mesh, intruder = forwarding()
    a, p = mesh["a"], mesh["p"]
    reader = a.subscribe("")
    mesh.run(1.0)
    left = [2]

    def sometimes(header: Header, address: Address, frame: bytes) -> bytes:
        if header.kind == Kind.EVENTS and address.origin == p.node.id and left[0]:
            left[0] -= 1
            return change(header, address, frame)  # type: ignore[operator,no-any-return]
        return frame

    intruder.watch(sometimes)
    p.publish("x/1", Reading(1))
    mesh.run(0.3)
    assert values(reader) == []
    p.publish("x/1", Reading(2))
    mesh.run(4.0)
    assert left == [0]
    assert values(reader) == [1, 2]
    assert ("m", "speak for", "p") in refusals(mesh, "a")


def test_what_passed_before_is_not_taken_twice() -> None:
    mesh, intruder = forwarding()
    a, p = mesh["a"], mesh["p"]
    intruder.watch()
    reader, store = a.subscribe(""), a.master("s")
    mesh.run(1.0)
    clone = p.clone("s")
    mesh.run(1.0)
    p.publish("x/1", Reading(1))
    clone.increment("n", 1)
    mesh.run(1.0)
    assert intruder.seen
    for _ in range(3):
        intruder.replay(intruder.seen)
        mesh.run(0.5)
    assert values(reader) == [1]
    assert store.items() == clone.items() == {"n": 1}


# -- announcements -----------------------------------------------------------------------------------------------------


def announced(mesh: Mesh, whose: str, **changes: object) -> MemberUpdate:
    """Return what an endpoint has announced, changed."""
    update = frames.decode(MemberUpdate, mesh[whose].node.members.own.announced)
    return structs.replace(update, **changes)


@pytest.mark.parametrize("relays", [True, False])
@pytest.mark.parametrize(
    "lie",
    [
        {"version": 1_000},
        {"version": (1 << 63) - 1},
        {"version": (1 << 64) - 1},
        {"version": 1_000, "gone": True},
        {"version": 1_000, "neighbours": ()},
        {"version": 1_000, "neighbours": (Neighbour(b"x" * 16, True),)},
        {"version": 1_000, "forward": False},
        {"version": 1_000, "interests": 500},
        {"version": 1_000, "masters": (frames.Role("s", b"j" * 16, 1),)},
        {"version": 1_000, "key": secret_of("m").public.raw},
        {"version": 1_000, "key": secret_of("stranger").public.raw},
        {"version": 1_000, "key": b""},
        {"version": 1_000, "signature": b""},
        {"version": 1_000, "name": "p@2"},
    ],
    ids=repr,
)
def test_nobody_can_announce_for_another(lie: dict[str, object], relays: bool) -> None:
    mesh, intruder = between(Rights(publish=("m/",), relay=relays), other_way=True)
    before = mesh.member("a", "p")
    assert before is not None
    known = (before.version, before.key, before.name, before.masters, before.forward, set(before.neighbours))
    update = announced(mesh, "p", **lie)
    intruder.say(mesh["a"], Kind.MEMBER, frames.encode(update))
    mesh.run(0.05)
    after = mesh.member("a", "p")
    assert after is not None
    assert (after.version, after.key, after.name, after.masters, after.forward) == known[:5]
    mesh.run(1.0)
    unharmed(mesh)


@pytest.mark.parametrize("signs", [True, False])
def test_nobody_can_sign_for_another_with_its_own_key(signs: bool) -> None:
    mesh, intruder = between(RELAY, other_way=True, names=("p",))
    update = announced(mesh, "p", version=1_000, key=secret_of("m").public.raw if signs else secret_of("p").public.raw)
    links = {edge.id: edge for edge in update.neighbours}
    signed = whole(update, links, intruder.node.guard.sign(whole(update, links)))
    intruder.say(mesh["a"], Kind.MEMBER, signed)
    mesh.run(0.05)
    assert mesh.member("a", "p").version < 1_000  # type: ignore[union-attr]
    unharmed(mesh)


def test_old_announcements_change_nothing() -> None:
    mesh, intruder = between(RELAY, other_way=True)
    old = mesh["p"].node.members.own.announced
    mesh["p"].master("s")
    mesh.run(1.0)
    version = mesh.member("a", "p").version  # type: ignore[union-attr]
    intruder.say(mesh["a"], Kind.MEMBER, old)
    mesh.run(1.0)
    assert mesh.member("a", "p").version >= version  # type: ignore[union-attr]
    assert mesh.member("a", "p").masters  # type: ignore[union-attr]
    unharmed(mesh)


def test_a_word_of_itself_that_nobody_has_said_is_ignored() -> None:
    """Whoever speaks in our own name to us does not make us speak up."""
    mesh, intruder = between(RELAY, other_way=True)
    own = mesh["a"].node.members.own
    version, interests = own.version, own.interests_version
    intruder.say(mesh["a"], Kind.MEMBER, frames.encode(announced(mesh, "a", version=(1 << 64) - 1)))
    mesh.run(1.0)
    assert own.version == version
    assert own.interests_version == interests
    unharmed(mesh)


def say_differently(mesh: Mesh, intruder: Intruder, *, name: str = "m") -> None:
    """Announce itself with the same versions to ``a`` and to ``r``, and other links, or another name, to each."""
    own = intruder.node.members.own
    nodes = {"a": mesh["a"], "r": mesh["r"]}
    guard = intruder.node.guard
    told: dict[str, dict[bytes, Neighbour]] = {}
    for at, (who, node) in enumerate(nodes.items()):
        own.version = 500
        links = told[who] = {bytes((at + 1,)) * 16: Neighbour(bytes((at + 1,)) * 16, True)}
        update = structs.replace(update_of(own, tuple(links.values())), name=name if who == "r" else "m")
        intruder.say(node, Kind.MEMBER, whole(update, links, guard.sign(whole(update, links))))
    mesh.run(0.5)
    own.version = 501
    more = {**told["a"], b"\x09" * 16: Neighbour(b"\x09" * 16, True)}
    change = structs.replace(update_of(own, (Neighbour(b"\x09" * 16, True),), base=500))
    signed = structs.replace(change, signature=guard.sign(whole(change, more)))
    intruder.say(mesh["a"], Kind.MEMBER, frames.encode(signed))
    mesh.run(0.5)
    own.version = 502
    again = structs.replace(update_of(own, tuple(told["r"].values())), name=name)
    intruder.say(mesh["r"], Kind.MEMBER, whole(again, told["r"], guard.sign(whole(again, told["r"]))))
    mesh.run(0.5)


@pytest.mark.parametrize("name", ["m", "m@2"])
def test_who_says_different_things_of_itself_does_not_part_those_who_pass_it_on(name: str) -> None:
    mesh = Mesh({"a": ALL, "p": ALL, "r": ALL, "m": FEW})
    mesh.add("a")
    mesh.add("r", "a")
    mesh.add("p", "r")
    mesh.add("m", "a", "r")
    mesh.run(1.0)
    say_differently(mesh, Intruder(mesh["m"]), name=name)
    assert mesh.linked("a", "r")
    assert not [lost for lost in mesh.told("a", PeerLost) + mesh.told("r", PeerLost) if lost.peer in {"a", "r"}]
    unharmed(mesh)


# -- interests ---------------------------------------------------------------------------------------------------------


def test_who_may_not_relay_is_not_believed_what_others_want() -> None:
    mesh, intruder = between(FEW, other_way=True)
    reader = mesh["p"].subscribe("x/")
    mesh.run(1.0)
    update = InterestUpdate(mesh["p"].node.id, 0, 50, True, (), ())
    intruder.say(mesh["a"], Kind.INTERESTS, frames.encode(update))
    mesh.run(0.5)
    assert mesh.member("a", "p").interests_version < 50  # type: ignore[union-attr]
    mesh["a"].publish("x/1", Reading(1))
    mesh.run(0.5)
    assert values(reader) == [1]


@pytest.mark.parametrize("version", [50, (1 << 63) - 1, (1 << 64) - 1])
def test_what_a_relay_says_that_another_wants_is_overruled_by_that(version: int) -> None:
    mesh, intruder = between(RELAY, other_way=True)
    reader = mesh["p"].subscribe("x/")
    mesh.run(1.0)
    update = InterestUpdate(mesh["p"].node.id, 0, version, True, (), ())
    intruder.say(mesh["a"], Kind.INTERESTS, frames.encode(update))
    mesh.run(2.0)
    mesh["a"].publish("x/1", Reading(1))
    mesh.run(0.5)
    assert values(reader) == [1]
    assert mesh["p"].subscribe("y/").announced is False  # it can still tell of what it wants
    mesh.run(1.0)
    unharmed(mesh)


def test_what_a_relay_says_that_another_wants_does_not_part_that_from_who_believes_it() -> None:
    mesh = Mesh({"a": Rights(publish=("",), subscribe=("",)), "p": ALL, "m": RELAY})
    a, p = mesh.add("a"), mesh.add("p", "a")
    mesh.add("m", "a")
    reader = p.subscribe("x/")
    mesh.run(1.0)
    update = InterestUpdate(p.node.id, 0, 50, True, (), ())
    Intruder(mesh["m"]).say(a, Kind.INTERESTS, frames.encode(update))
    mesh.run(2.0)
    a.publish("x/1", Reading(1))
    mesh.run(0.5)
    assert values(reader) == [1]
    unharmed(mesh)


def test_who_wants_different_things_of_each_does_not_part_those_who_pass_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from broker.protocol import interests, routes

    monkeypatch.setattr(routes, "INTERESTS_MAX", 100)
    monkeypatch.setattr(interests, "INTERESTS_MAX", 100)
    mesh = Mesh({"a": ALL, "p": ALL, "r": ALL, "m": FEW})
    mesh.add("a")
    mesh.add("r", "a")
    mesh.add("p", "r")
    mesh.add("m", "a", "r")
    mesh.run(1.0)
    intruder = Intruder(mesh["m"])
    intruder.node.members.own.interests_version = 51
    many = [tuple(Interest(f"m/{part}/{number}", None) for number in range(60)) for part in range(2)]
    for to, first in (("a", many[0]), ("r", ())):
        intruder.say(mesh[to], Kind.INTERESTS, frames.encode(InterestUpdate(intruder.node.id, 0, 50, True, first, ())))
    mesh.run(0.5)
    change = InterestUpdate(intruder.node.id, 50, 51, True, many[1], ())
    intruder.say(mesh["r"], Kind.INTERESTS, frames.encode(change))
    mesh.run(0.5)
    assert not [lost for lost in mesh.told("a", PeerLost) + mesh.told("r", PeerLost) if lost.peer in {"a", "r"}]
    assert mesh.linked("a", "r")
    unharmed(mesh)


def test_who_wants_what_it_has_no_right_to_gets_none_of_it() -> None:
    mesh, intruder = between(FEW, other_way=True)
    intruder.node.guard.own = Judge.of(Mesh({"m": ALL}).access, NOW).holder(secret_of("m").public.raw).grants  # type: ignore[union-attr]
    reader = intruder.endpoint.subscribe("")
    mesh.run(1.0)
    for topic in ("x/1", "m/1"):
        mesh["p"].publish(topic, Reading(1))
        mesh["a"].publish(topic, Reading(2))
    mesh.run(1.0)
    assert {message.topic for message in reader.messages} == {"m/1"}
    assert ("m", "subscribe", "x/1") in refusals(mesh, "p") & refusals(mesh, "m")


# -- handshakes --------------------------------------------------------------------------------------------------------


class Stranger:
    """A raw wire to an endpoint, opened with a key."""

    def __init__(self, to: SimulatedEndpoint, key: bytes) -> None:
        self.to = to
        self.wire = to.node.accept("somewhere", to.cluster.now(), key)

    def hello(self, hello: Hello) -> None:
        payload = pack_header(Kind.HELLO, 0, 0, 0, 0) + frames.encode_hello(hello)
        self.to.node.receive(self.wire, payload, self.to.cluster.now())
        self.to.round_done()

    @property
    def is_let_in(self) -> bool:
        wire = self.to.node.peerings.wires.get(self.wire)
        return wire is not None and wire.link is not None


@pytest.mark.parametrize("session", ["own", "none", "other"])
@pytest.mark.parametrize("known", [True, False])
def test_another_key_does_not_bring_a_link_back(session: str, known: bool) -> None:
    """Not even one that may have the same name, nor while no announcement has bound the id to the key yet."""
    mesh = Mesh({"a": ALL, "p": ALL, "m": ALL})
    mesh.rule("m", names=("p",))
    a, p = mesh.add("a"), mesh.add("p", "a")
    mesh.run(1.0)
    link = a.node.peerings.links[p.node.id]
    if not known:
        a.node.members.forget(a.node.members.members[p.node.id], "as if it had not come yet")
    mesh.cluster.fabric.partition("a", "p")
    mesh.cluster.fabric.half_open("a", "p")
    mesh.run(6.0)
    assert link.wire is None
    stranger = Stranger(a, secret_of("m").public.raw)
    stranger.hello(
        Hello("p", p.node.id, {"own": link.session, "none": b"", "other": b"12345678"}[session], 0, link.turn + 1)
    )
    assert not stranger.is_let_in
    assert a.node.peerings.links.get(p.node.id) is link
    assert [told for told in mesh.told("a", PeerRefused) if told.code == "authentication"]
    mesh.cluster.fabric.heal("a", "p")
    mesh.run(8.0)
    assert mesh.linked("a", "p")


@pytest.mark.parametrize("name", ["p", "a", "p@2", "", "m2", "m@\n"])
def test_a_name_that_its_key_may_not_have_lets_nobody_in(name: str) -> None:
    mesh, _ = between(FEW, other_way=True)
    stranger = Stranger(mesh["a"], secret_of("m").public.raw)
    stranger.hello(Hello(name, b"i" * 16, b"", 0))
    assert not stranger.is_let_in
    unharmed(mesh)


@pytest.mark.parametrize("key", [b"", secret_of("stranger").public.raw], ids=["no key", "a stranger's"])
def test_a_key_that_is_not_trusted_lets_nobody_in(key: bytes) -> None:
    mesh, _ = between(FEW, other_way=True)
    stranger = Stranger(mesh["a"], key)
    stranger.hello(Hello("p", b"i" * 16, b"", 0))
    assert not stranger.is_let_in


def test_who_takes_the_id_of_a_process_that_is_known_is_not_let_in() -> None:
    mesh, _ = between(FEW, other_way=True)
    stranger = Stranger(mesh["a"], secret_of("m").public.raw)
    stranger.hello(Hello("m@2", mesh["p"].node.id, b"", 0))
    assert not stranger.is_let_in
    unharmed(mesh)


# -- stores ------------------------------------------------------------------------------------------------------------

WRITES = Rights(stores={"s": ("read", "write")}, relay=True)


def test_nobody_can_answer_in_a_masters_place() -> None:
    from broker.stores import wire as store_wire
    from broker.stores.wire import Followed, Operations, StoreKind

    mesh, intruder = between(WRITES)
    master = mesh["p"].master("s")
    mesh.run(1.0)
    clone = mesh["a"].clone("s")
    mesh.run(1.0)
    serial = mesh["a"].node.stores.clones["s"].serial
    a = mesh["a"].node.id
    operations = store_wire.encode(Operations("s", 0, b"1234", [b"made up"]))
    followed = store_wire.encode(
        Followed("s", serial, True, True, store_wire.where(master.position), 0, master.position.sequence)
    )
    for origin in (intruder.node.id, mesh["p"].node.id):
        for kind, body in ((StoreKind.OPERATIONS, operations), (StoreKind.FOLLOWED, followed)):
            intruder.route(mesh["a"], origin, a, kind, body, flow=serial)
            mesh.run(0.5)
    master.put("k", 1)
    mesh.run(8.0)
    assert clone.items() == master.items() == {"k": 1}


def test_nobody_can_be_a_stores_master_without_the_right() -> None:
    mesh, intruder = between(WRITES, other_way=True)
    master = mesh["p"].master("s")
    mesh.run(1.0)
    clone = mesh["a"].clone("s")
    intruder.node.members.own.masters = (frames.Role("s", b"j" * 16, 1),)  # the elder: it would win
    intruder.node.members.roles_changed(mesh.cluster.now())
    intruder.endpoint.round_done()
    mesh.run(1.0)
    master.put("k", 1)
    mesh.run(1.0)
    assert clone.items() == {"k": 1}
    assert master.machine.rival is None  # type: ignore[union-attr]
    assert ("m", "store master", "s") in refusals(mesh, "a") & refusals(mesh, "m")


@pytest.mark.parametrize("first", [True, False])
def test_nobody_can_write_as_another_writer(first: bool) -> None:
    """Whoever sees another's requests pass can neither answer them with its own nor keep them from being done."""
    from broker.stores import wire as store_wire
    from broker.stores.asking import put
    from broker.stores.wire import Commands, Item, StoreKind

    mesh, intruder = between(WRITES)
    master = mesh["p"].master("s")
    mesh.run(1.0)
    clone = mesh["a"].clone("s")
    mesh.run(1.0)
    writer = mesh["a"].node.stores.clones["s"].forwarding._writer
    forged = store_wire.encode(Commands("s", writer, 1, (Item(1, 0, 0, (put("k", "m's"),)),)))
    if not first:
        assert not clone.put("k", "a's").done
        mesh.run(1.0)
        forged = store_wire.encode(Commands("s", writer, 2, (Item(2, 0, 0, (put("k", "m's"),)),)))
    intruder.route(mesh["p"], intruder.node.id, mesh["p"].node.id, StoreKind.COMMANDS, forged)
    mesh.run(1.0)
    asked = clone.put("k", "a's")
    mesh.run(3.0)
    assert asked.done
    assert asked.error is None
    assert master.items() == clone.items() == {"k": "a's"}
    assert mesh.linked("m", "p") == mesh.linked("m", "a") == True  # noqa: E712 - both


@pytest.mark.parametrize("rights", [Rights(stores={"s": ("read",)}), Rights()])
def test_a_store_is_neither_read_nor_written_without_the_right(rights: Rights) -> None:
    mesh, intruder = between(rights, other_way=True)
    master = mesh["p"].master("s")
    mesh.run(1.0)
    master.put("k", 1)
    intruder.node.guard.own = Judge.of(Mesh({"m": ALL}).access, NOW).holder(secret_of("m").public.raw).grants  # type: ignore[union-attr]
    clone = intruder.endpoint.clone("s")
    asked = clone.put("k", 2)
    mesh.run(2.0)
    if rights.stores:
        assert type(asked.error).__name__ == "StoreNotPermitted"
    else:  # it has no master that would have it as a clone
        assert not asked.done
    assert master.items() == {"k": 1}
    assert clone.items() == ({"k": 1} if rights.stores else {})
    assert {right for _, right, _ in refusals(mesh, "p")} == {"store write" if rights.stores else "store read"}
    assert refusals(mesh, "p") == refusals(mesh, "m")


# -- log streams -------------------------------------------------------------------------------------------------------


def test_nobody_can_take_a_collectors_place() -> None:
    from broker.logs import wire as log_wire
    from broker.logs.wire import Acknowledge, Claim, Collect, LogKind, Since

    mesh = Mesh({"a": ALL, "p": ALL, "m": Rights(logs={"l": ("collect",)}, relay=True)})
    a, p, m = mesh.add("a"), mesh.add("p"), mesh.add("m", "a", "p")
    mesh.run(1.0)
    intruder = Intruder(m)
    log = p.log("l", Line)
    mesh.run(0.5)
    collector = a.collect("l", Line, name="n")
    mesh.run(1.0)
    log.write(Line(1))
    mesh.run(1.0)
    machine = a.node.logs.collectors[0]
    writer = p.node.logs.writers["l"]
    for serial in (1, 999):
        journal = writer.journal.position.journal
        collect = Collect("l", serial, "n", machine.member, journal, (), Since("earliest"), False, 1 << 20, None)
        intruder.route(p, m.node.id, p.node.id, LogKind.COLLECT, log_wire.encode(collect))
        mesh.run(0.5)
        claim = Claim(writer.epoch, writer.mark, ((1, 50),), ())
        word = Acknowledge("l", serial, 50, 50, 50, 1 << 20, False, (claim,))
        intruder.route(p, m.node.id, p.node.id, LogKind.ACKNOWLEDGE, log_wire.encode(word))
        mesh.run(0.5)
    for value in (2, 3):
        log.write(Line(value))
    mesh.run(3.0)
    assert [message.record.value for message in collector.messages] == [1, 2, 3]
