"""No room: a commit fails as a whole, reading goes on, and writing too once there is room."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from journals import commit, contents, opened, replaced

from broker.errors import JournalError, JournalFull
from broker.journal import verify
from broker.journaling import Load, Position

ROOT = Path(__file__).parent.parent.parent

# Runs where the file's disk has 4 MiB, or where a file may have that much; sys.argv[2] makes room again.
FULL = """
import os, resource, signal, sys
from pathlib import Path
from journals import commit, contents, opened, replaced
from broker.errors import JournalFull
from broker.journaling import Load, Position

path, how = Path(sys.argv[1]), sys.argv[2]
if how == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
    room = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, resource.RLIM_INFINITY))
else:
    (path.parent / "ballast").write_bytes(bytes(1 << 20))
    room = (path.parent / "ballast").unlink

journal = opened(path)
snapshot = None
number = fails = 0
while fails < 3:
    before = contents(journal)
    snapshot = snapshot or (journal.snapshot((0,)) if number == 5 else None)
    try:
        commit(journal, b"body %d" % number, rows={0: {b"%d" % number: os.urandom(50_000)}})
        number += 1
    except JournalFull as error:
        assert str(path) in str(error), error
        assert contents(journal) == before
        fails += 1
        print(error)
assert number > 10
before = contents(journal)
try:
    journal.carry_out(Load([(0, b"%d" % n, bytes(50_000)) for n in range(200)], first=True))
    raise AssertionError("loaded")
except JournalFull:
    pass
if how == "disk":
    try:
        journal.backup(path.with_name("backup"))
        raise AssertionError("copied")
    except JournalFull:
        pass
    assert sorted(os.listdir(path.parent)) == ["ballast", "hosts.lmdb", "hosts.lmdb-lock", "hosts.lmdb.incoming"]
assert contents(journal) == before
room()
commit(journal, b"again", rows={0: {b"x": bytes(50_000)}})
assert journal.position.sequence == number + 1
assert len(snapshot.read(1 << 30)) == 5
journal.close()
journal = opened(path)
assert journal.position.sequence == number + 1
assert journal.read(number, 100)[0].body == b"again"
journal.close()
print("written again")
"""


def run(*command: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_file_that_may_not_grow(tmp_path: Path) -> None:
    told = run(sys.executable, "-c", FULL, str(tmp_path / "hosts.lmdb"), "limit")
    assert os.strerror(errno.EFBIG) in told
    assert told.endswith("written again\n")
    assert verify(tmp_path / "hosts.lmdb").ok


def test_full_disk(tmp_path: Path) -> None:
    can = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", tmp_path],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if can.returncode != 0:
        pytest.skip("no small disk can be mounted here (user namespaces)")
    told = run(
        "unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=5m none "$1" && exec "$2" -c "$3" "$1/hosts.lmdb" disk',
        "sh", str(tmp_path), sys.executable, FULL,
    )  # fmt: skip
    assert os.strerror(errno.ENOSPC) in told
    assert told.endswith("written again\n")


def test_limit_of_the_journal_itself(tmp_path: Path) -> None:
    path = tmp_path / "hosts.lmdb"
    limit = 2 << 20
    journal = opened(path, limit_bytes=limit)
    number = 0

    def put() -> None:
        commit(journal, b"body", rows={0: {b"%d" % number: bytes(30_000)}})

    while journal.info().file_bytes < limit - 100_000:
        put()
        number += 1
    before = contents(journal)
    with pytest.raises(JournalFull, match="its limit is reached: remove something or raise the limit"):
        commit(journal, b"body", rows={0: {b"more": bytes(200_000)}})
    assert contents(journal) == before
    assert path.stat().st_size <= limit
    # Making room is possible when there is none: LMDB copies what it changes, and for that it may go over the limit.
    for removed in range(number // 2):
        commit(journal, b"gone", rows={0: {b"%d" % removed: None}})
    for more in range(number // 4):
        commit(journal, b"body", rows={0: {b"more %d" % more: bytes(30_000)}})
    commit(journal, b"cleared", cleared=[(0, b"")])
    replaced(journal, [(0, b"key", b"value")], journal.position)
    with pytest.raises(JournalFull):
        journal.carry_out(Load([(0, b"%d" % n, bytes(30_000)) for n in range(100)], first=True))
    journal.close()
    journal = opened(path, limit_bytes=8 * limit)
    commit(journal, b"body", rows={0: {b"%d" % n: bytes(30_000) for n in range(100)}})
    journal.close()
    assert verify(path).ok


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_the_system_says_decides_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    journal = opened(tmp_path / "hosts.lmdb")

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("broker.journal.disk.apply", fails)
    with pytest.raises(JournalError, match=os.strerror(number)) as raised:
        commit(journal, b"body")
    assert isinstance(raised.value, JournalFull) == (number != errno.EIO)
    monkeypatch.undo()
    assert journal.position == Position(journal.position.journal, 0, 0, bytes(8))
    commit(journal, b"body")
    journal.close()


def test_environment_that_refuses_to_write_is_opened_anew(tmp_path: Path) -> None:
    journal = opened(tmp_path / "hosts.lmdb")
    commit(journal, b"body")
    environment = journal._home.environment

    class Refusing:
        def begin(self, **options: object) -> object:
            if options.get("write"):
                raise lmdb.PanicError("mdb_txn_begin")
            return environment.begin(**options)

        def __getattr__(self, name: str) -> object:
            return getattr(environment, name)

    journal._home.environment = Refusing()
    before = contents(journal)
    with pytest.raises(JournalError):
        commit(journal, b"refused")
    assert contents(journal) == before
    commit(journal, b"again")
    assert [record.body for record in journal.read(0, 1000)] == [b"body", b"again"]
    journal.close()
