"""The benchmark's end: start measured processes and servers, give orders with a deadline, leave no orphan."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

__all__ = ["BenchmarkFailed", "Child", "free_port", "server"]

# A round takes seconds; a whole minute of silence means that something hangs.
ANSWER_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
SERVER_TIMEOUT_S = 10.0


class BenchmarkFailed(Exception):
    """A measured process or a server died, hung, or lost events: there is no figure to report."""


class Child:
    """One measured process, running a role of a side (see :mod:`benchmarks.child`)."""

    def __init__(self, module: str, role: str, **arguments: object) -> None:
        self.title = f"{module}.{role}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", module, role, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._received = b""

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask the process to stop; kill it if it does not, or at once when the benchmark failed."""
        try:
            if kind is None:
                self.order(stop=True)
                self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkFailed(f"{self.title} does not stop") from None
        finally:
            self._process.kill()
            # Closing the pipes and reaping: what `with Popen` does.
            self._process.__exit__(kind, error, trace)
        if kind is None and self._process.returncode != 0:
            raise BenchmarkFailed(f"{self.title} ended with exit code {self._process.returncode}")

    def order(self, **order: object) -> None:
        """Give one order: ``count=n``, ``usage=True`` or ``stop=True``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            raise self._death() from None

    def told(self, key: str, timeout: float = ANSWER_TIMEOUT_S) -> Any:
        """Wait for the process's next line of news and return what it says of ``key``."""
        deadline = time.monotonic() + timeout
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise BenchmarkFailed(f"{self.title} did not tell its {key} within {timeout:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), 65536)
            if not chunk:
                raise self._death()
            self._received += chunk
        line, self._received = self._received.split(b"\n", 1)
        news = json.loads(line)
        if key not in news:
            raise BenchmarkFailed(f"{self.title} was to tell its {key} and told {news}")
        return news[key]

    def _death(self) -> BenchmarkFailed:
        code = self._process.wait(STOP_TIMEOUT_S)
        return BenchmarkFailed(f"{self.title} ended with exit code {code}; its own words are above")


def free_port() -> int:
    """Return a loopback TCP port that nothing uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server on a loopback port; the body runs once it accepts connections.

    Raises BenchmarkFailed when it ends or does not answer in time.
    """
    guard = subprocess.Popen([sys.executable, "-m", "benchmarks.guard", *command], stdin=subprocess.PIPE)
    try:
        _wait_for_server(command[0], port)
        yield
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        try:
            guard.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def _wait_for_server(name: str, port: int) -> None:
    deadline = time.monotonic() + SERVER_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{name} does not answer on port {port}") from None
            time.sleep(0.02)
        else:
            return
