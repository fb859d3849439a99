"""Directories on a real disk: where a sync costs what it costs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import BenchmarkFailed

__all__ = ["directory_on_disk", "file_system"]

# What keeps files in memory: a sync there costs nothing, and says nothing.
_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}


@contextlib.contextmanager
def directory_on_disk() -> Iterator[Path]:
    """Make a directory for the block, in the usual place for temporary files or in the first other one on a disk.

    Raises BenchmarkFailed when all of them are in memory.
    """
    places = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]  # noqa: S108 - made with a name of its own
    place = next((place for place in places if place.is_dir() and file_system(place) not in _IN_MEMORY), None)
    if place is None:
        raise BenchmarkFailed(f"none of {', '.join(map(str, places))} is on a disk: say TMPDIR=... ")
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=place, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def file_system(path: Path) -> str:
    """Return the kind of file system that a path is on, as /proc/mounts says; "unknown" without one."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    found, longest = "unknown", -1
    for line in mounts:
        _device, point, kind, *_ = line.split()
        if len(point) >= longest and path.resolve().is_relative_to(point.replace("\\040", " ")):
            found, longest = kind, len(point)
    return found
