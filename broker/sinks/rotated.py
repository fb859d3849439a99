"""Finished files: their names, their compression, and how many are kept.

``conn.2026-11-26T04-38-00Z-0001.log.gz``: the stream, when the file was begun, a number that grows by one with each
file of the stream, the format, the compression.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Literal

from broker.extras import needed_for
from broker.sinks.disk import Disk

__all__ = ["Compression", "Rotated", "check_compression"]

Compression = Literal["gzip", "zstd"]

_SUFFIXES: Final = {"gzip": ".gz", "zstd": ".zst"}
_TMP: Final = ".tmp"
_COPY_BYTES: Final = 1 << 20


def check_compression(compress: Compression | None) -> None:
    """Raise ValueError for an unknown compression and ExtraMissing for one that needs a package which is not there."""
    if compress is not None and compress not in _SUFFIXES:
        raise ValueError(f"compress is 'gzip', 'zstd' or None, not {compress!r}")
    if compress == "zstd":
        with needed_for("zstd (gzip needs nothing)"):
            import pyarrow  # noqa: F401, ICN001 - wanted only here


class Rotated:
    """The finished files of one stream and format in a directory."""

    def __init__(self, directory: Path, stream: str, suffix: str, disk: Disk) -> None:
        self._directory = directory
        self._stream = stream
        self._suffix = suffix
        self._disk = disk
        time = r"\d{4,}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
        compressed = "|".join(map(re.escape, _SUFFIXES.values()))
        self._pattern = re.compile(
            rf"{re.escape(stream)}\.{time}-(?P<number>\d{{4,}}){re.escape(suffix)}(?P<compressed>{compressed})?"
        )

    def name(self, opened_s: float, number: int) -> str:
        """The name of a file that was begun at that time of day."""
        return f"{self._stream}.{datetime.fromtimestamp(opened_s, UTC):%Y-%m-%dT%H-%M-%SZ}-{number:04}{self._suffix}"

    def is_there(self, name: str) -> bool:
        """Whether there is such a file, compressed or not."""
        return any((self._directory / (name + suffix)).exists() for suffix in ("", *_SUFFIXES.values()))

    def files(self) -> list[tuple[int, Path]]:
        """The numbers and paths of all, oldest first."""
        found = []
        for path in self._directory.iterdir():
            match = self._pattern.fullmatch(path.name)
            if match is not None:
                found.append((int(match["number"]), path))
        return sorted(found)

    def remove_left_over(self) -> None:
        """Remove what a compression that was cut short has left: half a file, or a file that is there twice."""
        for path in self._directory.iterdir():
            if path.name.endswith(_TMP) and self._pattern.fullmatch(path.name[1 : -len(_TMP)]):
                self._disk.unlink(path)
        for _, path in self.files():
            if any(path.with_name(path.name + suffix).exists() for suffix in _SUFFIXES.values()):
                self._disk.unlink(path)

    def tidy(self, compress: Compression | None, keep: int | None, number_max: int) -> None:
        """Compress the files up to a number, and remove the oldest of all but ``keep``.  Raises OSError."""
        if keep is not None:
            numbers = sorted({number for number, _ in self.files() if number <= number_max})
            outdated = set(numbers[: max(0, len(numbers) - keep)])
            for number, path in self.files():
                if number in outdated:
                    self._disk.unlink(path)
        if compress is not None:
            for number, path in self.files():
                if number <= number_max and path.name.endswith(self._suffix):
                    self._compress(path, compress)

    def _compress(self, path: Path, compress: Compression) -> None:
        """Make the compressed file aside, give it its name, then remove the other: one of them is always whole."""
        target = path.with_name(path.name + _SUFFIXES[compress])
        if not target.exists():
            aside = path.with_name(f".{target.name}{_TMP}")
            self._disk.unlink(aside)
            fd = self._disk.create(aside)
            try:
                with path.open("rb") as source:
                    offset = 0
                    for part in _compressed(source, compress):
                        self._disk.write(fd, part, offset)
                        offset += len(part)
                self._disk.sync(fd)
            except OSError:
                with suppress(OSError):
                    self._disk.unlink(aside)  # A full disk has better uses for it.
                raise
            finally:
                self._disk.close(fd)
            self._disk.rename(aside, target)
            self._disk.sync_directory(self._directory)
        self._disk.unlink(path)


class _Parts:
    """A file to write to, whose parts are taken one by one."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Its parts can still be taken."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _compressed(source: IO[bytes], compress: Compression) -> Iterator[bytes]:
    parts = _Parts()
    packer: Any
    if compress == "gzip":
        # Without a name and a time in its header: the same file gives the same bytes.
        packer = gzip.GzipFile(filename="", mode="wb", fileobj=parts, compresslevel=6, mtime=0)
    else:
        import pyarrow as pa  # an optional package

        packer = pa.CompressedOutputStream(parts, "zstd")
    with packer:
        while data := source.read(_COPY_BYTES):
            packer.write(data)
            yield parts.take()
    yield parts.take()
