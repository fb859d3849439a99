"""kill -9 at any moment: the journal opens, its chain holds, and what was acknowledged is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from journals import opened

from broker.journal import verify

ROOT = Path(__file__).parent.parent.parent

# Commits and tells each; now and then it loads and swaps in a new state, or compacts.
WRITER = """
import sys
from pathlib import Path
from journals import commit, opened, replaced
from broker.journaling import Position

journal = opened(Path(sys.argv[1]))
number = journal.position.sequence
print(number, flush=True)
while True:
    number += 1
    rows = {b"last": b"%d" % number, b"%d" % (number % 50): b"v" * 500}
    commit(journal, b"%d" % number, rows={0: rows}, trim=number - 20)
    if number % 7 == 0:
        state = [(0, b"last", b"%d" % number)] + [(0, b"%d" % n, bytes(300)) for n in range(0, number % 50)]
        replaced(journal, state, journal.position)
    if number % 11 == 0:
        journal.compact()
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "hosts.lmdb"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    told = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            lines = chance.randrange(2, 60)
            for _ in range(lines):
                told = int(child.stdout.readline())
            for _ in range(chance.randrange(3000)):  # somewhere in the next commit, swap or compaction
                pass
            child.send_signal(signal.SIGKILL)
            told = max([told, *map(int, child.stdout.read().split())])
        report = verify(path)
        assert report.ok, report.problems
        journal = opened(path)
        assert told <= journal.position.sequence <= told + 1
        assert journal.get(0, b"last") == b"%d" % journal.position.sequence
        for record in journal.read(journal.first - 1, 1 << 20):
            assert record.body == b"%d" % record.sequence
        assert not list(path.parent.glob("*.incoming"))
        journal.close()


def test_slots_of_killed_readers_are_freed(tmp_path: Path) -> None:
    path = tmp_path / "hosts.lmdb"
    opened(path).close()
    program = (
        "import os, sys; from pathlib import Path; from journals import opened\n"
        "journal = opened(Path(sys.argv[1])); journal.snapshot((0,)); journal.position; os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    # Another reader keeps the lock file in use: otherwise LMDB makes it anew.
    with lmdb.open(str(path), subdir=False, readonly=True, max_dbs=9, map_size=1 << 30, lib_version=0) as reader:
        assert subprocess.run([sys.executable, "-c", program, str(path)], check=False, env=environment).returncode == -9
        assert str(reader.readers()).count("\n") >= 2
        clean = "import sys; from pathlib import Path; from journals import opened; opened(Path(sys.argv[1])).close()"
        subprocess.run([sys.executable, "-c", clean, str(path)], check=True, env=environment)
        assert reader.reader_check() == 0
