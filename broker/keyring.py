"""Files of keys and of access rules: where they are, who may read them, how they are replaced.

A **key file** holds an endpoint's secret key.  It is refused when anybody else could have read or written it, and is
written so that nobody can, not even for a moment.  **Access rules** hold public keys only: everybody may read them,
and nobody but their owner may write them.  Both are replaced as a whole: who reads one has the old or the new one.

What is read is judged by the opened file, not by its path: the file that was looked at is the one that is read, and a
symbolic link is as good as what it points at.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from broker.errors import AccessError, BadKey, KeyFileError
from broker.trust.access import Access, is_label
from broker.trust.keys import SecretKey, is_key_text
from broker.trust.toml import TEXT_MAX, parse_access

__all__ = [
    "ACCESS_NAME",
    "KeyFile",
    "WatchedFile",
    "access_beside",
    "alone_at",
    "directory",
    "key_path",
    "load_access",
    "read_access",
    "read_key",
    "replace_key",
    "write_access",
    "write_key",
]

ACCESS_NAME: Final = "access.toml"
_SUFFIX: Final = ".key"
_KEY_BYTES_MAX: Final = 16_384
_NAMED_MAX: Final = 10  # keys, in an error
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
# Without O_NONBLOCK the opening of a named pipe would wait for somebody to write to it.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

AnyPath = str | os.PathLike[str]


class KeyFile(Struct, frozen=True, kw_only=True):
    """What a key file holds: the name that the key was made for, the key, and when that was."""

    path: Path
    name: str
    secret: SecretKey
    created: datetime | None = None


def directory() -> Path:
    """Return where keys are when only their names are said.

    That is ``$BROKER_KEYS``, else ``$XDG_CONFIG_HOME/broker``, else ``~/.config/broker``.
    """
    told = os.environ.get("BROKER_KEYS")
    if told:
        return Path(told).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "broker"


def key_path(keys: AnyPath) -> Path:
    """Return the path of a key file that was told by its name, such as ``web-01``, or by its path.

    A text without a slash that does not end in ``.key`` is a name.
    """
    if isinstance(keys, str) and "/" not in keys and not keys.endswith(_SUFFIX):
        if is_key_text(keys):
            # It may be a secret: it is not repeated.
            raise KeyFileError("keys", "this is a key itself: give the name of its file, such as web-01, or a path")
        if not is_label(keys):
            raise KeyFileError(keys, "neither the name of a key (letters, digits and . _ -, at most 100) nor a path")
        return directory() / f"{keys}{_SUFFIX}"
    return Path(keys)


def access_beside(path: Path) -> Path:
    """Return where the access rules are that belong to a key file, unless others are told."""
    return path.parent / ACCESS_NAME


# --- key files ---------------------------------------------------------------------------------------------------


def read_key(path: AnyPath) -> KeyFile:
    """Read a key file; raises :class:`~broker.errors.KeyFileError` that says what to do."""
    path = Path(path)
    try:
        raw = _read(path, _OTHERS, _KEY_BYTES_MAX)
    except _Refused as refused:
        raise KeyFileError(str(path), str(refused)) from None
    except FileNotFoundError:
        raise KeyFileError(str(path), f"there is no such file: {_how_to_find(path)}") from None
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be read: {error.strerror}") from error
    try:
        return _parse_key(path, raw)
    except (ValueError, RecursionError) as error:
        # The error of a parser may repeat what it found there: a secret.
        what = str(error) if isinstance(error, BadKey) else "it is not as broker keys new writes it"
        raise KeyFileError(str(path), f"no key file: {what}") from None


def _how_to_find(path: Path) -> str:
    name = path.stem if is_label(path.stem) else "NAME"
    where = "" if path.parent == directory() else f" --dir {path.parent}"
    there = sorted(file.stem for file in path.parent.glob(f"*{_SUFFIX}"))[:_NAMED_MAX]
    known = f"the keys there are {', '.join(there)}; " if there else ""
    return f"{known}make a key with broker keys new {name}{where}"


def _parse_key(path: Path, raw: bytes) -> KeyFile:
    table = tomllib.loads(raw.decode())
    name, secret, public, created = (table.get(part) for part in ("name", "secret", "public", "created"))
    if type(name) is not str or not is_label(name) or type(secret) is not str:
        raise BadKey("it lacks a name or a secret")
    key = SecretKey.parse(secret)
    if public is not None and public != str(key.public):
        raise BadKey("the public key in it is not that of its secret key: it has been changed by hand")
    return KeyFile(path=path, name=name, secret=key, created=created if type(created) is datetime else None)


def write_key(
    path: AnyPath, name: str, secret: SecretKey, *, replace: bool = False, like: AnyPath | None = None
) -> KeyFile:
    """Write a key file, which nobody else can read at any moment, and make its folder if it is not there.

    What root writes belongs to the owner of the file it replaces, or of the file ``like`` which it is to be.
    Raises :class:`~broker.errors.KeyFileError` when there is a file already, unless it is to ``replace`` it.
    """
    path = Path(path)
    if not is_label(name):
        raise KeyFileError(str(path), f"{name!r:.120} cannot be a key's name: letters, digits and . _ -, at most 100")
    created = datetime.now(UTC).replace(microsecond=0)
    text = _key_text(name, secret, created).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if replace:
            _replace(path, text, 0o600)
        else:
            _create(path, text, 0o600, _stat(Path(like)) if like is not None else None)
            _sync_directory(path.parent)
    except FileExistsError:
        raise KeyFileError(str(path), "is there already, and a key that is overwritten is lost: it was left") from None
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be written: {error.strerror}") from error
    return KeyFile(path=path, name=name, secret=secret, created=created)


def replace_key(new: AnyPath, path: AnyPath) -> KeyFile:
    """Put the key file ``new`` in the place of the one at ``path``, in one step; returns what was read from it."""
    key = read_key(new)
    path = Path(path)
    try:
        key.path.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be replaced: {error.strerror}") from error
    return KeyFile(path=path, name=key.name, secret=key.secret, created=key.created)


def _key_text(name: str, secret: SecretKey, created: datetime) -> str:
    time = created.isoformat().replace("+00:00", "Z")
    return (
        f"# The secret key of {name}, an endpoint of broker.  Whoever has this file can pose as {name}:\n"
        f"# show it to nobody, and keep no copies where others can read them.  Others trust its public key:\n"
        f"#   broker keys trust {secret.public} --name {name}\n"
        f'name = "{name}"\ncreated = {time}\npublic = "{secret.public}"\nsecret = "{secret.text}"\n'
    )


# --- access rules ------------------------------------------------------------------------------------------------


def read_access(path: AnyPath) -> Access:
    """Read access rules; raises :class:`~broker.errors.AccessError` that begins with the path."""
    return load_access(path)[0]


def load_access(path: AnyPath) -> tuple[Access, str]:
    """Read access rules with their text, for who is to change it; raises as :func:`read_access` does."""
    path = Path(path)
    try:
        text = _read(path, _OTHERS_WRITE, TEXT_MAX).decode()
        return parse_access(text), text
    except (_Refused, AccessError) as error:
        raise AccessError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise AccessError(f"{path}: not a text in UTF-8: {error.reason} at byte {error.start}") from None
    except FileNotFoundError:
        raise AccessError(f"{path}: there are no access rules: broker keys trust writes them") from None
    except OSError as error:
        raise AccessError(f"{path}: cannot be read: {error.strerror}") from error


def write_access(path: AnyPath, text: str, wanted: Access | None = None) -> Access:
    """Replace access rules by a text, in one step, if it makes sense, and says what is ``wanted``; returns that.

    Raises :class:`~broker.errors.AccessError`, and leaves what there is, when it does not or cannot be written.
    """
    path = Path(os.path.realpath(path))  # a symbolic link stays one
    try:
        access = parse_access(text)
    except AccessError as error:
        raise AccessError(f"{path}: left as it was: {error}") from None
    if wanted is not None and access != wanted:
        raise AccessError(f"{path}: left as it was: the text does not say what it is to say")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _stat(path)
        mode = stat.S_IMODE(before.st_mode) & ~_OTHERS_WRITE if before else 0o644
        _replace(path, text.encode(), mode)
    except OSError as error:
        raise AccessError(f"{path}: cannot be written: {error.strerror}") from error
    return access


@contextmanager
def alone_at(folder: AnyPath) -> Iterator[None]:
    """Keep others who do the same from changing the files of a folder meanwhile; makes it if it is not there."""
    folder = Path(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class WatchedFile:
    """Whether a file has changed since it was last asked, cheap enough to ask several times a second.

    Make it *before* the file is read: what changes in between is then seen.  That a file goes or comes is a change.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = Path(path)
        self._signature = self._look()

    def _look(self) -> tuple[int, ...] | None:
        found = _stat(self.path)
        if found is None:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev

    def changed(self) -> bool:
        """Whether the file is another one, or was written, since the last call."""
        before, self._signature = self._signature, self._look()
        return before != self._signature


# --- files -------------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """The file must not be used."""


def _read(path: Path, forbidden: int, bytes_max: int) -> bytes:
    """Read a file that is ours (or root's), and to which others have none of the ``forbidden`` permissions."""
    descriptor = os.open(path, _READ)
    try:
        _check(path, os.fstat(descriptor), forbidden)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(bytes_max + 1)
    finally:
        os.close(descriptor)
    if len(raw) > bytes_max:
        raise _Refused(f"is larger than {bytes_max:,} bytes")
    return raw


def _check(path: Path, found: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _Refused("is no regular file")
    if found.st_uid not in (os.geteuid(), 0):
        raise _Refused(f"belongs to another user (number {found.st_uid}), who can change it: chown it, or copy it")
    if found.st_mode & forbidden:
        secret = forbidden == _OTHERS
        who = "could read or write it" if secret else "can write it"
        how = f"chmod {'600' if secret else 'go-w'} {path}"
        more = ", and make a new key if they may have done so" if secret else ""
        raise _Refused(f"others {who} (its mode is {stat.S_IMODE(found.st_mode):03o}): {how}{more}")


def _create(path: Path, data: bytes, mode: int, owner: os.stat_result | None) -> None:
    """Write a new file that is on the disk, whole, when this returns; leaves none when it fails.

    What root writes in the place of somebody's file belongs to the same ``owner``, who could not read it otherwise.
    """
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None and os.geteuid() == 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file beside its place, and put it there in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        aside.unlink()  # of a process of our number that was killed
    _create(aside, data, mode, _stat(path))
    try:
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    _sync_directory(path.parent)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
