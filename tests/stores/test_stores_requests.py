"""Requests: what came of them travels, and writes that come twice are taken once."""

from __future__ import annotations

import pytest
from store_model import NOW_NS, journal

from broker import errors
from broker.errors import StoreError
from broker.journaling import Commit, MemoryJournal, Position
from broker.stores import wire
from broker.stores.commands import Erasure, SetTo
from broker.stores.entries import WRITERS
from broker.stores.requests import Request, error_of, outcome_of
from broker.stores.wire import Commands, Item, Outcome
from broker.stores.writers import REMEMBER_NS, Writers

WRITER = b"w" * 16
OTHER = b"o" * 16
POSITION = Position(b"j" * 16, 2, 7, b"c" * 8)
COMMAND = (Erasure(b"\x01", True),)


def travelled(request: Request) -> Outcome:
    return wire.decode(Outcome, wire.encode(outcome_of(request, 3)))


@pytest.mark.parametrize(
    "kind",
    [
        StoreError,
        errors.KeyExists,
        errors.MasterExists,
        errors.NoSuchElement,
        errors.NoSuchKey,
        errors.NotReplicated,
        errors.OutOfRange,
        errors.StoreFull,
        errors.TypeClash,
        errors.ValueDiffers,
    ],
)
def test_an_error_comes_back_with_its_class_and_text(kind: type[StoreError]) -> None:
    error = error_of("hosts", travelled(Request(COMMAND, error=kind("hosts", "'k' is naïve"), position=POSITION)))
    assert type(error) is kind
    assert (error.store, error.reason, str(error)) == ("hosts", "'k' is naïve", "store 'hosts': 'k' is naïve")


def test_an_error_of_a_newer_master_comes_back_as_a_store_error() -> None:
    error = error_of("hosts", Outcome(3, None, [], "Unheard", "of"))
    assert type(error) is StoreError
    assert str(error) == "store 'hosts': of"


def test_what_was_done_comes_back_with_its_position_and_results() -> None:
    outcome = travelled(Request(COMMAND, position=POSITION, results=[None, b"\x05"]))
    assert outcome.position is not None
    assert (outcome.number, outcome.position.position(), outcome.results) == (3, POSITION, [None, b"\x05"])
    assert error_of("hosts", outcome) is None


def test_the_size_of_a_request_counts_its_keys_and_values() -> None:
    growth = Request((SetTo(b"\x01", bytes(5000)),)).size - Request((SetTo(b"\x01", b"\x01"),)).size
    assert 4999 <= growth <= 5010


# -- writers ---------------------------------------------------------------------------------------------------------


def asked(*numbers: int, oldest: int = 1, writer: bytes = WRITER) -> Commands:
    return Commands("hosts", writer, oldest, tuple(Item(number, 0, 0, COMMAND) for number in numbers))


def taken(writers: Writers, commands: Commands) -> tuple[list[int], list[int], list[int]]:
    """Numbers: the new, those answered again, those whose rows are removed."""
    fresh, again, *_, settled = writers.take(commands, NOW_NS)
    assert all(row.startswith(commands.writer) for row in settled)
    return (
        [item.number for item in fresh],
        [outcome.number for outcome in again],
        [int.from_bytes(row[16:], "big") for row in settled],
    )


def done(number: int) -> Outcome:
    return Outcome(number, None, [b"\x01"])


def keep(kept: MemoryJournal, *numbers: int, writer: bytes = WRITER) -> None:
    """Keep these as one commit does."""
    writers = Writers(kept)
    taken(writers, asked(*numbers, oldest=min(numbers), writer=writer))
    rows: dict[bytes, bytes | None] = dict(writers.rows_of({(writer, n): done(n) for n in numbers}, NOW_NS))
    assert len(rows) == 1
    kept.carry_out(Commit(kept.position, [], {WRITERS: rows}, []))


def test_each_number_is_taken_once_and_in_order() -> None:
    writers = Writers(journal())
    assert taken(writers, asked(1, 2)) == ([1, 2], [], [])
    assert taken(writers, asked(2, 3)) == ([3], [], [])
    assert writers.duplicates == 1
    assert taken(writers, asked(5, 6)) == ([], [], [])  # 4 is on its way
    assert taken(writers, asked(4, 5, 6)) == ([4, 5, 6], [], [])
    assert taken(writers, asked(1, writer=OTHER)) == ([1], [], [])


def test_what_was_done_is_answered_again_until_it_is_no_longer_asked_for() -> None:
    writers = Writers(journal())
    taken(writers, asked(1, 2, 3))
    for number in (1, 2):
        writers.answered(WRITER, done(number))
    assert taken(writers, asked(1, 2, 3)) == ([], [1, 2], [])
    assert taken(writers, asked(3, 4, oldest=3)) == ([4], [], [])
    assert taken(writers, asked(1, 2, 3, oldest=1)) == ([], [], [])  # overtaken by the above
    assert writers.duplicates == 7


def test_a_writer_that_gave_up_some_goes_on_behind_them() -> None:
    writers = Writers(journal())
    assert taken(writers, asked(7, 8, oldest=7)) == ([7, 8], [], [])
    assert taken(writers, asked(12, oldest=12)) == ([12], [], [])


def test_what_was_taken_before_a_restart_is_not_taken_again() -> None:
    kept = journal()
    keep(kept, 3, 4)
    keep(kept, 5, 6)
    keep(kept, 1, writer=OTHER)
    writers = Writers(kept)
    assert taken(writers, asked(4, 5, 6, 7, oldest=4)) == ([7], [4, 5, 6], [])
    assert taken(writers, asked(8, oldest=5)) == ([8], [], [3])
    assert taken(writers, asked(1, 2, writer=OTHER)) == ([2], [1], [])
    assert taken(Writers(kept), asked(8, oldest=5)) == ([], [], [3])


def test_the_last_outcome_is_kept_so_that_a_restart_knows_the_number() -> None:
    kept = journal()
    keep(kept, 1)
    keep(kept, 2)
    writers = Writers(kept)
    assert taken(writers, asked(2, oldest=3)) == ([], [2], [1])
    assert taken(writers, asked(3, oldest=3)) == ([3], [], [2])


def test_a_writer_that_is_silent_for_a_day_is_forgotten() -> None:
    kept = journal()
    keep(kept, 1, 2)
    writers = Writers(kept)
    assert list(writers.forgotten(NOW_NS + REMEMBER_NS, ())) == []
    assert (
        list(writers.forgotten(NOW_NS + REMEMBER_NS + 1, {WRITER})) == []
    )  # it is there: what it asked may come again
    rows = list(writers.forgotten(NOW_NS + REMEMBER_NS + 1, ()))
    assert sorted(rows) == [key for key, _ in kept.rows(WRITERS)]
    assert taken(writers, asked(1)) == ([1], [], [])


def test_an_answer_to_a_writer_that_was_forgotten_is_dropped() -> None:
    writers = Writers(journal())
    writers.answered(WRITER, done(1))
    assert taken(writers, asked(1)) == ([1], [], [])
