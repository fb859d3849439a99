"""Progress of what takes long, on standard error and only where that is a terminal: a pipe sees nothing of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["progress"]

Advance = Callable[[float], None]

# What is over sooner needs no bar: it would only flicker.
_AFTER_S: Final = 0.5


@contextmanager
def progress(
    what: str, total: float | None = None, *, counts: bool = True, after_s: float = _AFTER_S
) -> Iterator[Advance]:
    """A bar while the block runs, if it takes longer than ``after_s``; call what it gives with how far it is.

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
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(what, total=total)
    with _started(bar.start, bar.stop, after_s):
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _started(start: Callable[[], None], stop: Callable[[], None], after_s: float) -> Iterator[None]:
    """Start it after so long, by a thread: the block may not come round.  Stop it in the end."""
    lock = threading.Lock()
    is_over = False

    def begin() -> None:
        with lock:
            if not is_over:
                start()

    timer = threading.Timer(after_s, begin)
    timer.daemon = True
    if after_s > 0:
        timer.start()
    else:
        begin()
    try:
        yield
    finally:
        with lock:
            is_over = True
        timer.cancel()
        stop()
