"""Hosts for a test: network namespaces of this machine, with cables (veth pairs) between them that can be pulled.

Everything is made inside of new namespaces and goes with them; the machine's own interfaces and routes are not touched.
Needs root and Linux's ``ip``; where that is not to be had, the test is skipped and says why.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest
import trio

__all__ = ["Cable", "Host", "hosts"]

_numbers: Final = itertools.count()


def _run(*command: str) -> str:
    """Run a command to its end; raises OSError with what it says when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Host:
    """A network namespace with a loopback interface; ``inside`` is the beginning of a command line that runs there."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.inside = ("ip", "netns", "exec", namespace)

    def run(self, *command: str) -> str:
        return _run(*self.inside, *command)


class Cable:
    """What links two hosts; ``addresses`` are those of its ends, which are in a subnet of their own."""

    def __init__(self, number: int, one: Host, other: Host) -> None:
        self._ends = ((one, f"c{number}a"), (other, f"c{number}b"))
        self.addresses = (f"10.77.{number}.1", f"10.77.{number}.2")
        (_, near), (_, far) = self._ends
        _run(
            *("ip", "link", "add", near, "netns", one.namespace, "type", "veth"),
            *("peer", "name", far, "netns", other.namespace),
        )
        for (host, interface), address in zip(self._ends, self.addresses, strict=True):
            host.run("ip", "address", "add", f"{address}/24", "dev", interface)
            host.run("ip", "link", "set", interface, "up")

    async def pull(self) -> None:
        """Take the link down at both ends: nothing passes, and nobody is told."""
        await self._set("down")

    async def plug(self) -> None:
        """Bring it up again."""
        await self._set("up")

    async def _set(self, state: str) -> None:
        for host, interface in self._ends:
            await trio.to_thread.run_sync(host.run, "ip", "link", "set", interface, state)


@contextmanager
def hosts(count: int) -> Iterator[tuple[list[Host], list[Cable]]]:
    """So many hosts in a line, each with a cable to the next; skips the test where there can't be any.

    For a fixture that is not async: what skips in a task of trio's loses its reason.
    """
    if sys.platform != "linux":
        pytest.skip("network namespaces are Linux's")
    if os.geteuid() != 0:
        pytest.skip("network namespaces can be made by root only")
    with ExitStack() as stack:
        try:
            made = [stack.enter_context(_host()) for _ in range(count)]
            cables = [Cable(number, *made[number : number + 2]) for number in range(count - 1)]
        except OSError as error:
            pytest.skip(f"no network namespaces: {error}")
        yield made, cables


@contextmanager
def _host() -> Iterator[Host]:
    namespace = f"broker-test-{os.getpid()}-{next(_numbers)}"
    _run("ip", "netns", "add", namespace)
    try:
        host = Host(namespace)
        host.run("ip", "link", "set", "lo", "up")
        yield host
    finally:
        _run("ip", "netns", "delete", namespace)
