"""Disks that die, or are full, at a chosen step, and readers of what log files have left."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from broker.sinks.disk import Disk


class Killed(BaseException):
    """The process dies here."""


class KilledDisk(Disk):
    """Dies at its ``at``-th step: before it is done, or after; of a write half is done before.

    If it ``forgets``, what was not synced is lost, of files and of names: as when the machine dies, not the process
    alone.
    """

    def __init__(self, at: int, *, after: bool = False, forgets: bool = False) -> None:
        self.steps = 0
        self.dead = False
        self._at = at
        self._after = after
        self._forgets = forgets
        self._open: dict[int, int] = {}  # the synced length of each open file
        self._kept: list[Path] = []
        self._undo: list[Callable[[], object]] = []  # what was done to names since they were synced

    def die(self) -> None:
        self.dead = True
        for fd, length in self._open.items():
            if self._forgets and os.fstat(fd).st_size > length:
                os.ftruncate(fd, length)
            os.close(fd)
        self._open.clear()
        if self._forgets:
            for undo in reversed(self._undo):
                undo()
        self.forget_how()

    def forget_how(self) -> None:
        for kept in self._kept:
            kept.unlink(missing_ok=True)
        self._kept.clear()
        self._undo.clear()

    def keep(self, path: Path) -> Path:
        """Another name for a file, in case it has to come back."""
        kept = path.parent / f".kept-{len(self._kept)}"
        os.link(path, kept)
        self._kept.append(kept)
        return kept

    @contextmanager
    def _step(self) -> Iterator[bool]:
        """One step; False if it is to be done by half at most."""
        if self.dead:
            raise Killed
        self.steps += 1
        dies = self.steps == self._at
        yield not dies or self._after
        if dies:
            self.die()
            raise Killed

    def create(self, path: Path) -> int:
        fd = -1
        with self._step() as whole:
            if whole:
                fd = super().create(path)
                self._open[fd] = 0
                self._undo.append(lambda: path.unlink(missing_ok=True))
        return fd

    def open(self, path: Path) -> int:
        with self._step():
            fd = super().open(path)
            self._open[fd] = os.fstat(fd).st_size
        return fd

    def write(self, fd: int, data: bytes, offset: int) -> None:
        with self._step() as whole:
            super().write(fd, data if whole else data[: len(data) // 2], offset)

    def truncate(self, fd: int, length: int) -> None:
        with self._step() as whole:
            if whole:
                super().truncate(fd, length)
                self._open[fd] = min(self._open[fd], length)

    def sync(self, fd: int) -> None:
        with self._step() as whole:
            if whole:
                self._open[fd] = os.fstat(fd).st_size

    def close(self, fd: int) -> None:
        with self._step():
            length = self._open.pop(fd)
            if self._forgets and os.fstat(fd).st_size > length:
                self._open[os.dup(fd)] = length  # Closing a file does not sync it.
            super().close(fd)

    def rename(self, source: Path, target: Path) -> None:
        with self._step() as whole:
            if whole:
                before = self.keep(target) if self._forgets and target.exists() else None
                super().rename(source, target)
                if before is not None:
                    self._undo.append(lambda: before.rename(target))
                self._undo.append(lambda: target.rename(source))

    def unlink(self, path: Path) -> None:
        with self._step() as whole:
            if whole:
                if self._forgets and path.exists():
                    kept = self.keep(path)
                    self._undo.append(lambda: kept.rename(path))
                super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        with self._step() as whole:
            assert path.is_dir()
            if whole:
                self.forget_how()


class FullDisk(Disk):
    """Has no room from its ``at``-th write on, until ``room`` is set; half of that write is done."""

    def __init__(self, at: int) -> None:
        self.writes = 0
        self.room = False
        self._at = at

    def write(self, fd: int, data: bytes, offset: int) -> None:
        self.writes += 1
        if self.writes >= self._at and not self.room:
            super().write(fd, data[: len(data) // 2], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        """A test need not wait for the disk."""


def visible(directory: Path) -> list[Path]:
    """The files that are no secret of ours: rotated ones in order, the current one last."""
    paths = [path for path in directory.iterdir() if not path.name.startswith(".")]
    return sorted(paths, key=lambda path: (path.name.count("-") == 0, path.name))


def contents(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def numbers_in(directory: Path) -> list[int]:
    """The numbers of all records in a directory's files, in their order."""
    found: list[int] = []
    for path in visible(directory):
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            found += pq.read_table(path).column("n").to_pylist()
            continue
        lines = contents(path).decode().splitlines()
        if ".json" in path.name:
            found += [msgspec.json.decode(line, type=dict[str, Any])["n"] for line in lines]
        else:
            found += [int(line.split("\t")[1]) for line in lines if not line.startswith("#")]
    return found
