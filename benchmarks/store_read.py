"""Reading an entry of a clone, in ns, against looking it up in a dict.

One process reads; the clone's master is in another.  Each repetition reads other entries: for the first time, when
they are decoded, then seven times again, in turns with a dict of the same.
"""

from __future__ import annotations

import contextlib
import statistics

from benchmarks.disks import directory_on_disk
from benchmarks.harness import Options, Result, Series
from benchmarks.peers import OURS_STORES
from benchmarks.processes import Child

__all__ = ["run"]

COUNT = 10_000
# At most four times the time of a dict.
DICT_MIN = 0.25
# None: 64 bytes.
VALUES = {"bytes": None, "dict": {"mount": "/", "used": 0.91}}

# Of each clone a repetition's times by way of reading, in seconds.
_Taken = dict[str, list[dict[str, list[float]]]]


def run(options: Options) -> Result:
    """Read clones in memory and on disk, of bytes and of small dicts, in turns."""
    count = min(options.count or COUNT, COUNT)
    entries = count * (options.repeat + 1)
    taken: _Taken = {}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(directory_on_disk())
        readers: dict[str, Child] = {}
        for kind, value in VALUES.items():
            made = Child(OURS_STORES.module, "master", path=None, entries=entries, value=value)
            master = stack.enter_context(made)
            address = master.told("address")
            for where, path in (("memory", None), ("disk", str(directory / f"{kind}.store"))):
                reader = stack.enter_context(Child(OURS_STORES.module, "read", address=address, path=path))
                reader.told("address")
                readers[f"{where}, {kind}"] = reader
                taken[f"{where}, {kind}"] = []
        for turn in range(options.repeat + 1):
            for name, reader in readers.items():
                reader.order(count=count)
                seconds = reader.told("seconds")
                if turn:  # the first is the warm-up
                    taken[name].append(seconds)
    return _result(taken, count)


def _result(taken: _Taken, count: int) -> Result:
    def series(name: str, what: str) -> Series:
        return Series(tuple(statistics.median(seconds[what]) / count * 1e9 for seconds in taken[name]))

    main = "memory, bytes"
    details = {}
    for name in taken:
        for what in ("again", "first"):
            figure = series(name, what)
            details[f"a clone in {name}, {what}, ns".replace("in disk", "on disk")] = figure.median
            ratio = figure.median / series(name, "dict").median
            details[f"a clone in {name}, {what}, times a dict's".replace("in disk", "on disk")] = ratio
    loop = statistics.median(series(main, "loop").figures)
    details["the loop alone, ns"] = loop
    bare = (series(main, "again").median - loop) / (series(main, "dict").median - loop)
    details["in memory, bytes, again, without the loop, times a dict's"] = bare
    return Result(
        name="store-read",
        unit="ns",
        better="lower",
        ours=series(main, "again"),
        version=OURS_STORES.version(),
        peers={"dict": series(main, "dict")},
        versions={"dict": "Python's own"},
        targets={"dict": DICT_MIN},
        details=details,
        notes=(
            f"{count} entries a repetition, 'for key in keys: store[key]', keys are str",
            "ours: a clone in memory, values of 64 bytes, read before",
            "the time of the loop is in the figures of both",
        ),
    )
