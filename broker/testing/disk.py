"""A simulated disk: journals that outlive the endpoints of a cluster, with a disk's delays and failures.

What :class:`broker.journaling.Journal` promises holds here as on a real disk: a commit is done or not done.  A crash
while one is on its way leaves either, by chance; parts of a snapshot that were put aside are gone after it.
"""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from broker.errors import JournalFull
from broker.journaling import Commit, MemoryJournal, Work

if TYPE_CHECKING:
    from broker.testing.cluster import SimulatedEndpoint

__all__ = ["DiskUser", "SimulatedDisk", "SimulatedJournal"]

# A commit with its syncs: from a good solid-state disk to a busy spinning one, in seconds.
_FAST_S: Final = 0.0005
_SLOW_S: Final = 0.02
# On a disk that has too much to do.
_BUSY_S: Final = 0.15


class SimulatedJournal(MemoryJournal):
    """A journal on a simulated disk."""

    volatile = False
    trim_records = 1000  # so many a commit drops more than it appends, as the journal on a real disk does

    def __init__(self, id_: bytes, tables: int) -> None:
        super().__init__(id_, tables)
        self._to_trim = 0  # what a commit has left to the next ones

    def _commit(self, work: Commit) -> None:
        trim = max(self._to_trim, min(work.trim, work.position.sequence))
        most = self.first - 1 + len(work.records) + self.trim_records
        super()._commit(msgspec.structs.replace(work, trim=min(trim, most)))
        self._to_trim = trim if trim >= self.first else 0

    def forget_plans(self) -> None:
        """Forget what was put aside for a swap, and what was still to be trimmed, as a crash does."""
        self._aside = []
        self._to_trim = 0


class SimulatedDisk:
    """The journals of all endpoints of a cluster, by endpoint and store."""

    def __init__(self, seed: int) -> None:
        self.full: set[str] = set()  # the endpoints whose disks refuse to write
        self.tight: set[str] = set()  # those whose disks have room for rows, and for no records
        self.busy: set[str] = set()  # those whose disks are slow
        self.commits = 0
        self._random = random.Random(seed)
        self._journals: dict[tuple[str, str], SimulatedJournal] = {}

    def open(self, endpoint: str, store: str, tables: int) -> SimulatedJournal:
        """Return an endpoint's journal of a store, as it was left; a new one if there is none."""
        journal = self._journals.get((endpoint, store))
        if journal is None:
            journal = SimulatedJournal(self._random.randbytes(16), tables)
            self._journals[endpoint, store] = journal
        return journal

    def backup(self, endpoint: str, store: str) -> SimulatedJournal:
        """Return a copy of a journal as it is now; see :meth:`restore`.  KeyError: there is none."""
        return copy.deepcopy(self._journals[endpoint, store])

    def restore(self, endpoint: str, store: str, backup: SimulatedJournal) -> None:
        """Put a copy of a backup in a journal's place.  The endpoint must not be running."""
        self._journals[endpoint, store] = copy.deepcopy(backup)

    def remove(self, endpoint: str, store: str) -> None:
        """Lose a journal for good."""
        self._journals.pop((endpoint, store), None)

    def delay(self, endpoint: str) -> float:
        """Return how long the next piece of work takes, in seconds."""
        if endpoint in self.busy:
            return self._random.uniform(_SLOW_S, _BUSY_S)
        return self._random.uniform(_FAST_S, _SLOW_S) if self._random.random() < 0.1 else _FAST_S

    def carry_out(self, endpoint: str, journal: SimulatedJournal, work: Work) -> JournalFull | None:
        """Do a piece of work, or fail as a disk does."""
        self.commits += 1
        if endpoint in self.full or (endpoint in self.tight and isinstance(work, Commit) and work.records):
            return JournalFull(f"sim://{endpoint}", "no space left on device")
        journal.carry_out(work)
        return None

    def crash(self, endpoint: str, journal: SimulatedJournal, work: Work | None) -> None:
        """Die while a piece of work may be on its way: it is done, or not."""
        if work is not None and endpoint not in self.full | self.tight and self._random.random() < 0.5:
            journal.carry_out(work)
        journal.forget_plans()


class DiskUser:
    """Something of an endpoint that has a journal, in memory or on the simulated disk: a store, or a log's writer."""

    def __init__(self, endpoint: SimulatedEndpoint, machine: Any) -> None:
        self.endpoint = endpoint
        self.machine = machine
        self._work: Work | None = None  # on its way to the disk
        self._crashed = False

    def carry_out(self, work: Work) -> None:
        """Have the disk do a piece of work, which takes its time."""
        cluster = self.endpoint.cluster
        self._work = work

        def done() -> None:
            if self._crashed:
                return
            if self.endpoint.paused:  # no thread of it goes on
                cluster.call_at(cluster.now() + 0.05, done)
                return
            self._work = None
            journal = self.machine.journal
            assert isinstance(journal, SimulatedJournal)
            error = cluster.disk.carry_out(self.endpoint.name, journal, work)
            self.endpoint.node.carried_out(self.machine, error, cluster.now())
            self.endpoint.round_done()

        cluster.call_at(cluster.now() + cluster.disk.delay(self.endpoint.name), done)

    def crash(self) -> None:
        """Die: what is on its way to the disk is done, or not."""
        if not self._crashed:
            self._crashed = True
            journal = self.machine.journal
            if isinstance(journal, SimulatedJournal):
                self.endpoint.cluster.disk.crash(self.endpoint.name, journal, self._work)
