"""Files that are no store's, or not this one's: refused with the remedy, and unharmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from interop_members import LOOPBACK
from interop_stores import keepers

import broker
from broker import Endpoint
from broker.journal import open_journal
from broker.stores.entries import ENTRIES, TABLES

REMEDY = "or remove it to begin anew"
ANOTHER = "name another file"


async def store_at(path: Path, name: str = "hosts") -> Path:
    """Make a master's file with something in it."""
    async with Endpoint("maker") as endpoint, endpoint.master(name, path=path) as store:
        for number in range(200):
            await store.put(f"web-{number}", {"up": True, "note": "x" * 100}, level="applied")
    return path


async def clone_at(path: Path) -> Path:
    """Make a clone's file."""
    async with Endpoint("maker") as one, Endpoint("taker") as two, one.master("hosts") as master:
        await two.peer(await one.listen(LOOPBACK))
        await master.put("web", 1)
        async with two.clone("hosts", path=path) as clone:
            await clone.synced()
    return path


def files(directory: Path) -> dict[str, bytes]:
    """What there is in a directory; LMDB's lock files are not the stores'."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith("-lock")
    }


async def refused(path: Path, *kinds: type[broker.JournalError], role: str = "master", store: str = "hosts") -> str:
    """A handle is refused this file, which stays as it is; returns what it was told."""
    before = files(path.parent) if path.parent.is_dir() else {}
    async with Endpoint("here") as endpoint:
        handle = (endpoint.master if role == "master" else endpoint.clone)(store, path=path)
        with pytest.raises(kinds) as raised:
            await handle.__aenter__()
        assert raised.value.path == str(path)
        assert str(path) in str(raised.value)
        # The endpoint is none the worse for it: the store's name is free.
        async with endpoint.master(store) as other:
            await other.put("k", 1)
    assert (files(path.parent) if path.parent.is_dir() else {}) == before
    return str(raised.value)


async def test_the_file_of_another_store_is_refused(tmp_path: Path) -> None:
    told = await refused(await store_at(tmp_path / "users.lmdb", "users"), broker.JournalMismatch)
    assert "the journal of the store 'users', master" in told
    assert "not 'hosts'" in told
    assert ANOTHER in told


async def test_a_clones_file_is_no_masters_nor_the_other_way_round(tmp_path: Path) -> None:
    told = await refused(await clone_at(tmp_path / "clone.lmdb"), broker.JournalMismatch)
    assert "its role is 'clone', not 'master'" in told
    assert ANOTHER in told
    told = await refused(await store_at(tmp_path / "master.lmdb"), broker.JournalMismatch, role="clone")
    assert "its role is 'master', not 'clone'" in told


async def test_a_journal_that_is_for_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.lmdb"
    open_journal(path, kind="log", name="hosts", role="master", tables=TABLES).close()
    assert "its kind is 'log', not 'store'" in await refused(path, broker.JournalMismatch)


async def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await store_at(tmp_path / "newer.lmdb")
    monkeypatch.setattr("broker.journal.opening.FORMAT", 0)
    told = await refused(path, broker.JournalMismatch)
    assert "its format is 1, and this version of broker reads up to 0" in told
    assert "use the version that made it, or a newer one" in told


@pytest.mark.parametrize("kept", [0, 1, 4095, 4096, 8192, 0.5, 0.9])
@pytest.mark.parametrize("role", ["master", "clone"])
async def test_a_truncated_file_is_refused(tmp_path: Path, kept: float, role: str) -> None:
    path = await (store_at if role == "master" else clone_at)(tmp_path / "hosts.lmdb")
    size = path.stat().st_size
    os.truncate(path, int(kept if kept >= 1 or not kept else size * kept))
    told = await refused(path, broker.JournalDamaged, broker.JournalMismatch, role=role)
    assert REMEDY in told or ANOTHER in told


def test_a_file_with_flipped_bits_never_shows_what_was_not_written(tmp_path: Path) -> None:
    """It is refused, and unharmed; or what is read is what was written; or reading says that the file is damaged.

    Opening looks at the pages that LMDB would trust, and reading checks the rows.
    """
    program = [sys.executable, str(Path(__file__).parent / "interop_store_flips.py"), str(tmp_path), "300", "8"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert done.returncode == 0, done.stderr
    tally = json.loads(done.stdout)
    assert set(tally) == {"same", "refused", "damaged"}, (tally, done.stderr)
    assert min(tally.values()) > 10, tally


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


async def test_a_damaged_entry_is_told_to_who_needs_it_and_holds_nobody_else_up(tmp_path: Path) -> None:
    path = await store_with_a_damaged_entry(tmp_path / "hosts.lmdb")
    async with Endpoint("here") as one, Endpoint("there") as two, one.master("hosts", path=path) as master:
        with pytest.raises(broker.JournalDamaged, match="restore it from a backup"):
            master["text"]
        proxy = two.proxy("hosts")
        await two.peer(await one.listen(LOOPBACK))
        async with proxy:
            for store in (master, proxy):
                with pytest.raises(broker.StoreError, match=r"store 'hosts': .*hosts\.lmdb.*restore it from a backup"):
                    await store.append("text", "x")
                await store.increment("n")
        assert master["n"] == 2


async def store_with_a_damaged_entry(path: Path) -> Path:
    """The entry "text" is not what was written; nothing else is amiss."""
    async with Endpoint("maker") as endpoint, endpoint.master("hosts", path=path, log_bytes=0) as store:
        await store.put("text", "x" * 1000)
        for number in range(20):  # the record of that is trimmed
            await store.put("n", number)
        await store.erase("n")
    damage(path)
    return path


def damage(path: Path) -> None:
    whole = path.read_bytes()
    place = -1
    while (place := whole.find(b"x" * 1000, place + 1)) >= 0:
        path.write_bytes(whole[:place] + b"y" + whole[place + 1 :])
        try:
            journal = open_journal(path, kind="store", name="hosts", role="master", tables=TABLES)
        except broker.JournalDamaged:
            continue
        try:
            list(journal.rows(ENTRIES))
        except broker.JournalDamaged:
            return
        finally:
            journal.close()
    raise AssertionError("there is no such place")


async def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("this is not a journal\n" * 1000)
    assert ANOTHER in await refused(text, broker.JournalMismatch)
    (tmp_path / "directory").mkdir()
    assert "it is a directory: name a file" in await refused(tmp_path / "directory", broker.JournalUnreadable)
    nowhere = tmp_path / "nowhere" / "hosts.lmdb"
    assert "there is no such directory: make it first" in await refused(nowhere, broker.JournalUnreadable)
    assert not nowhere.parent.exists()
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file: name a file" in await refused(tmp_path / "pipe", broker.JournalUnreadable)


async def test_a_file_that_another_process_has_open_is_refused_and_names_that(tmp_path: Path) -> None:
    path = tmp_path / "hosts.lmdb"
    async with keepers(30) as mesh:
        master = await mesh.start("master", "master", store={"path": str(path)})
        await master.entered()
        await master.ask("put", key="k", value=1)
        told = await refused(path, broker.JournalBusy)
        assert f"process {master.pid} has it open: end that one, or name another file" in told
        await refused(path, broker.JournalBusy, broker.JournalMismatch, role="clone")
        await master.ask("put", key="k", value=2)
        assert await master.ask("get", key="k") == 2
        await master.kill()
    async with Endpoint("here") as endpoint, endpoint.master("hosts", path=path) as store:
        assert store["k"] == 2


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that everybody finds, and nobody may write to."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o555)
        yield Path(directory)


async def test_a_directory_that_may_not_be_written_is_told(closed: Path) -> None:
    """Root may write anywhere: so the program becomes nobody before it opens its store."""
    user = 65534 if os.geteuid() == 0 else None
    async with keepers(30) as mesh:
        for name in ("master", "clone"):
            store = {"path": str(closed / "hosts.lmdb"), "timeout": 0.1}
            one = await mesh.start(name, name, store=store, user=user)
            kind, told = await one.refused()
            assert kind == "JournalUnreadable"
            assert str(closed / "hosts.lmdb") in told
            assert "Permission denied: the file and its directory must be writable for this program's user" in told
    assert files(closed) == {}
