"""A segment: one file while it is written, from its first byte to its last.

Records become bytes when they are added and wait in memory; :meth:`Segment.flush` writes them.  A write that fails
takes the file back to where it was and leaves the bytes waiting: flushing again is all it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from broker.log_records import Column, compatible
from broker.sinks.disk import Disk
from broker.sinks.rows import Encoder, Record

__all__ = ["Segment"]


class Segment:
    """A file at ``path``, of which ``written`` bytes are there already.

    ``columns`` and ``options`` say how its encoder was made, ``opened_s`` is the time of day at which it was begun.
    """

    def __init__(
        self,
        disk: Disk,
        path: Path,
        encoder: Encoder,
        *,
        columns: tuple[Column, ...],
        options: str,
        opened_s: float,
        written: int = 0,
    ) -> None:
        self.path = path
        self.columns = columns
        self.options = options
        self.opened_s = opened_s
        self.written = written
        self.ended = False
        self._disk = disk
        self._encoder = encoder
        self._fd: int | None = None
        self._waiting: list[bytes] = [] if written else [encoder.begin(opened_s)]
        self._synced = True
        self._overhangs = False  # whether something may stand behind what is written

    @property
    def waiting(self) -> int:
        """Bytes that are not written yet."""
        return sum(map(len, self._waiting))

    def takes(self, columns: tuple[Column, ...], options: str) -> bool:
        """Whether records with these columns go into this file: it has them all, and was set up alike."""
        return (
            not self.ended
            and options == self.options
            and len(columns) <= len(self.columns)
            and not compatible(self.columns, columns)
        )

    def add(self, messages: Sequence[Record]) -> None:
        """Take records; nothing is written."""
        data = self._encoder.rows(messages)
        if data:
            self._waiting.append(data)

    def end(self, now_s: float) -> None:
        """Take no more records; what ends the file waits to be written."""
        if not self.ended:
            self._waiting.append(self._encoder.end(now_s))
            self.ended = True

    def flush(self, *, sync: bool = True) -> None:
        """Write what waits; it is on the disk when this returns, unless ``sync`` is False.

        Raises OSError; the file is then cut to what was written before.
        """
        if self._fd is None:
            self._fd = self._disk.open(self.path) if self.written else self._disk.create(self.path)
        if self._overhangs:
            self._disk.truncate(self._fd, self.written)
            self._overhangs = False
        data = b"".join(self._waiting)
        if data:
            try:
                self._disk.write(self._fd, data, self.written)
            except OSError:
                self._overhangs = True
                with suppress(OSError):  # If that fails too, there is the next call, or the next start.
                    self._disk.truncate(self._fd, self.written)
                raise
            self._synced = False
            self.written += len(data)
            self._waiting.clear()
        if sync and not self._synced:
            self._disk.sync(self._fd)
            self._synced = True

    def close(self) -> None:
        """Close the file; what waits is forgotten."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._disk.close(fd)
