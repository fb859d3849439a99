"""Frames of log streams from who wants to do harm: they are refused or do nothing, and cost little."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

import broker
from broker.errors import Malformed
from broker.journaling import MemoryJournal
from broker.log_records import Column
from broker.logs import serving, wire
from broker.logs.chunks import pack_chunk
from broker.logs.collector import Collector
from broker.logs.spool import TABLES
from broker.logs.wire import (
    Acknowledge,
    Claim,
    Collect,
    Collected,
    Leave,
    LogKind,
    NoStream,
    Piece,
    Records,
    Schema,
    Since,
    Tip,
)
from broker.logs.writer import Options, Writer
from broker.protocol.member import Member
from broker.testing import Cluster, SimulatedEndpoint

HUGE = (1 << 63) - 1
SCHEMA = Schema("hostile.Flow", (Column("n", "int"),))


@broker.event(name="hostile.Flow")
class Flow:
    n: int


class Scene:
    """An endpoint that writes one stream and collects another, and one that may say anything."""

    def __init__(self, records: int = 100) -> None:
        self.cluster = Cluster(seed=1)
        self.own, self.other = self.cluster.add("a"), self.cluster.add("b")
        self.other.peer(self.own)
        self.journal = MemoryJournal(bytes([7]) * 16, len(TABLES))
        assert self.cluster.run_until(lambda: bool(self.own.node.members.members))
        node = self.own.node
        self.writer: Writer = node.attach_writer(
            "flows", self.journal, SCHEMA, Options(collectors=("keeper",)), self.now, 1 << 60
        )
        for number in range(records):
            self.writer.append(msgspec.msgpack.encode([1 << 60, number]), 1 << 60)
        self.writer.hurry(self.now)
        node.flush_logs(self.now)
        assert self.writer.durable == records
        self.member: Member = next(iter(node.members.members.values()))
        self.theirs: Writer = self.other.node.attach_writer(
            "others", MemoryJournal(bytes([8]) * 16, len(TABLES)), SCHEMA, Options(), self.now, 1 << 60
        )
        self.collector: Collector = node.attach_collector("others", self.now, name="x", since=Since("earliest"))
        settle(self)
        assert self.cluster.run_until(lambda: any(s.state == "following" for s in self.collector.sources.values()))
        (self.source,) = self.collector.sources.values()

    @property
    def now(self) -> float:
        return self.cluster.now()

    def take(self, kind: int, body: bytes, flow: int = 0, sequence: int = 0) -> bool:
        """Let a frame come from the other; False: it was malformed."""
        try:
            self.own.node.logs.take(self.member, flow, sequence, kind, body, self.now)
        except Malformed:
            return False
        finally:
            self.own.round_done()
        return True

    def collect(self, serial: int = 1, **changes: Any) -> Collect:
        asked = Collect("flows", serial, "x", bytes(16), self.journal.position.journal, (), Since("earliest"), False,
                        1 << 20, None)  # fmt: skip
        return msgspec.structs.replace(asked, **changes)

    def claim(self, held: Any = (), done: Any = ()) -> Claim:
        return Claim(self.writer.epoch, self.writer.mark, tuple(held), tuple(done))

    def ask(self, serial: int = 1, **changes: Any) -> bool:
        return self.take(LogKind.COLLECT, wire.encode(self.collect(serial, **changes)))

    def acknowledge(self, *claims: Claim, serial: int = 1, number: int = 1, **changes: Any) -> bool:
        word = Acknowledge("flows", serial, number, 0, 0, 1 << 20, False, claims)
        return self.take(LogKind.ACKNOWLEDGE, wire.encode(msgspec.structs.replace(word, **changes)))

    def check(self) -> None:
        """The writer and the collector are as good as ever to those who are honest."""
        honest: SimulatedEndpoint = self.cluster.add("c")
        honest.peer(self.own)
        assert self.cluster.run_until(lambda: any(m.streams for m in honest.node.members.members.values()))
        found = honest.node.attach_collector("flows", self.cluster.now(), name="honest", since=Since("earliest"))
        honest.round_done()
        numbers: list[int] = []

        def all_came() -> bool:
            while (batch := found.next_batch(self.cluster.now())) is not None:
                numbers.extend(message.number for message in batch[1])
                honest.node.flush_collector(found, self.cluster.now())
                honest.round_done()
            return len(numbers) >= self.writer.durable

        assert self.cluster.run_until(all_came)
        assert numbers == list(range(1, self.writer.durable + 1))


def settle(scene: Scene) -> None:
    for endpoint in (scene.own, scene.other):
        endpoint.round_done()
    scene.cluster.run(0.5)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def quickly(limit_s: float, call: Callable[[], object]) -> None:
    """It costs this process no more than that (an honest frame of this size costs far less)."""
    begun = time.process_time()
    call()
    assert time.process_time() - begun < limit_s


# -- anything ----------------------------------------------------------------------------------------------------------


def test_random_bytes_are_malformed_or_do_nothing(scene: Scene) -> None:
    chance = random.Random(1)
    for _ in range(3000):
        body = chance.randbytes(chance.choice([0, 1, 3, 10, 60]))
        scene.take(chance.randrange(64, 80), body, chance.choice([0, 1, 2, HUGE]), chance.choice([0, 1, HUGE]))
    assert set(scene.writer.groups) == {"keeper"}
    scene.check()


def valid(scene: Scene) -> list[tuple[int, bytes]]:
    claim = scene.claim([(1, 5)], [(7, 9)])
    chunk = pack_chunk(1, 1 << 60, bytes(8), scene.source.epoch[0], scene.source.epoch[1], [b"\x92\x01\x01"] * 3)
    return [
        (LogKind.COLLECT, wire.encode(scene.collect(2, name="y", claims=(claim,), schema=SCHEMA))),
        (LogKind.ACKNOWLEDGE, wire.encode(Acknowledge("flows", 2, 1, 1, 1, 1 << 20, True, (claim,)))),
        (LogKind.LEAVE, wire.encode(Leave("flows", 2, (claim,), ((1, 3),)))),
        (LogKind.COLLECTED, wire.encode(Collected("", scene.source.journal, 1, bytes(8), 0, 9, 9, ((1, 2),), False,
                                                  ((bytes(8), SCHEMA),)))),
        (LogKind.RECORDS, wire.encode(Records([Piece(1, False, chunk), Piece(0, True, chunk)]))),
        (LogKind.TIP, wire.encode(Tip(1, 2, 3, 4, 5, False))),
        (LogKind.NO_STREAM, wire.encode(NoStream("reason"))),
    ]  # fmt: skip


def test_valid_frames_that_were_changed_are_malformed_or_harmless() -> None:
    chance = random.Random(2)
    scene = Scene()
    frames = valid(scene)
    for round_ in range(3000):
        kind, body = chance.choice(frames)
        data = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            match chance.randrange(4):
                case 0:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                case 1:
                    del data[chance.randrange(len(data)) :]
                    data += b"\xc0"
                case 2:
                    data.insert(chance.randrange(len(data)), chance.randrange(256))
                case 3:
                    at = chance.randrange(len(data))
                    data[at:at] = b"\xcf\x7f" + b"\xff" * 7
        scene.take(kind, bytes(data), scene.source.serial, chance.choice([1, scene.source.received + 1, HUGE]))
        while scene.collector.next_batch(scene.now) is not None:
            pass
        if round_ % 500 == 0:
            scene.cluster.run(1)
    scene.check()


def test_frames_cut_short_are_malformed(scene: Scene) -> None:
    for kind, body in valid(scene):
        for end in range(len(body)):
            payload: Any = {
                LogKind.COLLECT: Collect,
                LogKind.ACKNOWLEDGE: Acknowledge,
                LogKind.LEAVE: Leave,
                LogKind.COLLECTED: Collected,
                LogKind.RECORDS: Records,
                LogKind.TIP: Tip,
                LogKind.NO_STREAM: NoStream,
            }[LogKind(kind)]
            with pytest.raises(Malformed):
                wire.decode(payload, body[:end])


def test_kinds_that_are_not_known_are_malformed(scene: Scene) -> None:
    assert not any(scene.take(kind, b"\x90") for kind in range(71, 80))


# -- to a writer -------------------------------------------------------------------------------------------------------


def test_a_claim_to_hold_everything_that_will_ever_be_holds_what_there_is(scene: Scene) -> None:
    assert scene.ask(claims=(scene.claim([(1, HUGE)], []),))
    group = scene.writer.groups["x"]
    assert sum(held.count for held in group.held.values()) == 100
    scene.writer.append(msgspec.msgpack.encode([1 << 60, 100]), 1 << 60)
    scene.writer.hurry(scene.now)
    scene.own.node.flush_logs(scene.now)
    (session,) = group.sessions.values()
    assert session.sent == 1  # what comes later is given out as ever
    assert sum(held.count for held in group.held.values()) == 101


RANGES: list[tuple[int, int]] = [(1, HUGE), (0, 0), (0, HUGE), (HUGE, HUGE), (50, 3), (HUGE, 1), (101, 105), (1, 1)]


@pytest.mark.parametrize("one", RANGES, ids=str)
def test_ranges_without_sense_do_no_harm(scene: Scene, one: tuple[int, int]) -> None:
    claim = scene.claim([one, one, (2, 4)], [one, (3, 5), one])
    assert scene.ask(claims=(claim, claim))
    assert scene.acknowledge(claim, claim, number=HUGE, received=HUGE, taken=HUGE, window=HUGE)
    assert scene.take(LogKind.LEAVE, wire.encode(Leave("flows", 1, (claim,), (one,))))
    group = scene.writer.groups["x"]
    assert group.floor <= 100
    assert not group.taken or group.taken.last <= 100
    assert group.cursor().floor + sum(last - first + 1 for first, last in group.cursor().done) <= 100
    scene.check()


def test_acknowledgements_of_what_was_never_sent_take_it_from_that_name_alone(scene: Scene) -> None:
    assert scene.ask()
    assert scene.acknowledge(scene.claim(done=[(1, HUGE)]))
    assert scene.writer.groups["x"].floor == 100
    scene.check()


def test_epochs_and_marks_that_never_were_count_for_nothing(scene: Scene) -> None:
    strange = (Claim(1 << 31, bytes(8), ((1, 9),), ((1, 9),)), Claim(scene.writer.epoch, b"x" * 8, (), ((1, 9),)))
    assert scene.ask(claims=strange)
    assert scene.acknowledge(*strange)
    group = scene.writer.groups["x"]
    assert group.floor == 0
    assert not group.done


def test_a_window_of_any_size_does_not_have_more_sent_than_may_be_on_its_way() -> None:
    scene = Scene(records=0)
    for number in range(200):
        scene.writer.append(msgspec.msgpack.encode([1 << 60, number, "x" * 60_000]), 1 << 60)
    scene.writer.hurry(scene.now)
    scene.own.node.flush_logs(scene.now)
    assert scene.ask(window=HUGE)
    scene.cluster.run(0.1)
    assert scene.ask(serial=2, window=HUGE)
    for _ in range(50):
        scene.cluster.run(0.05)
    (session,) = scene.writer.groups["x"].sessions.values()
    assert session.bytes_under_way < 5 << 20


def members(count: int) -> Iterator[bytes]:
    return (number.to_bytes(16, "big") for number in range(1, count + 1))


def test_a_flood_of_names_ends_at_a_limit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "NAMES_MAX", 50)
    for serial, member in enumerate(members(80), 1):
        assert scene.ask(serial, name=f"n{serial}", member=member)
    assert len(scene.writer.groups) == 50


def test_a_flood_of_collectors_without_a_name_ends_at_a_limit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SESSIONS_MAX", 50)
    for serial, member in enumerate(members(80), 1):
        assert scene.ask(serial, name="", member=member)
    assert len(scene.writer.serving._sessions) == len(scene.writer.serving._passing) == 50
    scene.cluster.run(30)  # those that say nothing more go
    assert len(scene.writer.serving._sessions) == len(scene.writer.serving._passing) == 0
    scene.check()


def test_a_flood_of_members_of_one_name_ends_at_a_limit_that_those_who_left_do_not_count_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MEMBERS_MAX", 50)
    for serial, member in enumerate(members(80), 1):
        assert scene.ask(serial, member=member)
    group = scene.writer.groups["x"]
    assert len(group.holders) == len(group.sessions) == 50
    scene.cluster.run(30)  # they say nothing more, and are taken for dead
    assert scene.ask(100, member=b"y" * 16)
    assert set(group.sessions) == {b"y" * 16}


def test_schemas_of_collectors_are_kept_up_to_a_limit_and_not_sent_to_others(scene: Scene) -> None:
    for number in range(150):
        schema = Schema(f"s{number}", tuple(Column(f"c{number}_{index}", "int", "x" * 100) for index in range(100)))
        assert scene.ask(number + 1, schema=schema, replay=True, name=f"n{number}", member=number.to_bytes(16, "big"))
    large = Schema("large", tuple(Column(f"c{index}", "int", "x" * 200) for index in range(1000)))
    assert scene.ask(1000, schema=large, name="large", member=b"y" * 16)
    assert list(scene.writer.schemas.values()) == [SCHEMA]
    assert len(scene.writer.expected) == 100
    assert scene.writer.groups["large"].schema == b""
    scene.check()


def test_claims_of_a_whole_frame_cost_little() -> None:
    scene = Scene(records=20_000)
    held = [(number, number) for number in range(1, 20_001, 2)]
    done = [(number, number) for number in range(2, 20_001, 2)]
    claims = (scene.claim(held, []), scene.claim([], done))
    quickly(5, lambda: scene.ask(claims=claims))
    quickly(5, lambda: scene.acknowledge(*claims))
    many = tuple([scene.claim([(1, HUGE)], [(1, 1)])] * 1000)
    quickly(5, lambda: scene.ask(serial=2, claims=many))
    quickly(5, lambda: scene.acknowledge(*many, serial=2, number=2))


def test_every_other_record_is_given_out_without_its_chunk_being_taken_apart_for_each() -> None:
    scene = Scene(records=16_000)
    held = [(number, number) for number in range(1, 16_001, 2)]
    assert scene.ask(claims=(scene.claim(held, []),), window=4 << 20)
    group = scene.writer.groups["x"]
    (session,) = group.sessions.values()

    def rest() -> None:
        for number in range(1, 400):
            scene.cluster.run(0.01)
            scene.acknowledge(number=number, received=session.sent, taken=session.sent, window=4 << 20)

    quickly(10, rest)
    assert sum(each.count for each in group.held.values()) == 16_000


def test_who_leaves_takes_nobody_elses_place(scene: Scene) -> None:
    assert scene.ask(5, name="mine")
    for serial in (1, 4, 6, HUGE % (1 << 32)):
        scene.take(LogKind.LEAVE, wire.encode(Leave("flows", max(1, serial), (), ())))
    assert len(scene.writer.groups["mine"].sessions) == 1
    for serial in (1, 4):
        assert scene.acknowledge(scene.claim(done=[(1, 9)]), serial=serial)
    assert scene.writer.groups["mine"].floor == 0


# -- to a collector ----------------------------------------------------------------------------------------------------


def records(scene: Scene, chunk: bytes, count: int = 1) -> bool:
    body = wire.encode(Records([Piece(0, False, chunk)] * count))
    return scene.take(LogKind.RECORDS, body, scene.source.serial, scene.source.received + 1)


def chunk_of(scene: Scene, first: int = 1, parts: Any = (b"\x92\x01\x07",), schema: bytes | None = None) -> bytes:
    (known,) = scene.source.schemas
    return pack_chunk(first, 1 << 60, known if schema is None else schema, *scene.source.epoch, list(parts))


def drained(scene: Scene) -> list[int]:
    found: list[int] = []
    while (batch := scene.collector.next_batch(scene.now)) is not None:
        found += [message.number for message in batch[1]]
    return found


def lying(chunk: bytes, count: int) -> bytes:
    """The chunk with another count of its records, and a checksum that fits."""
    from zlib import crc32

    data = chunk[4:12] + count.to_bytes(4, "big") + chunk[16:]
    return crc32(data).to_bytes(4, "big") + data


def test_a_chunk_whose_checksum_is_wrong_is_malformed(scene: Scene) -> None:
    chunk = bytearray(chunk_of(scene))
    chunk[-1] ^= 1
    assert not records(scene, bytes(chunk))
    assert drained(scene) == []


@pytest.mark.parametrize("count", [0, 2, 100, 8192, 8193, (1 << 32) - 1])
def test_a_chunk_that_lies_about_its_count_gives_nothing(scene: Scene, count: int) -> None:
    records(scene, lying(chunk_of(scene), count))
    assert drained(scene) == []


@pytest.mark.parametrize("first", [0, HUGE, HUGE + 1])
def test_a_chunk_with_impossible_numbers_gives_at_most_what_it_has(scene: Scene, first: int) -> None:
    records(scene, chunk_of(scene, first=first))
    assert len(drained(scene)) <= 1


def test_records_that_nobody_described_are_refused_and_told(scene: Scene) -> None:
    assert records(scene, chunk_of(scene, schema=b"unknown!"))
    assert drained(scene) == []
    assert "without saying what they are" in scene.collector.refused["b"]


@pytest.mark.parametrize("part", [b"\xc1", b"\x92\x01", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x92\xc0\xc0", b"\x01"])
def test_records_that_are_none_are_refused_or_misfit(scene: Scene, part: bytes) -> None:
    records(scene, chunk_of(scene, parts=(part,)))
    assert drained(scene) == []


def test_a_writer_that_sends_more_than_it_may_is_stopped(scene: Scene) -> None:
    chunk = chunk_of(scene, parts=[b"\x93\x01\x07\xda\xea\x60" + b"x" * 60_000])
    for _ in range(1500):  # 90 MB
        if not records(scene, chunk):
            break
    assert sum(batch.size for batch in scene.collector._queue) < 20 << 20


def test_frames_for_others_serials_do_nothing(scene: Scene) -> None:
    chunk = chunk_of(scene)
    body = wire.encode(Records([Piece(0, False, chunk)]))
    for serial in (0, scene.source.serial + 1, HUGE):
        assert scene.take(LogKind.RECORDS, body, serial, 1)
    assert drained(scene) == []


def test_signs_of_life_with_any_numbers_do_no_harm(scene: Scene) -> None:
    for sign in (Tip(HUGE, HUGE, HUGE, HUGE, HUGE, True), Tip(0, 0, 0, 0, 0, False)):
        assert scene.take(LogKind.TIP, wire.encode(sign), scene.source.serial)
        scene.collector.lag()
    assert scene.collector.lag()[0].behind >= 0
    scene.cluster.run(30)


def test_a_flood_of_no_stream_has_not_a_question_sent_for_each(scene: Scene) -> None:
    begun = scene.source.serial
    for _ in range(1000):
        assert scene.take(LogKind.NO_STREAM, wire.encode(NoStream("no")), scene.source.serial)
    assert scene.source.serial - begun <= 2
