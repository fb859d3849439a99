from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from broker.errors import AccessError, KeyFileError
from broker.keyring import (
    WatchedFile,
    alone_at,
    directory,
    key_path,
    read_access,
    read_key,
    replace_key,
    write_access,
    write_key,
)
from broker.trust.keys import SecretKey

SECRET = SecretKey(b"1" * 32)
OTHER = SecretKey(b"2" * 32)
ENTRY = f'[keys.web-01]\nkey = "{SECRET.public}"\n'


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our files seem to be another user's: neither ours nor root's."""
    found = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        values = list(found(descriptor))
        values[4] = os.geteuid() + 4321
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", fstat)


# -- where ------------------------------------------------------------------------------------------------------------


def test_names_stand_for_files_in_the_folder_of_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("BROKER_KEYS", raising=False)
    assert directory() == Path("/home/ann/.config/broker")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/cfg")
    assert directory() == Path("/cfg/broker")
    monkeypatch.setenv("BROKER_KEYS", "~/keys")
    assert directory() == Path("/home/ann/keys")
    assert key_path("web-01") == Path("/home/ann/keys/web-01.key")
    assert key_path("web.example.org") == Path("/home/ann/keys/web.example.org.key")


@pytest.mark.parametrize("path", ["a/web-01", "./web-01", "web-01.key", "/etc/broker/x"])
def test_what_has_a_slash_or_ends_in_key_is_a_path(path: str) -> None:
    assert key_path(path) == key_path(Path(path)) == Path(path)


def test_a_path_without_a_slash_is_one() -> None:
    assert key_path(Path("web-01")) == Path("web-01")


@pytest.mark.parametrize("name", ["", "-x", "a b", "é", "x" * 101])
def test_what_is_neither_name_nor_path_is_told(name: str) -> None:
    with pytest.raises(KeyFileError, match="neither the name of a key"):
        key_path(name)


# -- key files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_key_comes_back_and_nobody_else_can_read_it(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "keys" / "web-01.key"
    before = os.umask(umask & 0o077)  # a folder that its owner cannot enter helps nobody
    try:
        written = write_key(path, "web-01", SECRET)
        os.umask(umask)
        replaced = write_key(path, "web-01", OTHER, replace=True)
    finally:
        os.umask(before)
    assert (written.secret, written.path) == (SECRET, path)
    assert read_key(path) == replaced
    assert replaced.secret == OTHER
    assert replaced.created is not None
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert [found.name for found in path.parent.iterdir()] == ["web-01.key"]


def test_a_key_file_is_closed_to_others_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    open_ = os.open

    def watched(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            asked.append(mode)
            assert flags & os.O_EXCL
        return open_(path, flags, mode)

    monkeypatch.setattr(os, "open", watched)
    write_key(tmp_path / "a.key", "a", SECRET)
    write_key(tmp_path / "a.key", "a", SECRET, replace=True)
    assert asked == [0o600, 0o600]


def test_a_key_is_not_overwritten_unless_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "web-01.key"
    write_key(path, "web-01", SECRET)
    with pytest.raises(KeyFileError, match=r"web-01\.key: is there already"):
        write_key(path, "web-01", OTHER)
    assert read_key(path).secret == SECRET


def test_a_name_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be a key's name"):
        write_key(tmp_path / "x.key", 'a"\nb', SECRET)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web-01.key"
    write_key(path, "web-01", SECRET)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        write_key(path, "web-01", OTHER, replace=True)
    with pytest.raises(KeyFileError, match="No space left"):
        write_key(tmp_path / "new.key", "new", OTHER)
    assert [found.name for found in tmp_path.iterdir()] == ["web-01.key"]
    assert read_key(path).secret == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644, 0o660])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "web-01.key"
    write_key(path, "web-01", SECRET)
    path.chmod(mode)
    link = tmp_path / "link.key"
    link.symlink_to(path)
    for file in (path, link):
        with pytest.raises(KeyFileError, match=rf"others could read or write it \(its mode is {mode:o}\): chmod 600"):
            read_key(file)
    path.chmod(0o400)
    assert read_key(link).secret == SECRET


@pytest.mark.usefixtures("foreign")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "web-01.key"
    write_key(path, "web-01", SECRET)
    with pytest.raises(KeyFileError, match="belongs to another user"):
        read_key(path)


def test_what_was_looked_at_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web-01.key"
    write_key(path, "web-01", SECRET)
    write_key(tmp_path / "evil.key", "web-01", OTHER)
    (tmp_path / "evil.key").chmod(0o666)
    found = os.fstat

    def swapped(descriptor: int) -> os.stat_result:
        answer = found(descriptor)
        (tmp_path / "evil.key").replace(path)
        monkeypatch.setattr(os, "fstat", found)
        return answer

    monkeypatch.setattr(os, "fstat", swapped)
    assert read_key(path).secret == SECRET


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "lacks a name or a secret"),
        (b"secret = 1\nname = 'a'", "lacks a name or a secret"),
        (f'name = "a b"\nsecret = "{SECRET.text}"'.encode(), "lacks a name or a secret"),
        (f'name = "a"\nsecret = "{SECRET.public}"'.encode(), "this is a public key"),
        (f'name = "a"\nsecret = "{SECRET.text[:-1]}"'.encode(), "56 letters"),
        (f'name = "a"\nsecret = "{SECRET.text}"\npublic = "{OTHER.public}"'.encode(), "not that of its secret key"),
        (f"{SECRET.text}\n".encode(), "not as broker keys new writes it"),
        (b"\xff\xfe", "not as broker keys new writes it"),
        (b"a = " + b"[" * 10_000, "not as broker keys new writes it"),
        (b"#" * 20_000, "larger than 16,384 bytes"),
    ],
)
def test_what_is_no_key_file_is_told_and_never_repeated(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        read_key(path)
    assert told in str(caught.value)
    assert SECRET.text[4:20] not in str(caught.value)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"broker keys new web-01 --dir "):
        read_key(tmp_path / "web-01.key")
    with pytest.raises(KeyFileError, match="no regular file"):
        read_key(tmp_path)
    os.mkfifo(tmp_path / "pipe.key", 0o600)
    with pytest.raises(KeyFileError, match="no regular file"):
        read_key(tmp_path / "pipe.key")


def test_a_new_key_takes_the_place_of_another(tmp_path: Path) -> None:
    write_key(tmp_path / "a.key", "a", SECRET)
    write_key(tmp_path / "a.key.next", "a", OTHER)
    key = replace_key(tmp_path / "a.key.next", tmp_path / "a.key")
    assert key == read_key(tmp_path / "a.key")
    assert key.secret == OTHER
    assert not (tmp_path / "a.key.next").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_in_place_of_a_file_belongs_to_its_owner(tmp_path: Path) -> None:
    key, access = tmp_path / "a.key", tmp_path / "access.toml"
    write_key(key, "a", SECRET)
    write_access(access, ENTRY)
    os.chown(key, 4321, 4322)
    os.chown(access, 4321, 4322)
    write_key(tmp_path / "a.key.next", "a", OTHER, like=key)
    write_key(key, "a", OTHER, replace=True)
    write_access(access, "")
    for path in tmp_path.iterdir():
        assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4322)


# -- access rules -----------------------------------------------------------------------------------------------------


def test_rules_are_read_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "access.toml"
    assert write_access(path, ENTRY) == read_access(path)
    assert mode_of(path) == 0o644
    path.chmod(0o600)
    inode = path.stat().st_ino
    assert set(write_access(path, "# nobody\n").trusted) == set()
    assert path.read_text() == "# nobody\n"
    assert mode_of(path) == 0o600
    assert path.stat().st_ino != inode
    assert [found.name for found in path.parent.iterdir()] == ["access.toml"]


def test_rules_that_make_no_sense_do_not_replace_those_that_do(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    write_access(path, ENTRY)
    with pytest.raises(AccessError, match=r"access\.toml: left as it was: line 3: keys\.web-01\.grups: "):
        write_access(path, ENTRY + "grups = []")
    assert path.read_text() == ENTRY


def test_a_link_to_rules_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "access.toml"
    link.symlink_to(tmp_path / "real" / "access.toml")
    write_access(link, ENTRY)
    assert link.is_symlink()
    assert (tmp_path / "real" / "access.toml").read_text() == ENTRY


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o602])
def test_rules_that_others_can_write_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "access.toml"
    write_access(path, ENTRY)
    path.chmod(mode)
    with pytest.raises(
        AccessError, match=rf"^{path}: others can write it \(its mode is {mode:o}\): chmod go-w {path}$"
    ):
        read_access(path)


@pytest.mark.usefixtures("foreign")
def test_rules_of_another_user_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    write_access(path, ENTRY)
    with pytest.raises(AccessError, match=rf"^{path}: belongs to another user"):
        read_access(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff", "not a text in UTF-8: invalid start byte at byte 0"),
        (b"[keys.a]\n", "line 1: keys.a: it has no key"),
        (b"#" * ((8 << 20) + 1), "is larger than 8,388,608 bytes"),
    ],
)
def test_each_error_in_rules_begins_with_their_path(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "access.toml"
    path.write_bytes(content)
    with pytest.raises(AccessError) as caught:
        read_access(path)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_rules_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="there are no access rules: broker keys trust writes them"):
        read_access(tmp_path / "access.toml")
    with pytest.raises(AccessError, match="no regular file"):
        read_access(tmp_path)


def test_changes_made_alone_are_none_lost(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")

    def add() -> None:
        for _ in range(20):
            with alone_at(tmp_path):
                count = int(path.read_text())
                path.write_text(str(count + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "80"


# -- watching ---------------------------------------------------------------------------------------------------------


def test_a_watched_file_tells_each_change_once(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    watched = WatchedFile(path)
    assert not watched.changed()
    path.write_text("1")
    assert watched.changed()
    assert not watched.changed()
    path.write_text("22")
    assert watched.changed()
    write_access(path, "#2")  # as long as before, another file
    assert watched.changed()
    path.chmod(0o600)
    assert watched.changed()
    path.unlink()
    assert watched.changed()
    assert not watched.changed()
    write_access(path, "#2")
    assert watched.changed()


def test_what_changes_after_a_file_is_watched_is_seen_however_early(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    path.write_text("1")
    watched = WatchedFile(path)
    write_access(path, "#")
    assert watched.changed()
