"""The records that tests of log streams write: each follows from its writer and its number."""

from __future__ import annotations

import broker

__all__ = ["Line", "line", "text_of", "text_of_line"]


@broker.event(name="interop.Line")
class Line:
    writer: str
    number: int
    value: float
    text: str


def line(writer: str, number: int, size: int = 0) -> Line:
    """The line of that number, which is at least so long."""
    some = f"{number * 2654435761 & 0xFFFFFFFF:08x}"
    return Line(writer, number, number / 7, some * (number % 5 + (size + 7) // 8))


def text_of_line(writer: str, number: int, size: int = 0) -> str:
    """What a collector is to write of it, without its flags."""
    made = line(writer, number, size)
    return f"{made.writer} {made.number} {made.value!r} {made.text}"


def text_of(message: broker.LogMessage) -> str:
    """What a collector writes of a message: what it says, and its flags."""
    got = message.record
    return (
        f"{got.writer} {got.number} {got.value!r} {got.text}"
        f" | {message.number} {message.origin} {message.redelivered:d} {message.lost_before}\n"
    )
