"""Progress of what takes long, on standard error and only where that is a terminal: a pipe sees nothing of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]

Advance = Callable[[float], None]


@contextmanager
def progress(what: str, total: float | None = None, *, counts: bool = True) -> Iterator[Advance]:
    """A bar while the block runs; call what it gives with how far it is.

    Without a total it shows that something goes on, for how long, and the number; ``counts=False`` leaves the number
    out, where it says nothing.  The bar is gone at the end.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
    if counts:
        columns.append(TextColumn("{task.completed:,.0f}") if total is None else MofNCompleteColumn())
    console = Console(file=sys.stderr, highlight=False)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
