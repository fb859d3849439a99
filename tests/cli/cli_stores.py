"""A mesh with a store, for tests of ``broker store``: the master is here, the commands are processes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from processes import broker as command
from processes import finished

import broker


class Hosts:
    """A master of the store "hosts", and the command line."""

    def __init__(self, endpoint: broker.Endpoint, master: broker.StoreMaster, address: str) -> None:
        self.endpoint = endpoint
        self.master = master
        self.address = address

    def arguments(self, name: str, *arguments: str) -> tuple[str, ...]:
        return command("store", name, *arguments, "--connect", self.address)

    async def run(self, name: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        return await finished(*self.arguments(name, *arguments), stdin=stdin)

    async def lines(self, name: str, *arguments: str, stdin: str = "") -> list[Any]:
        """The JSON that a command prints which succeeds."""
        code, output, errors = await self.run(name, *arguments, stdin=stdin)
        assert code == 0, errors
        return [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def hosts() -> AsyncIterator[Hosts]:
    async with broker.Endpoint("manager") as endpoint, endpoint.master("hosts") as master:
        yield Hosts(endpoint, master, await endpoint.listen("tcp://127.0.0.1:0"))


def plain(line: str) -> str:
    """A line of a terminal without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()
