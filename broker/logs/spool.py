"""What a writer keeps in its journal: chunks of records, and who has had which of them.

Tables, beside the log of chunks (:mod:`broker.logs.chunks`):

    cursors   a collector's name -> :class:`Cursor`
    schemas   8 bytes, BLAKE2b of what follows -> :class:`broker.logs.wire.Schema`; of records that a collector's name
              expects, and that are not written here, behind a byte "c"
    epochs    4 bytes, big-endian -> :class:`Epoch`: where it began, and its mark
    state     one row: :class:`State`

Records have numbers, 1, 2, 3...; the log's sequences count chunks.  An **epoch** begins whenever a writer opens the
spool, with a **mark** of chance: a spool that was restored from a backup gives numbers again that it had given before,
and by the marks a collector's word about those is told from word about these.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from broker.errors import JournalDamaged, Malformed
from broker.journaling import Journal
from broker.logs.chunks import Chunk, read_chunk
from broker.logs.ranges import Range
from broker.logs.wire import Schema, encode
from broker.logs.wire import decode as decode_payload

__all__ = [
    "CURSORS",
    "EPOCHS",
    "SCHEMAS",
    "STATE",
    "TABLES",
    "Cursor",
    "Epoch",
    "Holder",
    "Spool",
    "State",
    "epoch_key",
    "expected_key",
    "schema_id",
    "state_key",
]

CURSORS: Final = 0
SCHEMAS: Final = 1
EPOCHS: Final = 2
STATE: Final = 3
TABLES: Final = ("cursors", "schemas", "epochs", "state")

_STATE_KEY: Final = b"state"
EPOCHS_KEPT: Final = 1000
SCHEMA_ID_BYTES: Final = 8
_EXPECTED: Final = b"c"
_LOOK_BYTES: Final = 1  # one chunk


class Holder(Struct, frozen=True, array_like=True):
    """A member of a collector's name, who may have records in hand."""

    id: bytes
    endpoint: str
    endpoint_id: bytes


class Cursor(Struct, array_like=True):
    """How far a collector's name is: everything up to ``floor`` is done, and ``done`` beyond it."""

    floor: int
    done: tuple[Range, ...]
    holders: tuple[Holder, ...]
    lost: int
    schema: bytes  # which it was opened with; empty: none
    suspect: tuple[Range, ...] = ()  # beyond the floor: may have been given to somebody who has died


class Epoch(Struct, frozen=True, array_like=True):
    """Where an epoch begins: the number of its first record, its mark, the clock in nanoseconds since 1970."""

    first: int
    mark: Annotated[bytes, Meta(min_length=8, max_length=8)]
    time_ns: int


class State(Struct, array_like=True):
    """The number that the next record gets, the time of the latest, and how many were dropped in all."""

    next: int = 1
    time_ns: int = 0
    dropped: int = 0


_decoders: Final[dict[type[Struct], msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (Cursor, Epoch, State)
}


class Spool:
    """Reads a writer's journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        row = journal.get(STATE, _STATE_KEY)
        self.state: State = State() if row is None else self._decoded(State, row)
        self.epochs: dict[int, Epoch] = {
            int.from_bytes(key, "big"): self._decoded(Epoch, value) for key, value in journal.rows(EPOCHS)
        }
        self._epochs_changed()

    def _decoded(self, kind: type[Struct], row: bytes) -> Any:
        try:
            return _decoders[kind].decode(row)
        except (msgspec.MsgspecError, ValueError) as error:
            raise JournalDamaged(str(self.journal), f"not a {kind.__name__} of a spool: {error}") from error

    def cursors(self) -> dict[str, Cursor]:
        """Return all collectors' cursors, by name."""
        return {key.decode(errors="replace"): self._decoded(Cursor, row) for key, row in self.journal.rows(CURSORS)}

    def schemas(self) -> dict[bytes, Schema]:
        """Return all schemas that its records have."""
        return self._schemas(b"")

    def expected(self) -> dict[bytes, Schema]:
        """Return the schemas of the records that collectors' names expect, where they are others."""
        return self._schemas(_EXPECTED)

    def _schemas(self, prefix: bytes) -> dict[bytes, Schema]:
        size = len(prefix) + SCHEMA_ID_BYTES
        try:
            return {
                key[len(prefix) :]: decode_payload(Schema, row)
                for key, row in self.journal.rows(SCHEMAS, prefix)
                if len(key) == size
            }
        except Malformed as error:
            raise JournalDamaged(str(self.journal), f"a schema of a spool: {error}") from error

    # -- epochs --

    def begin_epoch(self, mark: bytes, time_ns: int) -> tuple[int, dict[bytes, bytes | None]]:
        """Begin a new epoch; returns its number and the rows to be written."""
        number = max(self.epochs, default=self.journal.position.epoch) + 1
        self.epochs[number] = Epoch(self.state.next, mark, time_ns)
        rows: dict[bytes, bytes | None] = {epoch_key(number): encode(self.epochs[number])}
        for old in sorted(self.epochs)[:-EPOCHS_KEPT]:
            del self.epochs[old]
            rows[epoch_key(old)] = None
        self._epochs_changed()
        return number, rows

    def extent(self, epoch: int, mark: bytes) -> Range | None:
        """Return which numbers are of that epoch; None when this spool never had it."""
        found = self.epochs.get(epoch)
        if found is None or found.mark != mark:
            return None
        return found.first, self._ends[epoch]

    def _epochs_changed(self) -> None:
        """Work out where each epoch ends: a question of a collector may be about all of them."""
        self._ends: dict[int, int] = {}
        end = (1 << 63) - 1
        for number in sorted(self.epochs, reverse=True):
            self._ends[number] = end
            end = min(end, self.epochs[number].first - 1)

    # -- the log --

    def state_row(self) -> dict[bytes, bytes | None]:
        """Return the row that the state is kept in."""
        return {_STATE_KEY: encode(self.state)}

    def chunk(self, sequence: int) -> Chunk | None:
        """Return the chunk of that sequence; None when it is not kept, or damaged."""
        try:
            found = self.journal.read(sequence - 1, _LOOK_BYTES)
            return read_chunk(found[0].body) if found else None
        except (LookupError, Malformed):
            return None

    def find(self, number: int) -> int:
        """Return the sequence of the chunk that has that record, or else of the next one that is kept."""
        low, high = self.journal.first, self.journal.position.sequence + 1
        while low < high:
            middle = (low + high) // 2
            probe, chunk = middle, self.chunk(middle)
            while chunk is None and probe > low:  # damaged: its neighbour tells
                probe -= 1
                chunk = self.chunk(probe)
            if chunk is not None and chunk.last >= number:
                high = probe
            else:
                low = middle + 1
        return low

    def find_time(self, time_ns: int) -> int:
        """Return the number of the first record whose chunk is not older than that."""
        low, high = self.journal.first, self.journal.position.sequence + 1
        while low < high:
            middle = (low + high) // 2
            probe, chunk = middle, self.chunk(middle)
            while chunk is None and probe > low:
                probe -= 1
                chunk = self.chunk(probe)
            if chunk is not None and chunk.time_ns >= time_ns:
                high = probe
            else:
                low = middle + 1
        chunk = self.chunk(low)
        return self.state.next if chunk is None else chunk.first

    @property
    def oldest(self) -> int:
        """The number of the oldest record that is kept; the next one's when there is none."""
        for sequence in range(self.journal.first, self.journal.position.sequence + 1):
            chunk = self.chunk(sequence)
            if chunk is not None:
                return chunk.first
        return self.state.next


def epoch_key(number: int) -> bytes:
    """Return the key of an epoch's row."""
    return number.to_bytes(4, "big")


def state_key() -> bytes:
    """Return the key of the state's row."""
    return _STATE_KEY


def schema_id(packed: bytes) -> bytes:
    """Return what a schema is called in chunks."""
    return blake2b(packed, digest_size=SCHEMA_ID_BYTES).digest()


def expected_key(id_: bytes) -> bytes:
    """Return the key of the row of a schema that a collector's name expects."""
    return _EXPECTED + id_
