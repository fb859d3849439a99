"""A mesh with a log stream, for tests of ``broker log``: the writer is here, the commands are processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import broker


@broker.log_record("cli conn")
class Connection:
    host: str
    orig_h: str = broker.column("id.orig_h", description="who opened it")
    used: float = broker.column(unit="ratio", default=0.5)


def connections(first: int, last: int) -> list[Connection]:
    return [Connection(f"web-{number:02}", "192.0.2.1", number / 100) for number in range(first, last + 1)]


class Agent:
    """An endpoint that writes the stream "conn", and listens."""

    def __init__(self, endpoint: broker.Endpoint, log: broker.LogWriter, address: str, spool: Path) -> None:
        self.endpoint = endpoint
        self.log = log
        self.address = address
        self.spool = spool


@asynccontextmanager
async def agent(directory: Path, name: str = "agent", collectors: tuple[str, ...] = ()) -> AsyncIterator[Agent]:
    spool = directory / f"{name}.spool"
    async with (
        broker.Endpoint(name) as endpoint,
        endpoint.log("conn", Connection, path=spool, collectors=collectors) as log,
    ):
        yield Agent(endpoint, log, await endpoint.listen("tcp://127.0.0.1:0"), spool)
