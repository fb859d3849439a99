"""The handles of stores on disk: what outlives an endpoint, and what does not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

import broker
from broker import Endpoint


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    async with Endpoint("a") as one, Endpoint("b") as two:
        await two.peer(await one.listen("tcp://127.0.0.1:0"))
        yield one, two


async def test_a_store_on_disk_is_as_it_was_left(ends: tuple[Endpoint, Endpoint], tmp_path: Path) -> None:
    one, two = ends
    path, copy = tmp_path / "hosts.lmdb", tmp_path / "clone.lmdb"
    positions = []
    for number in range(3):
        async with one.master("hosts", path=path) as master, two.clone("hosts", path=copy) as clone:
            assert master.get("n") == (number - 1 if number else None)
            await clone.wait_for(await clone.put("n", number))
            assert clone["n"] == number
            positions.append(master.position)
    assert [position.epoch for position in positions] == [1, 2, 3]
    assert len({position.journal for position in positions}) == 1
    async with two.clone("hosts", path=copy, timeout=0) as clone:
        assert clone["n"] == 2
        assert clone.position == positions[-1]


async def test_a_clone_on_disk_goes_on_by_the_log(ends: tuple[Endpoint, Endpoint], tmp_path: Path) -> None:
    one, two = ends
    async with one.master("hosts", path=tmp_path / "hosts.lmdb") as master, two.status() as told:
        for expected in (True, False, False):
            async with two.clone("hosts", path=tmp_path / "clone.lmdb") as clone:
                await clone.synced()
                change = await told.receive()
                assert change == broker.StoreSynced("hosts", "a", snapshot=expected)
            await master.put("k", 1)


async def test_a_watch_goes_on_after_a_restart(ends: tuple[Endpoint, Endpoint], tmp_path: Path) -> None:
    one, _ = ends
    path = tmp_path / "hosts.lmdb"
    async with one.master("hosts", path=path) as master:
        await master.put("k", 0)
        bookmark = str(master.watch().position)
        await master.put("k", 1)
    async with one.master("hosts", path=path) as master:
        await master.put("k", 2)
        watch = master.watch(since=broker.Position.parse(bookmark))
        changes = [await watch.receive() for _ in range(2)]
        assert [(change.old, change.new) for change in changes] == [(0, 1), (1, 2)]


async def fill(store: broker.Store) -> None:
    for number in range(100):
        await store.put(number, bytes(100_000))


async def test_a_full_store_refuses_writes_and_goes_on_when_there_is_room(
    ends: tuple[Endpoint, Endpoint], tmp_path: Path
) -> None:
    one, two = ends
    options = {"limit_bytes": 2 << 20, "log_bytes": 100_000}
    async with (
        one.master("small", path=tmp_path / "small.lmdb", **options) as master,
        two.clone("small") as clone,
        one.status() as told,
    ):
        with pytest.raises(broker.StoreFull, match=r"store 'small': nothing was written: .*small\.lmdb"):
            await fill(clone)
        assert (await told.receive()) == broker.StoreFailing("small", master.info().problem, 0)
        held = len(master)
        assert held > 5
        assert master[0] == bytes(100_000)
        for number in range(held):
            await clone.erase(number)
        assert isinstance(await told.receive(), broker.StoreRecovered)
        for number in range(held // 2):
            await clone.put(number, bytes(100_000))
        await clone.synced()
        assert dict(clone) == dict(master)


async def test_a_backup_is_a_store(ends: tuple[Endpoint, Endpoint], tmp_path: Path) -> None:
    one, two = ends
    async with one.master("hosts", path=tmp_path / "hosts.lmdb") as master, two.clone("hosts") as clone:
        await master.put("k", 1)
        position = await master.backup(tmp_path / "backup.lmdb")
        await master.put("k", 2)
        await master.compact()
        assert master["k"] == 2
        with pytest.raises(broker.NotMaster, match="back up the master"):
            await clone.backup(tmp_path / "other.lmdb")
        with pytest.raises(broker.JournalError, match=r"backup\.lmdb"):
            await master.backup(tmp_path / "backup.lmdb")
    async with one.master("hosts", path=tmp_path / "backup.lmdb") as master:
        assert master["k"] == 1
        assert master.position.sequence == position.sequence + 1


async def test_a_file_that_is_something_else_is_refused_and_unharmed(
    ends: tuple[Endpoint, Endpoint], tmp_path: Path
) -> None:
    one, two = ends
    path = tmp_path / "hosts.lmdb"
    async with one.master("hosts", path=path) as master:
        await master.put("k", 1)
        with pytest.raises(broker.JournalBusy):
            async with one.master("other", path=path):
                pass
        with pytest.raises(broker.StoreError, match="it is kept in memory"):
            async with one.master("memory") as memory:
                await memory.compact()
    before = path.read_bytes()
    for attach in (one.master("other", path=path), two.clone("hosts", path=path)):
        with pytest.raises(broker.JournalMismatch, match=r"hosts\.lmdb"):
            async with attach:
                pass
    (tmp_path / "text").write_text("this is not a journal" * 1000)
    with pytest.raises(broker.JournalMismatch, match="text"):
        async with one.master("hosts", path=tmp_path / "text"):
            pass
    with pytest.raises(broker.JournalUnreadable):
        async with one.master("hosts", path=tmp_path / "nowhere" / "hosts.lmdb"):
            pass
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="limit_bytes is at least"):
        one.master("hosts", path=path, limit_bytes=1000)
    async with one.master("hosts", path=path) as master:
        assert master["k"] == 1


async def test_a_file_is_free_again_when_its_endpoint_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "hosts.lmdb"
    for number in range(2):
        with suppress(ZeroDivisionError):
            async with Endpoint("a") as endpoint, endpoint.master("hosts", path=path) as master:
                assert master.get("k") == (None if number == 0 else 0)
                await master.put("k", number)
                raise ZeroDivisionError
    async with Endpoint("a") as endpoint:
        master = await endpoint.master("hosts", path=path).__aenter__()
    await master.__aexit__(None, None, None)  # the endpoint was closed before
    async with Endpoint("a") as endpoint, endpoint.master("hosts", path=path) as master:
        assert master["k"] == 1
