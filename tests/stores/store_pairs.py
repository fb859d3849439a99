"""Two endpoints with a relay between them on a simulated network, and a store with its master and a clone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from broker import Endpoint, StoreClone, StoreMaster
from broker.testing import SimulatedNetwork

Pair = tuple[StoreMaster, StoreClone]


@pytest.fixture
async def network(autojump_clock: trio.testing.MockClock) -> SimulatedNetwork:
    return SimulatedNetwork(seed=1)


@pytest.fixture
async def ends(network: SimulatedNetwork) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Two endpoints, a and b, with a relay between them."""
    async with (
        Endpoint("a", network=network) as one,
        Endpoint("r", network=network) as relay,
        Endpoint("b", network=network) as two,
    ):
        await relay.listen("sim://r")
        await one.peer("sim://r")
        await two.peer("sim://r")
        yield one, two


@pytest.fixture
async def pair(ends: tuple[Endpoint, Endpoint]) -> AsyncIterator[Pair]:
    """A master at a and a clone at b."""
    one, two = ends
    async with one.master("hosts") as master, two.clone("hosts") as clone:
        yield master, clone
