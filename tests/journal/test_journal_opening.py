"""What is opened, what is refused with which words, and that a refusal changes nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import lmdb
import msgspec
import pytest
from journals import TABLES, commit, contents, opened, replaced

from broker.errors import JournalBusy, JournalDamaged, JournalError, JournalMismatch, JournalUnreadable
from broker.journal import verify
from broker.journal.facts import Identity
from broker.journaling import Position, chain


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with some contents."""
    path = tmp_path / "hosts.lmdb"
    journal = opened(path)
    for number in range(50):
        commit(journal, b"body" * 100, rows={0: {b"%04d" % number: b"value" * 20}})
    journal.close()
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def refused(path: Path, error: type[JournalError], told: str, **options: object) -> None:
    """Opening fails with these words and the file's name, and leaves the file as it is."""
    before = digest(path)
    with pytest.raises(error, match=told) as raised:
        opened(path, **options)
    assert str(path) in str(raised.value)
    assert raised.value.path == str(path)
    assert digest(path) == before


def test_new_journal_is_there_at_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    journal = opened(tmp_path / "hosts.lmdb")
    os.umask(old)
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["hosts.lmdb", "hosts.lmdb-lock"]
    assert (journal.position, journal.first, journal.log_bytes) == (
        Position(journal.position.journal, 0, 0, bytes(8)),
        1,
        0,
    )
    journal.backup(tmp_path / "backup.lmdb")
    assert stat.S_IMODE((tmp_path / "backup.lmdb").stat().st_mode) == 0o600
    journal.close()


def test_two_new_journals_have_two_ids(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "a", id_=None), opened(tmp_path / "b", id_=None)
    assert one.position.journal != other.position.journal
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kind": "log"}, "its kind is 'store', not 'log'"),
        ({"name": "users"}, "its name is 'hosts', not 'users'.*name another file"),
        ({"role": "clone"}, "its role is 'master', not 'clone'"),
        ({"tables": ("entries",)}, "its tables is"),
        ({"tables": (*TABLES, "more")}, "its tables is"),
    ],
)
def test_another_journal_is_refused(path: Path, options: dict[str, object], told: str) -> None:
    refused(path, JournalMismatch, told, **options)


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_bytes(b"no journal " * 1000)
    refused(text, JournalMismatch, "no journal")
    foreign = tmp_path / "foreign.lmdb"
    with lmdb.open(str(foreign), subdir=False) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"key", b"value")
    refused(foreign, JournalMismatch, "another program's LMDB file")


def test_newer_format_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.journal.opening.FORMAT", 0)
    refused(path, JournalMismatch, "its format is 1, and this version of broker reads up to 0: use the version")


def test_another_data_format_of_lmdb_is_refused(path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20] = 2  # MDB_DATA_VERSION
    path.write_bytes(data)
    refused(path, JournalMismatch, "LMDB's data format 2.*broker store dump")
    if lmdb.version(lib_version=1)[0] == 1:
        newer = tmp_path / "newer.lmdb"
        lmdb.open(str(newer), subdir=False, lib_version=1).close()
        refused(newer, JournalMismatch, "LMDB's data format|no LMDB file")


def test_package_with_another_lmdb_alone_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb, "version", lambda: (1, 0, 2))
    refused(path, JournalMismatch, "brings LMDB 1.0.2 alone.*install")


def test_unreadable_files_say_why(path: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.lmdb", JournalUnreadable, "no such file", create=False)
    refused(tmp_path / "none" / "hosts.lmdb", JournalUnreadable, "no such directory")
    refused(tmp_path, JournalUnreadable, "it is a directory")
    refused(Path("/dev/null"), JournalUnreadable, "no regular file")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", JournalUnreadable, "no regular file")


def test_no_permission_says_so(path: Path) -> None:
    # As root everything is permitted: the child gives that up when it has imported what it needs.
    program = (
        "import os, sys; from pathlib import Path; from journals import opened\n"
        "from broker.errors import JournalUnreadable\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: opened(Path(sys.argv[1]))\n"
        "except JournalUnreadable as error: print(error)\n"
    )
    path.chmod(0)
    told = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False, env=child_environment()
    )
    assert "Permission denied" in told.stdout, told.stderr


def child_environment() -> dict[str, str]:
    here = Path(__file__).parent
    return os.environ | {"PYTHONPATH": f"{here.parent.parent}:{here}"}


def test_one_writer_at_a_time(path: Path) -> None:
    journal = opened(path)
    refused(path, JournalBusy, "this process has it open already")
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(JournalBusy):
        opened(link)
    journal.compact()  # which is another file then
    refused(path, JournalBusy, "this process has it open already")
    journal.close()
    opened(path).close()


def test_lock_of_another_process_names_it_and_ends_with_it(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from journals import opened\n"
        "journal = opened(Path(sys.argv[1])); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        refused(path, JournalBusy, f"process {child.pid} has it open")
        assert verify(path).ok
        child.send_signal(signal.SIGKILL)
        child.wait()
    opened(path).close()


@pytest.mark.parametrize("kept", [0, 1, 15, 100, 4095, 4096, 5000, 8191, 8192, 20_000, 30_000])
def test_truncated_file_is_found_out_before_it_is_mapped(path: Path, kept: int) -> None:
    os.truncate(path, kept)
    if 0 < kept < 200:
        refused(path, JournalMismatch, "no journal")
    else:
        refused(path, JournalDamaged, "truncated|empty|second page")
        assert not verify(path).ok


def test_file_cut_anywhere_is_whole_or_refused(path: Path) -> None:
    journal = opened(path)
    before = contents(journal)
    journal.close()
    data = path.read_bytes()
    whole = 0
    for pages in range(2, len(data) // 4096):
        path.write_bytes(data[: pages * 4096 - 1])
        try:
            journal = opened(path)
        except JournalDamaged:
            assert not verify(path).ok
        else:  # what was cut off were free pages
            whole += 1
            assert contents(journal) == before
            journal.close()
            assert verify(path).ok
    assert whole < 10


def test_short_file_that_lacks_no_page_in_use_is_whole(path: Path) -> None:
    journal = opened(path)
    before = contents(journal)
    page = journal._home.environment.info()["last_pgno"] + 1
    journal.close()
    # As after a kill between LMDB's commit and the filling up of the file: its last page was used and freed at once.
    data = bytearray(path.read_bytes())
    for meta in (0, 4096):
        data[meta + 136 : meta + 144] = (page + 1).to_bytes(8, "little")
    path.write_bytes(data)
    assert verify(path).ok
    journal = opened(path)
    assert contents(journal) == before
    assert path.stat().st_size >= (page + 1) * 4096
    journal.close()


def altered(path: Path, find: bytes, change: bytes) -> None:
    """Change all places in the file that have these bytes: old pages have them too."""
    data = path.read_bytes()
    assert find in data
    path.write_bytes(data.replace(find, change))


def test_spoilt_facts_are_told(path: Path) -> None:
    altered(path, b"broker journal", b"broker jourmal")
    refused(path, JournalDamaged, "its identity is not what was written: restore it from a backup")


def test_spoilt_state_is_told(path: Path) -> None:
    journal = opened(path)
    state = journal._home.view().state
    journal.close()
    altered(path, state.packed()[4:], state._replace(epoch=9).packed()[4:])
    refused(path, JournalDamaged, "its state is not what was written")


def test_record_that_changed_at_the_end_is_told(path: Path) -> None:
    journal = opened(path)
    commit(journal, b"the last one")
    journal.close()
    altered(path, b"the last one", b"the lost one")
    refused(path, JournalDamaged, "at record 51")


def test_log_and_state_must_agree(path: Path) -> None:
    journal = opened(path)
    state = journal._home.view().state
    journal.close()
    wrong = state._replace(sequence=state.sequence + 1)
    altered(path, state.packed(), wrong.packed())
    refused(path, JournalDamaged, "its log has 50 records, and should have 1 to 51")


def test_leftovers_of_a_crash_are_removed(path: Path) -> None:
    for suffix in (".incoming", ".compact", ".new"):
        path.with_name(path.name + suffix).write_bytes(b"half a file")
    journal = opened(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["hosts.lmdb", "hosts.lmdb-lock"]
    journal.close()


def test_half_made_journal_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "hosts.lmdb.new").write_bytes(b"\0" * 5000)
    opened(tmp_path / "hosts.lmdb").close()


def test_opening_looks_at_the_end_of_a_long_log_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path / "hosts.lmdb")
    commit(journal, *[b"body"] * 5000)
    journal.close()
    checked = 0

    def counted(checksum: bytes, body: bytes) -> bytes:
        nonlocal checked
        checked += 1
        return chain(checksum, body)

    monkeypatch.setattr("broker.journal.opening.chain", counted)
    opened(tmp_path / "hosts.lmdb").close()
    assert 900 < checked < 1100


def test_lock_file_of_a_replaced_file_is_not_believed(path: Path) -> None:
    # As after a kill between the renaming and the removal of the lock file, while a reader goes on.
    newer = path.with_name("newer.lmdb")
    journal = opened(newer)
    for number in range(201):
        commit(journal, b"%d" % number, rows={0: {b"key": b"%d" % number}})
    before = contents(journal)
    journal.close()
    program = (
        "import lmdb, sys\n"
        "environment = lmdb.open(sys.argv[1], subdir=False, readonly=True, map_size=1 << 30)\n"
        "transaction = environment.begin(); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        newer.replace(path)
        journal = opened(path)
        assert contents(journal) == before
        commit(journal, b"goes on")
        journal.close()
        child.kill()
    journal = opened(path)
    assert journal.position.sequence == 202
    journal.close()
    assert verify(path).ok


def test_journal_behind_a_link_stays_there(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.lmdb"
    link.symlink_to(path)
    journal = opened(link)
    journal.compact()
    replaced(journal, [(0, b"key", b"value")], journal.position)
    journal.close()
    assert link.is_symlink()
    journal = opened(path)
    assert journal.get(0, b"key") == b"value"
    journal.close()


def test_bad_arguments_are_the_callers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1048576"):
        opened(tmp_path / "a", limit_bytes=1000)
    with pytest.raises(ValueError, match="16 bytes"):
        opened(tmp_path / "a", id_=b"short")


def test_identity_of_a_newer_version_may_have_more_in_it() -> None:
    identity = Identity("store", "hosts", "master", ("a",), "0.9.36")
    more = msgspec.msgpack.encode(msgspec.structs.asdict(identity) | {"more": 1})
    assert Identity.unpacked(crc32(more).to_bytes(4, "big") + more) == identity
