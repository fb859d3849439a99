"""Verifying finds what is wrong, in a file that may be in use; writing out shows what is in it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from journals import ID, TABLES, commit, contents, opened

from broker.errors import JournalBusy, JournalDamaged, JournalMismatch, JournalUnreadable
from broker.journal import Contents, TableRow, dump, verify
from broker.journaling import Record

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.lmdb"
    journal = opened(path)
    commit(journal, *[b"record %d" % number for number in range(300)], trim=10)
    commit(
        journal,
        *[b"long record" * 600] * 3,
        rows={0: {b"key %d" % number: b"value %d" % number for number in range(300)}, 1: {b"long" * 300: b"v" * 9000}},
    )
    journal.close()
    return path


def test_whole_journal_has_no_problems(path: Path) -> None:
    report = verify(path)
    assert report.ok
    assert (report.kind, report.name, report.role) == ("store", "hosts", "master")
    assert (report.first, report.records, report.rows) == (11, 293, 301)
    assert report.position is not None
    assert (report.position.journal, report.position.sequence) == (ID, 303)
    assert report.pages > 10


@pytest.mark.parametrize(
    ("found", "put", "told"),
    [
        (b"record 77", b"record 78", "record 78 is not what was written"),
        (b"value 77", b"value 78", "table entries: the row of the key"),
        (b"key 77", b"key 88", "table entries: the row of the key"),
        (b"key 77", b"key 88", "a key that is out of order"),
        (b"v" * 9000, b"v" * 8999 + b"w", "table elements: the row of the key"),
    ],
)
def test_change_of_a_record_or_a_row_is_found(path: Path, found: bytes, put: bytes, told: str) -> None:
    data = path.read_bytes()
    assert found in data
    path.write_bytes(data.replace(found, put))
    report = verify(path)
    assert not report.ok
    assert any(told in problem for problem in report.problems)


def test_flipped_bit_never_kills_and_is_found_where_it_changes_what_is_read(path: Path) -> None:
    journal = opened(path)
    before = contents(journal)
    journal.close()
    data = path.read_bytes()
    chance = random.Random(1)
    # In one process for all: it must not die.
    program = (
        "import sys; from pathlib import Path; from journals import contents, opened\n"
        "from broker.errors import JournalError; from broker.journal import verify\n"
        "path = Path(sys.argv[1]); data = path.read_bytes()\n"
        "for bit in map(int, sys.argv[2:]):\n"
        "    spoilt = bytearray(data); spoilt[bit // 8] ^= 1 << bit % 8; path.write_bytes(spoilt)\n"
        "    try: print(len(verify(path).problems), flush=True)\n"
        "    except JournalError as error: print(type(error).__name__, flush=True)\n"
    )
    bits = [chance.randrange(len(data) * 8) for _ in range(250)]
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), *map(str, bits)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    results = done.stdout.split()
    assert len(results) == len(bits)
    clean = [bit for bit, result in zip(bits, results, strict=True) if result == "0"]
    assert len(clean) < len(bits)
    for bit in clean:
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        journal = opened(path)
        assert contents(journal) == before
        journal.close()


def test_live_journal_is_verified_while_it_is_written(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from journals import *\n"
        "journal = opened(Path(sys.argv[1]))\n"
        "while True:\n"
        "    number = journal.position.sequence\n"
        "    commit(journal, b'body', rows={0: {b'key %d' % (number % 300): b'%d' % number}}, trim=number - 100)\n"
        "    if number % 40 == 0: journal.compact()\n"
        "    if number % 60 == 0: replaced(journal, [(0, b'%d' % n, b'v') for n in range(200)], journal.position)\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
    ) as child:
        assert child.stdout is not None
        positions = set()
        for _ in range(20):
            child.stdout.readline()
            report = verify(path)
            assert report.ok, report.problems
            positions.add(report.position)
            parts = list(dump(path, log=False))
            assert isinstance(parts[0], Contents)
        assert len(positions) > 1
        assert child.poll() is None
        child.kill()


def test_everything_is_written_out(path: Path) -> None:
    journal = opened(path)
    rows = [TableRow(TABLES[n], key, value) for n in range(3) for key, value in journal.rows(n)]
    log, position = journal.read(journal.first - 1, 1 << 30), journal.position
    journal.close()
    head, *parts = dump(path)
    assert isinstance(head, Contents)
    assert (head.identity.name, head.position, head.first) == ("hosts", position, 11)
    assert parts == [*log, *rows]
    assert list(dump(path, rows=False))[1:] == log
    assert all(isinstance(part, TableRow) for part in list(dump(path, log=False))[1:])
    assert isinstance(parts[0], Record)


def test_writing_out_keeps_the_owner_away_from_a_file_that_is_not_in_use(path: Path) -> None:
    parts = dump(path)
    next(parts)
    with pytest.raises(JournalBusy):
        opened(path)
    list(parts)
    opened(path).close()


def test_damaged_row_ends_writing_out(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"value 77", b"value 78"))
    with pytest.raises(JournalDamaged, match="broker journal verify finds all"):
        list(dump(path))


def test_what_cannot_be_verified_says_why(tmp_path: Path, path: Path) -> None:
    with pytest.raises(JournalUnreadable, match="there is no such file"):
        verify(tmp_path / "none")
    with pytest.raises(JournalUnreadable, match="no regular file"):
        verify(tmp_path)
    (tmp_path / "text").write_bytes(b"text" * 2000)
    with pytest.raises(JournalMismatch, match="no journal"):
        verify(tmp_path / "text")
    journal = opened(path)
    with pytest.raises(JournalBusy, match="this process has it open"):
        verify(path)
    journal.close()
