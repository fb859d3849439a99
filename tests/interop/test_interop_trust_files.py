"""Access rules in files that change while endpoints run: taken up as a whole, or not at all and told why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from interop_programs import next_status
from interop_trust import Realm, flow, pair

import broker
from broker import endpoint_life, keyring

LOOK_S = 0.04


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Have files looked at often, save where it is measured how long it takes."""
    if "second" not in request.node.name:
        monkeypatch.setattr(endpoint_life, "LOOK_S", LOOK_S)


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there")


async def nothing_told_until_looked(told: broker.StatusReader) -> None:
    """Let the files be looked at often enough for anything to be taken up; nothing is told."""
    with trio.move_on_after(4 * LOOK_S):
        raise AssertionError(f"told: {await told.receive()}")


async def test_rules_that_make_no_sense_leave_the_former_ones_and_say_where_and_why(realm: Realm) -> None:
    async with pair(realm) as (here, there), here.status() as told, there.subscribe("x") as got:
        text = realm.text()
        line = text.count("\n") + 3
        realm.path("here").write_text(f"{text}\n[keys.third]\nkee = 3\n")
        rules = await next_status(told, broker.AccessRules)
        assert not rules.accepted
        assert rules.source == str(realm.path("here"))
        assert "kee" in rules.reason
        assert f"line {line}" in rules.reason
        assert "former rules stay in force" in str(rules)
        assert [peer.name for peer in here.peers()] == ["there"]
        await flow(here, got)
        realm.write("here", there={"revoked": True})
        assert (await next_status(told, broker.AccessRules)).accepted  # it is still read
        await next_status(told, broker.PeerLost)


async def test_a_file_written_in_several_steps_is_not_taken_up_in_the_middle(realm: Realm) -> None:
    """Each part of it makes sense by itself: the first one trusts nobody."""
    async with pair(realm) as (here, there), here.status() as told, there.subscribe("x") as got:
        parts = realm.text(there={"names": ("friend",)}).partition("[keys.there]")
        with realm.path("here").open("w") as file:
            for part in ("", parts[0], parts[1] + parts[2]):
                file.write(part)
                file.flush()
                await trio.sleep(LOOK_S / 2)
        await flow(here, got)
        heard: list[broker.Status] = []
        with trio.move_on_after(5 * LOOK_S):
            while True:
                heard.append(await told.receive())
        assert [type(status) for status in heard] == [broker.AccessRules], "taken up once, and nobody was cut off"


async def test_a_file_that_is_written_on_and_on_is_taken_up_within_a_second_all_the_same(realm: Realm) -> None:
    async with pair(realm) as (here, _), here.status() as told, trio.open_nursery() as nursery:
        realm.write("here", there={"revoked": True})
        began_at = trio.current_time()

        async def touch() -> None:
            while True:
                os.utime(realm.path("here"))
                await trio.sleep(0.02)

        nursery.start_soon(touch)
        await next_status(told, broker.PeerLost)
        assert trio.current_time() - began_at < 1.0
        nursery.cancel_scope.cancel()


async def test_a_file_replaced_by_a_rename_is_taken_up_within_a_second(realm: Realm) -> None:
    async with pair(realm) as (here, there), here.status() as told, there.status() as told_there:
        aside = realm.folder / "new.toml"
        aside.write_text(realm.text(there={"revoked": True}))
        aside.replace(realm.path("here"))
        with trio.fail_after(1.0):
            assert (await next_status(told, broker.AccessRules)).accepted
            await next_status(told, broker.PeerLost)
            await next_status(told_there, broker.PeerLost)


@contextmanager
def deleted(path: Path) -> Iterator[None]:
    text = path.read_text()
    path.unlink()
    yield
    path.write_text(text)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Nobody is kept from reading a file by its mode who is root: then it is a link that leads round in a circle."""
    if os.geteuid() != 0:
        path.chmod(0)
        yield
        path.chmod(0o600)
    else:
        text = path.read_text()
        path.unlink()
        path.symlink_to(path.name)
        yield
        path.unlink()
        path.write_text(text)


@contextmanager
def writable_for_others(path: Path) -> Iterator[None]:
    path.chmod(0o666)
    yield
    path.chmod(0o644)


@contextmanager
def a_folder(path: Path) -> Iterator[None]:
    text = path.read_text()
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()
    path.write_text(text)


@contextmanager
def no_text(path: Path) -> Iterator[None]:
    text = path.read_text()
    path.write_bytes(b"\xff\xfe\x00")
    yield
    path.write_text(text)


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (deleted, "there are no access rules"),
        (unreadable, "cannot be read: (Permission denied|Too many levels of symbolic links)"),
        (writable_for_others, "others can write it.*chmod go-w"),
        (a_folder, "is no regular file"),
        (no_text, "not a text in UTF-8"),
    ],
)
async def test_a_file_that_cannot_be_trusted_any_more_leaves_the_former_rules(
    realm: Realm, spoiled: Callable[[Path], AbstractContextManager[None]], why: str
) -> None:
    async with pair(realm) as (here, there), here.status() as told, there.subscribe("x") as got:
        with spoiled(realm.path("here")):
            rules = await next_status(told, broker.AccessRules, broker.PeerLost)
            assert not rules.accepted
            assert pytest.RaisesExc(broker.AccessError, match=why).matches(broker.AccessError(rules.reason))
            assert [peer.name for peer in here.peers()] == ["there"]
            await flow(here, got)
        assert (await next_status(told, broker.AccessRules, broker.PeerLost)).accepted


async def test_rules_changed_between_their_reading_and_the_first_look_are_taken_up(
    realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_access = keyring.read_access

    def slow(path: Path) -> broker.Access:
        access = read_access(path)
        monkeypatch.undo()
        realm.write("here", there={"revoked": True})
        return access

    realm.write("here")
    realm.write("there")
    monkeypatch.setattr(keyring, "read_access", slow)
    async with realm.endpoint("here") as here, here.status() as told:
        with trio.fail_after(2):
            assert (await next_status(told, broker.AccessRules)).accepted


async def test_a_file_that_does_not_change_is_not_read_again(realm: Realm) -> None:
    async with pair(realm) as (here, _), here.status() as told:
        await nothing_told_until_looked(told)


# -- expired ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expiring", ["listener", "dialler"])
async def test_when_rules_expire_links_end_and_come_back_with_renewed_ones(realm: Realm, expiring: str) -> None:
    async with pair(realm) as (here, there):
        strict, other = (here, there) if expiring == "listener" else (there, here)
        async with strict.status() as told, other.status() as told_other, there.subscribe("x") as got:
            await flow(here, got)
            expires = datetime.now(UTC) + timedelta(seconds=0.8)
            realm.write(strict.name, expires=expires)
            rules = await next_status(told, broker.AccessRules)
            assert (rules.accepted, rules.reason) == (True, "")
            assert len(strict.peers()) == 1  # not yet
            assert "have to be renewed" in (await next_status(told, broker.AccessRules)).reason
            lost = await next_status(told, broker.PeerLost, broker.PeerInterrupted)
            assert isinstance(lost, broker.PeerLost)
            assert expires < datetime.now(UTC) < expires + timedelta(seconds=1)
            assert "the access rules have expired at" in lost.reason
            assert "have expired" in (await next_status(told_other, broker.PeerLost)).reason
            assert here.peers() == there.peers() == ()
            realm.write(strict.name, expires=datetime.now(UTC) + timedelta(days=1))
            await next_status(told, broker.PeerAdded)
            await flow(here, got, number=2)


async def test_when_a_key_expires_its_holder_is_cut_off_and_others_are_not(realm: Realm) -> None:
    realm.keys["third"] = broker.SecretKey.generate()
    async with pair(realm) as (here, _), realm.endpoint("third") as third, here.status() as told:
        await third.peer(await here.listen("tcp://127.0.0.1:0"), key="here")
        realm.write("here", there={"expires": datetime.now(UTC) + timedelta(seconds=0.8)})
        lost = await next_status(told, broker.PeerLost)
        assert (lost.peer, lost.code) == ("there", "refused")
        assert "the key of there has expired at" in lost.reason
        assert [peer.name for peer in here.peers()] == ["third"]
