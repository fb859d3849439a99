"""Standard input, output and error, without holding up the loop.

A reader at the other end of a pipe may stall (``| less``) and a terminal may be paused (Ctrl-S): what blocks, does so
in a thread, so that peers go on being answered and Ctrl-C works.  The threads use the bare file descriptors: they may
be left behind in a blocked call at exit, and Python's buffered files would wait for them there.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
from collections import deque
from contextlib import suppress
from typing import Final

import trio

__all__ = ["LineTooLong", "Lines", "Output", "note", "printable", "silence_library"]

_STDIN: Final = 0
_STDOUT: Final = 1
_CHUNK_BYTES: Final = 65_536
# An event has at most 4 MiB; in JSON, escapes and base64 included, it stays below this.
LINE_BYTES_MAX: Final = 64 << 20


def printable(text: str) -> str:
    """The text with everything escaped that could move a terminal's cursor or colour it: names come from elsewhere."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def silence_library() -> None:
    """Keep the library's warnings from standard error: for commands that tell all of it in their own way."""
    logging.getLogger("broker").addHandler(logging.NullHandler())


def note(text: str) -> None:
    """Say something on standard error, on one line."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


class Output:
    """Standard output, for several tasks: each text appears whole."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.is_terminal = os.isatty(_STDOUT) and not as_json  # somebody looks at it, and wants no JSON
        self.is_stuck = False  # a write was given up half-way: no more may follow
        self._lock = trio.Lock()

    async def write(self, text: str) -> None:
        """Write a text; raises OSError (BrokenPipeError when nobody reads any more)."""
        async with self._lock:
            if self.is_stuck:
                return
            self.is_stuck = True
            await trio.to_thread.run_sync(_write_all, text.encode(errors="replace"), abandon_on_cancel=True)
            self.is_stuck = False

    async def until_unread(self) -> None:
        """Wait until a pipe has lost its reader; for ever when standard output is no pipe."""
        if stat.S_ISFIFO(os.fstat(_STDOUT).st_mode):
            with suppress(OSError):  # not every system can watch the writing end
                await trio.lowlevel.wait_readable(_STDOUT)
                return
        await trio.sleep_forever()


def _write_all(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(_STDOUT, rest) :]
        except BlockingIOError:  # somebody who shares it has made it non-blocking
            select.select([], [_STDOUT], [])


class LineTooLong(ValueError):
    """A line of standard input longer than any event."""


class Lines:
    """The lines of standard input, or a file, as they come, with their numbers from 1; empty ones are left out."""

    def __init__(self, descriptor: int = _STDIN, strip: bytes | None = None) -> None:
        self._descriptor = descriptor
        self._strip = strip  # what ends a line, and is not of it; None: all white space around it
        self.number = 0
        self._lines: deque[bytes] = deque()
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._ended = False

    async def read(self) -> bytes | None:
        """Return the next line that is not empty, and set ``number``; None at the end.  Raises LineTooLong."""
        while True:
            while self._lines:
                line = self._lines.popleft().strip(self._strip)
                self.number += 1
                if line:
                    return line
            if self._ended:
                return None
            self._take(await trio.to_thread.run_sync(os.read, self._descriptor, _CHUNK_BYTES, abandon_on_cancel=True))

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            self._lines.append(b"".join(self._rest))
            return
        first, *others = chunk.split(b"\n")
        self._rest.append(first)
        self._rest_bytes += len(first)
        if self._rest_bytes > LINE_BYTES_MAX:
            raise LineTooLong(f"longer than {LINE_BYTES_MAX} bytes")
        if others:
            *whole, last = others
            self._lines.append(b"".join(self._rest))
            self._lines.extend(whole)
            self._rest, self._rest_bytes = [last], len(last)
