"""What ``broker store`` shows in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.cells import cell_len
from rich.text import Text

import broker
from broker.cli.running import counted
from broker.cli.standard import printable
from broker.cli.store.form import shown
from broker.cli.tables import drawn, fitted, new_table, terminal

__all__ = ["ChangeTable", "entries_table", "stores_table"]

_CAUSE_STYLES: Final = {"put": "green", "erase": "red", "expire": "yellow", "clear": "bold red"}
_TIME_CELLS: Final = 12  # 12:34:56.789
_CAUSE_CELLS: Final = 6
_KEY_CELLS_MAX: Final = 36
_EXPIRES_CELLS: Final = 12
_COLUMNS_FOR_TIME: Final = 50
_COLUMNS_FOR_WRITER: Final = 80


def stores_table(rows: Sequence[tuple[str, Sequence[str], int | None]]) -> str:
    """The stores of a mesh, who is their master, and how many entries they have."""
    table = new_table()
    table.add_column("store", no_wrap=True)
    table.add_column("master", no_wrap=True)
    table.add_column("entries", justify="right", no_wrap=True)
    for store, masters, entries in rows:
        conflict = " and ".join(map(printable, masters)) + " (a conflict)"
        master = Text(printable(masters[0])) if len(masters) == 1 else Text(conflict, style="bold red")
        table.add_row(Text(printable(store), style="cyan"), master, "?" if entries is None else f"{entries:,}")
    return drawn(table) if rows else "no store has a master in this mesh\n"


def entries_table(store: str, rows: Sequence[tuple[str, str, broker.Timestamp | None]]) -> str:
    """Entries, each on a line."""
    entries = counted(len(rows), "entry", "entries")
    table = new_table(f"{printable(store)}: {entries}")
    expiring = any(expires for _, _, expires in rows)
    # What a value leaves of its place is nobody's, so that a long one takes none from the key beside it.
    key_cells = min(_KEY_CELLS_MAX, max([len("key"), *(cell_len(key) for key, _, _ in rows)]))
    rest = terminal().width - key_cells - (_EXPIRES_CELLS + 8 if expiring else 5)
    table.add_column("key", no_wrap=True, width=key_cells)
    table.add_column("value", no_wrap=True, max_width=max(8, rest))
    if expiring:
        table.add_column("expires in", justify="right", no_wrap=True, width=_EXPIRES_CELLS)
    now = datetime.now(UTC)
    for key, value, expires in rows:
        cells = [Text(printable(key), style="cyan"), Text(printable(value))]
        if expiring:
            cells.append(Text(f"{max(0.0, (expires - now).total_seconds()):,.0f} s" if expires else ""))
        table.add_row(*cells)
    return drawn(table)


class ChangeTable:
    """Rows of changes, as wide as the terminal is at that moment; each stands by itself, so it can go on for ever."""

    def __init__(self) -> None:
        self._console = terminal()
        self._widths: dict[str, int] = {}

    def rows(self, changes: Sequence[broker.Change]) -> str:
        """The text of so many rows, below a header where there is none yet or the terminal has changed its width."""
        widths = self._fit(self._console.width)
        with self._console.capture() as capture:
            if widths != self._widths:
                self._widths = widths
                self._print({name: (name, "bold underline") for name in widths})
            for change in changes:
                self._print(_cells(change))
        return capture.get()

    def _print(self, cells: Mapping[str, tuple[str, str]]) -> None:
        row = Text(no_wrap=True, overflow="ellipsis")
        last = list(self._widths)[-1]
        for name, width in self._widths.items():
            text, style = cells[name]
            cell = fitted(text, width)
            row.append(cell.rstrip() if name == last else cell + "  ", style)
        self._console.print(row, no_wrap=True, overflow="ellipsis", crop=True)

    @staticmethod
    def _fit(columns: int) -> dict[str, int]:
        widths = {"time": _TIME_CELLS} if columns >= _COLUMNS_FOR_TIME else {}
        if columns >= _COLUMNS_FOR_WRITER:
            widths["writer"] = 14
        widths["cause"] = _CAUSE_CELLS
        rest = columns - sum(width + 2 for width in widths.values())
        widths["key"] = min(32, rest * 2 // 5)
        widths["value"] = max(8, columns - sum(width + 2 for width in widths.values()))
        return widths


def _cells(change: broker.Change) -> dict[str, tuple[str, str]]:
    at = datetime.fromtimestamp(change.time.timestamp(), UTC).astimezone()
    key = "(all)" if change.key is broker.ABSENT else shown(change.key)
    if change.element is not broker.ABSENT:
        key += f"[{'last' if change.element is broker.LAST else shown(change.element)}]"
    told = change.old if change.new is broker.ABSENT else change.new
    value = "" if told is broker.ABSENT or change.cause == "clear" else shown(told)
    return {
        "time": (at.isoformat(timespec="milliseconds")[11:23], "dim"),
        "writer": (change.writer or "(master)", "dim"),
        "cause": (change.cause, _CAUSE_STYLES[change.cause]),
        "key": (key, "cyan"),
        "value": (value, "" if change.new is not broker.ABSENT else "dim"),
    }
