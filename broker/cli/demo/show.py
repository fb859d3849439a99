"""The three ways to show the demo: a live table, lines where the cursor cannot be moved, JSON where nobody looks."""

from __future__ import annotations

import sys
from collections import deque
from functools import partial
from typing import Final, Protocol

import trio
from rich.console import Console
from rich.live import Live

from broker import Message
from broker.cli.demo.screen import live_table, plain_line, print_summary, summary_text
from broker.cli.demo.tally import BURST, Tally, kind_of
from broker.cli.events.records import line_of
from broker.cli.jsonform import dumps
from broker.cli.standard import Output, note

__all__ = ["Show", "show_for"]

_REFRESH_S: Final = 0.125
_LINE_EVERY_S: Final = 1.0
_RATE_OVER_S: Final = 1.0


class Show(Protocol):
    """One way to show the demo."""

    async def take(self, messages: list[Message]) -> None:
        """Take note of messages, before they are counted."""

    async def run(self) -> None:
        """Show what goes on, until it is cancelled."""

    async def finish(self, seconds: float) -> None:
        """Show the summary."""


def show_for(output: Output, tally: Tally, *, as_json: bool) -> Show:
    """The way that suits standard output."""
    if as_json or not output.is_terminal:
        return JsonShow(output, tally)
    console = Console(file=sys.stdout, highlight=False)
    return LineShow(console, tally) if console.is_dumb_terminal else LiveShow(console, tally)


class JsonShow:
    """A line for each message but those of the burst, which the summary counts; the summary is the last line."""

    def __init__(self, output: Output, tally: Tally) -> None:
        self._output = output
        self._tally = tally

    async def take(self, messages: list[Message]) -> None:
        """Print them."""
        text = "".join(line_of(message) for message in messages if kind_of(message.topic) != BURST)
        if text:
            await self._output.write(text)

    async def run(self) -> None:
        """Do nothing: the messages are shown as they come."""

    async def finish(self, seconds: float) -> None:
        """Print the summary, and say it on standard error."""
        summary = self._tally.summary(seconds)
        await self._output.write(dumps({"summary": summary}) + "\n")
        note(summary_text(summary))


class _Rate:
    """Events per second, over the last second."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.began = trio.current_time()
        self._seen = deque([(self.began, tally.events)])

    def now(self) -> tuple[float, float]:
        """Return the seconds since the beginning, and the rate."""
        now, events = trio.current_time(), self._tally.events
        self._seen.append((now, events))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _RATE_OVER_S:
            self._seen.popleft()
        then, events_then = self._seen[0]
        return now - self.began, (events - events_then) / max(now - then, 0.001)


class _ConsoleShow:
    """What the two ways for a terminal have in common."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._tally = tally

    async def take(self, messages: list[Message]) -> None:
        """Do nothing: what is shown is the tally."""

    async def finish(self, seconds: float) -> None:
        """Print the summary."""
        print_summary(self._console, self._tally, seconds)


class LiveShow(_ConsoleShow):
    """A table that is drawn anew in its place."""

    async def run(self) -> None:
        """Draw the table several times a second, and once more at the end."""
        rate = _Rate(self._tally)

        def draw() -> None:
            live.update(live_table(self._tally, *rate.now(), self._console.width), refresh=True)

        with Live(console=self._console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
            try:
                while True:
                    draw()
                    await trio.sleep(_REFRESH_S)
            finally:
                draw()


class LineShow(_ConsoleShow):
    """A line a second."""

    async def run(self) -> None:
        """Print the lines."""
        rate = _Rate(self._tally)
        print_line = partial(self._console.print, soft_wrap=True)
        while True:
            print_line(plain_line(self._tally, *rate.now()))
            await trio.sleep(_LINE_EVERY_S)
