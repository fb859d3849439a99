"""What a journal's file says about itself: what it is (written once), and where it stands (written at each commit)."""

from __future__ import annotations

import struct
from struct import Struct as Layout
from typing import Final, NamedTuple, Self
from zlib import crc32

import msgspec
from msgspec import Struct

from broker.journaling import Position

__all__ = ["FORMAT", "IDENTITY_KEY", "MAGIC", "STATE_KEY", "FactsDamaged", "Identity", "State"]

MAGIC: Final = "broker journal"
FORMAT: Final = 1
IDENTITY_KEY: Final = b"identity"
STATE_KEY: Final = b"state"
_CHECK_BYTES: Final = 4


class FactsDamaged(ValueError):
    """Facts that are missing or are not what was written."""


def _checked(data: bytes | None, what: str) -> bytes:
    if data is None:
        raise FactsDamaged(f"its {what} is missing")
    if crc32(data[_CHECK_BYTES:]) != int.from_bytes(data[:_CHECK_BYTES], "big"):
        raise FactsDamaged(f"its {what} is not what was written")
    return data[_CHECK_BYTES:]


def _with_check(data: bytes) -> bytes:
    return crc32(data).to_bytes(_CHECK_BYTES, "big") + data


class Identity(Struct, frozen=True):
    """What the file is.  On disk: CRC-32 and a msgpack map, which a newer version may add to."""

    kind: str
    name: str
    role: str
    tables: tuple[str, ...]
    lmdb: str  # the version of LMDB that made the file
    format: int = FORMAT
    magic: str = MAGIC

    def packed(self) -> bytes:
        """Return the bytes on disk."""
        return _with_check(msgspec.msgpack.encode(self))

    @classmethod
    def unpacked(cls, data: bytes | None) -> Self:
        """Read them; raises :class:`FactsDamaged`."""
        try:
            return msgspec.msgpack.decode(_checked(data, "identity"), type=cls)
        except (msgspec.DecodeError, ValueError) as error:
            raise FactsDamaged(f"its identity cannot be read: {error}") from None


_LAYOUT: Final = Layout(">16sQQ8sQ8sQ")


class State(NamedTuple):
    """Where the journal stands.  On disk: CRC-32 and the fields, big-endian."""

    journal: bytes
    epoch: int
    sequence: int
    checksum: bytes
    base: int  # the sequence before the oldest record that is kept
    base_checksum: bytes
    log_bytes: int  # of the bodies of the kept records

    @property
    def position(self) -> Position:
        """The end of the log."""
        return Position(self.journal, self.epoch, self.sequence, self.checksum)

    @classmethod
    def at(cls, position: Position) -> Self:
        """A journal that begins anew behind that position."""
        journal, epoch, sequence, checksum = (position.journal, position.epoch, position.sequence, position.checksum)
        return cls(journal, epoch, sequence, checksum, sequence, checksum, 0)

    def packed(self) -> bytes:
        """Return the bytes on disk."""
        return _with_check(_LAYOUT.pack(*self))

    @classmethod
    def unpacked(cls, data: bytes | None) -> Self:
        """Read them; raises :class:`FactsDamaged`."""
        try:
            return cls(*_LAYOUT.unpack(_checked(data, "state")))
        except struct.error:
            raise FactsDamaged("its state has another length") from None
