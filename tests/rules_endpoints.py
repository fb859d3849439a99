"""What tests of rules at endpoints have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

import broker
from broker.testing import SimulatedNetwork

DISKS = """
event RulesDisk { host: string, used: number };
event RulesFull { host: string };
RulesFull full(RulesDisk d) := { host = d.host };
"""
TWO_FULL = (
    DISKS
    + 'Filled: [RulesDisk a, RulesDisk b : a.used > 0.9, b.used > 0.9] per host consume -> full(b) to "alerts" do page;'
)

S = TypeVar("S", bound=broker.Status)


def disk(host: str, used: float) -> broker.Event:
    return broker.Event("RulesDisk", (host, used))


@asynccontextmanager
async def endpoint(name: str = "manager") -> AsyncIterator[broker.Endpoint]:
    with trio.fail_after(20):
        async with broker.Endpoint(name, network=SimulatedNetwork(seed=1)) as made:
            yield made


async def told(changes: broker.StatusReader, kind: type[S]) -> S:
    async for change in changes:
        if isinstance(change, kind):
            return change
    raise AssertionError
