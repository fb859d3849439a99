"""Rules whose calls are written down first: what a crash leaves, at whatever moment it comes."""

from __future__ import annotations

import copy
import random

import pytest
from counting import Counting

from broker import Event, Message
from broker.errors import JournalFull, Malformed, NotCarried
from broker.journaling import MemoryJournal
from broker.rules.recording import TABLES, Recorder
from broker.rules.recording import recorder as recording
from broker.rules.recording.calls import Output
from broker.rules.recording.parts import joined, split
from broker.values import pack

ID = bytes(range(16))


class Life:
    """One life of a recorder on a journal: what it was told to carry out, and has."""

    def __init__(self, journal: MemoryJournal, program: str = "count") -> None:
        self.journal = journal
        self.publish: list[Output] = []
        self.act: list[Output] = []
        self.done: list[Output] = []
        self.recorder = Recorder(
            Counting(program), program.encode(), self.publish.append, self.act.append, lambda _: None
        )
        self.lost = self.recorder.recover(journal, lambda kept: Counting(kept.decode()) if kept != b"gone" else None)
        self.recorder.replace(program, program.encode())

    def receive(self, *topics: str, now_ns: int = 0) -> None:
        self.recorder.receive([Message(topic, Event("E", (1,)), now_ns, "web") for topic in topics], now_ns)

    def commit(self, *, snapshot: bool = False) -> None:
        work = self.recorder.take_work(snapshot=snapshot)
        if work is not None:
            self.journal.carry_out(work)
            self.recorder.carried_out(None)

    def finish(self, queue: list[Output]) -> None:
        output = queue.pop(0)
        self.done.append(output)
        self.recorder.done(output)

    def killed(self, program: str = "count") -> Life:
        """The life after a kill now: the disk is as it is."""
        return Life(copy.deepcopy(self.journal), program)

    @property
    def counts(self) -> dict[str, int]:
        engine = self.recorder.engine
        assert isinstance(engine, Counting)
        return engine.counts


@pytest.fixture
def life() -> Life:
    return Life(MemoryJournal(ID, len(TABLES)))


def test_nothing_is_seen_of_a_call_before_it_is_on_disk(life: Life) -> None:
    life.receive("a", "a")
    assert (life.publish, life.act) == ([], [])
    life.commit()
    assert [output.event for output in life.publish] == [Event("count", ("a", 2))]
    assert [(output.action, output.topic) for output in life.act] == [("page", "made/pairs")]


def test_a_call_that_was_not_committed_has_never_been(life: Life) -> None:
    life.receive("a", "a", "a")
    life.commit()
    life.receive("a")
    after = life.killed()
    assert after.counts == {"a": 3}
    after.receive("a")
    after.commit()
    assert [output.event.args for output in after.publish] == [("a", 2), ("a", 4)]


def test_what_was_carried_out_and_written_down_is_not_carried_out_again(life: Life) -> None:
    life.receive("a", "a", "b", "b")
    life.commit()
    life.finish(life.publish)
    life.finish(life.publish)
    life.finish(life.act)
    assert [output.event.args[0] for output in life.killed().publish] == ["a", "b"]  # it was in the air
    life.commit()
    after = life.killed()
    assert after.publish == []
    assert [(output.action, output.event) for output in after.act] == [("page", Event("count", ("b", 2)))]
    assert [message.topic for message in after.act[0].because] == ["b"]


def test_an_action_in_hand_holds_up_the_mark_of_those_behind_it(life: Life) -> None:
    life.receive("a", "a", "b", "b")
    life.commit()
    first, second = life.act
    life.recorder.done(second)
    life.commit()
    assert len(life.killed().act) == 2
    life.recorder.done(first)
    life.commit()
    assert life.killed().act == []


def test_a_snapshot_trims_the_log_and_has_what_was_not_carried_out(life: Life) -> None:
    life.receive("a", "a", "a")
    life.commit()
    life.commit(snapshot=True)
    assert life.journal.read(life.journal.position.sequence, 1) == []
    assert life.journal.first == life.journal.position.sequence + 1
    after = life.killed()
    assert after.counts == {"a": 3}
    assert (len(after.publish), len(after.act)) == (1, 1)
    after.finish(after.publish)
    after.commit()
    assert after.killed().publish == []


def test_a_snapshot_comes_by_itself_when_the_log_is_long(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "SNAPSHOT_BYTES", 1000)
    for _ in range(100):
        life.receive("a" * 100)
        life.commit()
        assert life.journal.log_bytes < 1300
    assert life.killed().counts == {"a" * 100: 100}


def test_calls_are_made_again_with_the_program_that_they_were_made_with(life: Life) -> None:
    life.receive("a", "a")
    life.commit()
    after = life.killed(program="other")
    assert [output.event.name for output in after.publish] == ["count"]
    after.receive("a", "a")
    after.commit()
    assert [output.event.name for output in after.publish] == ["count", "other"]
    assert [output.event.name for output in after.killed().publish] == ["count", "other"]


def test_other_rules_begin_with_a_snapshot_so_what_came_before_is_not_made_by_them(life: Life) -> None:
    life.receive("a", "a")
    life.recorder.replace("other", b"other")
    life.receive("a", "a")
    life.commit()
    assert [output.event.name for output in life.killed(program="third").publish] == ["count", "other"]


def test_a_program_that_cannot_be_made_any_more_is_told_and_the_state_is_tried(life: Life) -> None:
    life.recorder.replace("count", b"gone")
    life.receive("a")
    life.commit()
    after = life.killed()
    assert "cannot be made any more" in after.lost[0]
    assert after.counts == {"a": 1}


def test_a_disk_that_fails_holds_everything_up_and_nothing_is_lost(life: Life) -> None:
    life.receive("a", "a")
    work = life.recorder.take_work()
    life.recorder.carried_out(JournalFull("f", "full"))
    assert (life.publish, life.recorder.failing) == ([], "full")
    life.receive("a", "a")
    assert life.recorder.take_work() is work
    assert life.recorder.take_work() is None  # it is under way again
    assert work is not None
    life.journal.carry_out(work)
    life.recorder.carried_out(None)
    life.commit()
    assert ([output.event.args[1] for output in life.publish], life.recorder.failing) == ([2, 4], "")


def test_how_far_a_stream_was_taken_is_written_with_the_calls(life: Life) -> None:
    life.receive("log/conn")
    life.recorder.took("conn", b"first")
    life.commit()
    life.receive("log/conn")
    life.recorder.took("conn", b"second")
    assert life.killed().recorder.inputs() == {"conn": b"first"}
    life.commit()
    assert life.killed().recorder.inputs() == {"conn": b"second"}


def test_without_a_journal_calls_pass_through() -> None:
    published: list[Output] = []
    recorder = Recorder(Counting(), b"", published.append, lambda _: None, lambda _: None)
    recorder.receive([Message("a", Event("E", ()), 0, "web")] * 2, 7)
    assert [(output.event.args, output.time_ns) for output in published] == [(("a", 2), 7)]


@pytest.mark.parametrize("seed", range(40))
def test_whenever_it_is_killed_each_output_is_carried_out_in_order_and_none_is_missing(seed: int) -> None:
    dice = random.Random(seed)
    life = Life(MemoryJournal(ID, len(TABLES)))
    carried: dict[bool, list[tuple[int, int]]] = {False: [], True: []}  # of publications, and actions
    calls: list[list[Message] | None] = []  # that were made, and
    committed = 0  # so many of them are on disk
    for step in range(120):
        chosen = dice.randrange(12)
        if chosen < 4:
            calls.append([Message(topic, Event("E", (1,)), step, "web") for topic in dice.choices("abc", k=2)])
            life.recorder.receive(calls[-1] or [], step)
        elif chosen == 4:
            calls.append(None)
            life.recorder.tick(step)
        elif chosen < 7:
            life.commit(snapshot=dice.random() < 0.1)
            committed = len(calls)
        elif chosen < 11:
            queue = dice.choice([life.publish, life.act])
            if queue:
                carried[bool(queue[0].action)].append(queue[0].mark)
                life.finish(queue)
        else:
            life, calls = life.killed(), calls[:committed]
    life.commit()
    for output in (*life.publish, *life.act):
        carried[bool(output.action)].append(output.mark)
    wanted = outputs_of(calls)
    for kind, marks in carried.items():
        assert list(dict.fromkeys(marks)) == wanted[kind]


def outputs_of(calls: list[list[Message] | None]) -> dict[bool, list[tuple[int, int]]]:
    """The names of publications and actions that come of calls."""
    engine = Counting()
    found: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for number, messages in enumerate(calls, 1):
        place = 0
        for made in (engine.tick(0) if messages is None else engine.receive(messages, 0)).made:
            for action in ("", *made.actions):
                place += 1
                found[bool(action)].append((number, place))
    return found


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"a": [1, {"b": None}], 2: "c"},
        ["x" * 9_000_000, ["y" * 9_000_000]],
        {"k": {"x": "y" * 9_000_000, "z": "z" * 9_000_000}},
    ],
    ids=["none", "list", "dict", "small", "two texts", "one key"],
)
def test_data_of_any_size_are_parts_and_come_back(value: object) -> None:
    assert joined(split(value)) == value


def test_a_state_of_more_elements_than_a_value_may_have_is_kept() -> None:
    state = {"events": [*range(600_000)], "hosts": {f"host-{number}": [number] for number in range(11_000)}}
    with pytest.raises(NotCarried):
        pack(state)
    parts = split(state)
    assert joined(parts) == state


@pytest.mark.parametrize(
    "parts", [[], [b""], [b"h"], [b"w"], [b"?x"], [b"i"], [b"h", b"w\x90", b"w\x80"], [b"w\xc0"] * 2]
)
def test_parts_that_are_not_what_was_written_are_malformed(parts: list[bytes]) -> None:
    with pytest.raises(Malformed):
        joined(parts)
