"""Programs that write to a store, ours and the peers', as takes of puts a second."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from benchmarks.disks import directory_on_disk
from benchmarks.peers import OURS_STORES, Side
from benchmarks.processes import Child

__all__ = ["IN_PROCESS", "OVER_LOOPBACK", "peer_writer", "writers"]

OVER_LOOPBACK = "a proxy over loopback TCP"
IN_PROCESS = "the master's own process"

Take = Callable[[], float]


def writers(stack: contextlib.ExitStack, count: int, **how: Any) -> dict[str, Take]:
    """Start our writers, each with a master on disk of its own; ``how``: the roles' ``tasks`` and ``batch``."""
    directory = stack.enter_context(directory_on_disk())
    server = stack.enter_context(Child(OURS_STORES.module, "master", path=str(directory / "server.store")))
    address = server.told("address")
    return {
        OVER_LOOPBACK: _take(stack.enter_context(Child(OURS_STORES.module, "write", address=address, **how)), count),
        IN_PROCESS: _take(
            stack.enter_context(Child(OURS_STORES.module, "master", path=str(directory / "own.store"), **how)), count
        ),
    }


def peer_writer(stack: contextlib.ExitStack, side: Side, count: int, **how: Any) -> Take:
    """Start a peer's server and its writer."""
    address = stack.enter_context(side.serve())
    return _take(stack.enter_context(Child(side.module, "write", address=address, **how)), count)


def _take(writer: Child, count: int) -> Take:
    writer.told("address")

    def take() -> float:
        writer.order(count=count)
        seconds: float = writer.told("seconds")
        return count / seconds

    take()  # warm-up
    return take
