"""The state file: what of a directory's log files is committed, and what was still to be renamed when it was written.

One line of JSON behind its CRC-32 (eight hexadecimal digits and a space).  It is replaced whole, by a rename: that is
the moment at which a commit is done.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from broker.log_records import Column
from broker.sinks.disk import Disk
from broker.sinks.errors import LogFilesDamaged, LogFilesError

__all__ = ["Move", "State", "read_state", "write_state"]

VERSION: Final = 1


class Move(Struct, frozen=True):
    """A file that is to have another name.  Both are names in the directory, not paths."""

    source: str
    target: str


class State(Struct, frozen=True, kw_only=True):
    """What is committed.

    ``length`` bytes of the current file (0: there is none), which was begun with ``columns`` and ``options`` (how its
    encoder was set up); ``opened_s`` is when the newest file was begun, ``number`` that of the newest rotated file;
    ``moves`` are to be done in this order, where they are not done yet; ``checkpoint`` is the caller's.
    """

    version: int = VERSION
    length: int = 0
    opened_s: float = 0.0
    columns: tuple[Column, ...] = ()
    options: str = ""
    number: int = 0
    moves: tuple[Move, ...] = ()
    checkpoint: bytes | None = None


def read_state(path: Path) -> State | None:
    """The state in a file; None if there is no such file.

    Raises LogFilesDamaged for one that is not what was written, and LogFilesError for one of a newer version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    crc, _, text = data.rstrip(b"\n").partition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        raise LogFilesDamaged(str(path), f"the state file is damaged (its checksum is wrong). {_ADVICE}")
    try:
        state = msgspec.json.decode(text, type=State)
    except msgspec.DecodeError as error:
        raise LogFilesDamaged(
            str(path), f"the state file is not one that this version writes ({error}). {_ADVICE}"
        ) from None
    if state.version != VERSION:
        raise LogFilesError(str(path), f"the state file is of version {state.version}, this program knows {VERSION}")
    return state


_ADVICE: Final = (
    "It says which records are in the files: restore it from a backup, or move it and the current log file elsewhere; "
    "then the collector goes on from what it acknowledged, and records written since may come twice"
)


def write_state(disk: Disk, path: Path, state: State) -> None:
    """Put a state in the place of the one before; it is on the disk when this returns.  Raises OSError."""
    text = msgspec.json.encode(state)
    aside = path.with_name(path.name + ".tmp")
    disk.unlink(aside)
    fd = disk.create(aside)
    try:
        disk.write(fd, b"%08x %b\n" % (zlib.crc32(text), text), 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.rename(aside, path)
    disk.sync_directory(path.parent)
