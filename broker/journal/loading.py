"""The state that is loaded aside, row by row, until it takes the place of the present one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from broker.journal.facts import IDENTITY_KEY, STATE_KEY, Identity, State
from broker.journal.keys import stored_row
from broker.journal.lmdbs import Tables, fit_file, made_file, open_environment, probed, quick_switching, remove_file
from broker.journaling import Position, Row

__all__ = ["Incoming"]


class Incoming:
    """A file beside the journal's that nobody else opens: written without syncing, and synced once when it is whole."""

    def __init__(self, path: str, identity: Identity, position: Position, limit_bytes: int | None) -> None:
        self.path = path
        self._identity = identity
        self._fd = made_file(path, identity, State.at(position))
        self._last = [b""] * len(identity.tables)  # stored keys: rows behind them are appended
        try:
            self._environment = open_environment(path, limit_bytes, lock=False, sync=False, create=False)
            self._tables = Tables(self._environment, identity.tables, create=False)
        except BaseException:
            os.close(self._fd)
            remove_file(path)
            raise

    def add(self, rows: Iterable[Row]) -> None:
        """Put these rows in it; raises what LMDB raises, and then none of them is there."""
        last = self._last.copy()
        with quick_switching(), self._environment.begin(write=True) as transaction:
            for table, items in _by_table(rows):
                _put(transaction, self._tables.rows[table], items, last, table)
        self._last = last

    def finish(self, position: Position) -> int:
        """Make it whole and lasting; returns its descriptor, which holds its lock.

        Raises what LMDB or the system raises; then it can be tried again.
        """
        with self._environment.begin(write=True, db=self._tables.facts) as transaction:
            transaction.put(IDENTITY_KEY, self._identity.packed())
            transaction.put(STATE_KEY, State.at(position).packed())
        self._environment.sync(True)
        fit_file(self.path, self._fd)
        os.fsync(self._fd)
        self._environment.close()
        return self._fd

    def probed(self, error: Exception) -> Exception:
        """Return what really went wrong with writing."""
        return probed(self._fd, error)

    def drop(self) -> None:
        """Remove it."""
        self._environment.close()
        remove_file(self.path)
        os.close(self._fd)


def _by_table(rows: Iterable[Row]) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    """Give the rows of each table that follow each other, as they are stored; of one key the last."""
    for table, run in groupby(rows, itemgetter(0)):
        yield table, dict([stored_row(key, value) for _, key, value in run])


def _put(transaction: Any, database: Any, items: dict[bytes, bytes], last: list[bytes], table: int) -> None:
    keys = sorted(items)
    in_order = keys == list(items)
    if keys[0] > last[table]:
        pairs = items.items() if in_order else [(key, items[key]) for key in keys]
        transaction.cursor(db=database).putmulti(pairs, append=True)
        last[table] = keys[-1]
    else:
        transaction.cursor(db=database).putmulti(items.items())
        last[table] = max(last[table], keys[-1])
