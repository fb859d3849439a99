"""Records of a log stream as rows of a table, each standing by itself, so that it can go on for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rich.cells import cell_len
from rich.text import Text

import broker
from broker.cli.jsonform import dumps, to_json
from broker.cli.log.form import Shown, fields_of
from broker.cli.standard import printable
from broker.cli.tables import fitted, terminal

__all__ = ["RecordTable"]

_TIME_CELLS: Final = 12  # 12:34:56.789
_ORIGIN_CELLS_MAX: Final = 16
_CELLS_FOR_ORIGIN: Final = 80
_CELLS_MAX: Final = 32  # of one column, while there are others that want them
_CELLS_MIN: Final = 6
_CELLS_MORE: Final = 8
_TEXT_CHARACTERS_MAX: Final = 1000


class RecordTable:
    """Rows of records: a cell a column where the terminal is wide enough, else all columns in one, with their names."""

    def __init__(self) -> None:
        self._console = terminal()
        self._layout: tuple[Any, ...] = ()
        self._widths: dict[str, int] = {}

    def rows(self, records: Sequence[Shown]) -> str:
        """The text of so many rows, below a header where columns or the terminal's width have changed."""
        with self._console.capture() as capture:
            for start, end in _alike(records):
                self._part(records[start:end])
        return capture.get()

    def _part(self, records: Sequence[Shown]) -> None:
        cells = [_cells(shown) for shown in records]
        layout = self._console.width, tuple(column.name for column in records[0].columns)
        if layout != self._layout:
            self._layout = layout
            self._widths = _fit(self._console.width, records, cells)
            self._print({name: (name.lstrip("."), "bold underline") for name in self._widths})
        for shown, row in zip(records, cells, strict=True):
            if ".fields" in self._widths:
                row[".fields"] = "  ".join(f"{name}={row[name][0]}" for name, _ in fields_of(shown)), ""
            self._print(row)

    def _print(self, cells: dict[str, tuple[str, str]]) -> None:
        row = Text(no_wrap=True, overflow="ellipsis")
        last = list(self._widths)[-1]
        for name, width in self._widths.items():
            text, style = cells.get(name, ("", ""))
            cell = fitted(text, width)
            row.append(cell.rstrip() if name == last else cell + "  ", style)
        self._console.print(row, no_wrap=True, overflow="ellipsis", crop=True)


def _alike(records: Sequence[Shown]) -> list[tuple[int, int]]:
    """Where runs of records with the same columns begin and end."""
    starts = [index for index, shown in enumerate(records) if not index or shown.columns != records[index - 1].columns]
    return list(zip(starts, [*starts[1:], len(records)], strict=True))


# What is not a record's begins with a point, which a column's name cannot.
def _cells(shown: Shown) -> dict[str, tuple[str, str]]:
    cells = {".time": (_local_time(shown.time_ns / 1e9), "dim"), ".origin": (printable(shown.origin), "cyan")}
    return cells | {name: (printable(_text(value)), "") for name, value in fields_of(shown)}


def _local_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")[11:23]


def _text(value: Any) -> str:
    """A value as people read it: what is unset is a hyphen, a time that of the day's clock."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value[:_TEXT_CHARACTERS_MAX]
    if isinstance(value, broker.Timestamp):
        return value.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + "Z"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    form = to_json(value)
    if isinstance(form, dict) and len(form) == 1 and next(iter(form)).startswith("$"):
        ((_, inner),) = form.items()
        return (inner if isinstance(inner, str) else dumps(inner))[:_TEXT_CHARACTERS_MAX]
    return dumps(form)[:_TEXT_CHARACTERS_MAX]


def _fit(width: int, records: Sequence[Shown], cells: Sequence[dict[str, tuple[str, str]]]) -> dict[str, int]:
    """How many cells each column gets; one column ".fields" when there is not enough room for all."""
    front = {".time": _TIME_CELLS}
    if width >= _CELLS_FOR_ORIGIN:
        longest = max(len("origin"), *(cell_len(row[".origin"][0]) for row in cells))
        front[".origin"] = min(_ORIGIN_CELLS_MAX, longest)
    room = width - sum(cells + 2 for cells in front.values())
    wanted: dict[str, int] = {}
    for name in dict.fromkeys(name for row in cells for name in row if not name.startswith(".")):
        longest = max(cell_len(row.get(name, ("", ""))[0]) for row in cells)
        wanted[name] = min(_CELLS_MAX, max(len(name), longest, _CELLS_MIN))
    if not wanted or sum(cells + 2 for cells in wanted.values()) - 2 > room:
        return {**front, ".fields": max(8, room)}
    # Texts to come may be longer than these; the last column has the rest.
    left = room - sum(cells + 2 for cells in wanted.values()) + 2
    texts = [column.name for column in records[0].columns if column.type.startswith("str") and column.name in wanted]
    for name in texts:
        more = min(_CELLS_MORE, left // len(texts))
        wanted[name] += more
    wanted[list(wanted)[-1]] = room - sum(cells + 2 for cells in list(wanted.values())[:-1])
    return front | wanted
