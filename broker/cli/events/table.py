"""A table that grows by a row a message: every row stands by itself, so it can go on for ever."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from broker import Message
from broker.cli.events.records import event_name, named_args
from broker.cli.jsonform import dumps, to_json
from broker.cli.standard import printable
from broker.cli.tables import fitted, terminal

__all__ = ["MessageTable"]

_TIME_CELLS = 12  # 12:34:56.789
# What is worth its place in a terminal of fewer columns: first the origin goes, then the time.
_CELLS_FOR_ORIGIN = 70
_CELLS_FOR_TIME = 50
# A field's text is cut to the terminal anyway; a value of megabytes is cut before that.
_FIELD_CHARACTERS_MAX = 1000


class MessageTable:
    """Rows of messages, as wide as the terminal is at that moment."""

    def __init__(self) -> None:
        self.console = terminal()
        self._widths: dict[str, int] = {}

    def rows(self, messages: list[Message]) -> str:
        """The text of so many rows, below a header where there is none yet or the terminal has changed its width."""
        widths = self._fit(self.console.width)
        with self.console.capture() as capture:
            if widths != self._widths:
                self._widths = widths
                self._print({name: (name, "bold underline") for name in widths})
            for message in messages:
                self._print(_cells(message))
        return capture.get()

    def line(self, text: str) -> str:
        """The text of a remark between rows."""
        with self.console.capture() as capture:
            self.console.print(Text(printable(text), style="dim"), soft_wrap=True)
        return capture.get()

    def _print(self, cells: dict[str, tuple[str, str]]) -> None:
        row = Text(no_wrap=True, overflow="ellipsis")
        for name, width in self._widths.items():
            text, style = cells[name]
            cell = fitted(text, width)
            row.append(cell.rstrip() if name == "fields" else cell + "  ", style)
        self.console.print(row, no_wrap=True, overflow="ellipsis", crop=True)

    @staticmethod
    def _fit(columns: int) -> dict[str, int]:
        widths = {"time": _TIME_CELLS} if columns >= _CELLS_FOR_TIME else {}
        rest = columns - sum(width + 2 for width in widths.values())
        if columns >= _CELLS_FOR_ORIGIN:
            widths["origin"] = min(20, rest // 6)
        widths["topic"] = min(40, rest * 3 // 10)
        widths["event"] = min(24, rest // 6)
        widths["fields"] = max(8, columns - sum(width + 2 for width in widths.values()))
        return widths


def _cells(message: Message) -> dict[str, tuple[str, str]]:
    return {
        "time": (_local_time(message), "dim"),
        "origin": (message.origin, "cyan"),
        "topic": (message.topic, "green"),
        "event": (event_name(message.event), "bold"),
        "fields": (_fields_text(message.event), ""),
    }


def _local_time(message: Message) -> str:
    return datetime.fromtimestamp(message.time_ns / 1e9).astimezone().isoformat(timespec="milliseconds")[11:23]


def _fields_text(event: object) -> str:
    texts = []
    for name, value in named_args(event):
        text = dumps(to_json(value))[:_FIELD_CHARACTERS_MAX]
        texts.append(f"{name}={text}" if name else text)
    return "  ".join(texts)
