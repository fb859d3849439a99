"""Every step of log files that reaches the disk, one method a step, so that a test can stop between any two.

Files are named by paths, open files by their descriptors.  All raise OSError.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Disk"]


class Disk:
    """The operating system's file operations."""

    def create(self, path: Path) -> int:
        """Make a file for writing that is not there yet."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def open(self, path: Path) -> int:
        """Open a file that is there for writing."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of ``data`` at an offset; part of it may be there after an error."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(fd, rest, offset)
            offset += written
            rest = rest[written:]

    def truncate(self, fd: int, length: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, length)

    def sync(self, fd: int) -> None:
        """Return when the file's contents are on the disk."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a file; what was not synced may be lost."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, at once; it takes the place of a file of that name."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Return when the names of a directory's files are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
