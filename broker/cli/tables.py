"""What tables in a terminal have in common: how they look, the console they are for, text that fits a cell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.cells import set_cell_size
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from broker.cli.standard import printable

__all__ = ["drawn", "fields_table", "fitted", "new_table", "terminal"]


def terminal() -> Console:
    """A console for standard output, as wide as the terminal is now."""
    return Console(file=sys.stdout, highlight=False)


def new_table(title: str = "") -> Table:
    """A table without rows and columns."""
    return Table(
        box=None,
        pad_edge=False,
        header_style="bold underline",
        title=title or None,
        title_justify="left",
        title_style="bold",
    )


def drawn(what: RenderableType) -> str:
    """The text of a table, or of several things below each other, without spaces at the ends of lines."""
    console = terminal()
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().split("\n"))


def fields_table(form: Mapping[str, Any]) -> str:
    """Names and what they stand for; what is empty is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in form.items():
        if value not in (None, "", []):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(Text(name.replace("_", " "), style="cyan"), Text(printable(text)))
    return drawn(table)


def fitted(text: str, cells: int) -> str:
    """The text in exactly so many cells, with an ellipsis where it was cut."""
    text = printable(text[: 4 * cells])
    cell = set_cell_size(text, cells)
    return cell if cell.rstrip() == text.rstrip() else set_cell_size(text, cells - 1) + "…"
