"""Real programs for tests: their lines as they come, their exit codes, and an end to them in any case."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

ROOT = Path(__file__).parent.parent
# No test waits for time to pass; this is for programs that hang.
TIMEOUT_S = 40.0


class Lines:
    """The lines of one of a program's streams."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[str](math.inf)
        self.seen: list[str] = []

    async def pump(self, stream: trio.abc.ReceiveStream) -> None:
        rest = b""
        async with self._send, stream:
            # A terminal whose program has ended is broken; a test may close a pipe as a reader would.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for chunk in stream:
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._send.send_nowait(line.decode())
            if rest:
                self._send.send_nowait(rest.decode())

    async def next(self) -> str:
        line = await self._receive.receive()
        self.seen.append(line)
        return line

    async def next_with(self, text: str) -> str:
        """The next line that has the text in it; fails, with what there was, when the stream ends without it."""
        try:
            while text not in (line := await self.next()):
                pass
        except trio.EndOfChannel:
            raise AssertionError(f"no line with {text!r} in {self.seen}") from None
        return line

    async def rest(self) -> list[str]:
        lines = [line async for line in self._receive]
        self.seen += lines
        return lines


class Program:
    """A running program, the leader of a process group of its own."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.out = Lines()
        self.err = Lines()

    async def write(self, text: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode())

    async def close_stdin(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    def interrupt(self) -> None:
        """Do what Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    async def listening(self) -> str:
        """The address that it says it listens on."""
        return (await self.err.next_with("listening on ")).rpartition(" ")[2]

    async def end(self) -> int:
        """Wait for its end; returns its exit code."""
        return await self.process.wait()


@asynccontextmanager
async def started(*arguments: str, cwd: Path = ROOT) -> AsyncIterator[Program]:
    """A Python program with pipes for its streams; killed when the block is left."""
    process = await trio.lowlevel.open_process(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=_environment(),
        process_group=0,
    )
    program = Program(process)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        with trio.fail_after(TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(program.out.pump, process.stdout)
                nursery.start_soon(program.err.pump, process.stderr)
                yield program
                nursery.cancel_scope.cancel()
    finally:
        await _kill(process)


def broker(*arguments: str) -> tuple[str, ...]:
    """The arguments of Python that run the command line."""
    return ("-m", "broker", *arguments)


async def finished(*arguments: str, stdin: str = "", cwd: Path = ROOT) -> tuple[int, str, str]:
    """Run a Python program to its end; returns its exit code and what it wrote to standard output and error."""
    async with started(*arguments, cwd=cwd) as program:
        with suppress(trio.BrokenResourceError):
            await program.write(stdin)
        await program.close_stdin()
        code = await program.end()
        return code, "\n".join(await program.out.rest()), "\n".join(await program.err.rest())


@asynccontextmanager
async def in_terminal(
    *arguments: str, columns: int = 100, term: str = "xterm", executable: str = sys.executable, cwd: Path = ROOT
) -> AsyncIterator[Program]:
    """The same with a terminal for all its streams; what it writes is in ``out``."""
    import fcntl
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = await trio.lowlevel.open_process(
        [executable, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=cwd,
        env={**_environment(), "TERM": term},
        process_group=0,
    )
    os.close(slave)
    program = Program(process)
    try:
        with trio.fail_after(TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(program.out.pump, trio.lowlevel.FdStream(master))
                yield program
                nursery.cancel_scope.cancel()
    finally:
        await _kill(process)


def _environment() -> dict[str, str]:
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if name not in hidden} | {"PYTHONPATH": str(ROOT)}


async def _kill(process: trio.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with trio.CancelScope(shield=True):
        await process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            await trio.aclose_forcefully(stream)
