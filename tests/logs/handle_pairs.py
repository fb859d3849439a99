"""Fixtures: endpoints with log streams on a simulated network, with spools on disk or in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from time import time_ns

import pytest
import trio
import trio.testing
from handle_records import Disk, Ends, Spools

import broker.journal
from broker import Endpoint
from broker.errors import JournalFull
from broker.journal import DiskJournal
from broker.journaling import Work
from broker.testing import SimulatedNetwork


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Two endpoints, a and b, that are linked; time is real, as spools are on disk."""
    network = SimulatedNetwork(seed=1)
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.listen("sim://a")
        await two.peer("sim://a")
        with trio.fail_after(20):
            yield one, two


@pytest.fixture
async def alone() -> AsyncIterator[Endpoint]:
    """An endpoint without peers."""
    async with Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint:
        with trio.fail_after(20):
            yield endpoint


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> Spools:
    """Let spools be in memory: with a clock that jumps, no thread may be waited for."""
    made = Spools()
    monkeypatch.setattr(broker.journal, "open_journal", made.open)
    begun_ns = time_ns()
    monkeypatch.setattr("broker.handles.log_writer.time_ns", lambda: begun_ns + round(trio.current_time() * 1e9))
    return made


@pytest.fixture
async def network(autojump_clock: trio.testing.MockClock) -> SimulatedNetwork:
    """A network on which time jumps."""
    return SimulatedNetwork(seed=1)


@pytest.fixture
async def quick(network: SimulatedNetwork, spools: Spools) -> AsyncIterator[tuple[Endpoint, ...]]:
    """Three endpoints, a, b and c, with a relay between them; time jumps, and spools are in memory."""
    async with (
        Endpoint("a", network=network) as one,
        Endpoint("r", network=network) as relay,
        Endpoint("b", network=network) as two,
        Endpoint("c", network=network) as three,
    ):
        await relay.listen("sim://r")
        for endpoint in (one, two, three):
            await endpoint.peer("sim://r")
        with trio.fail_after(3600):  # of time that jumps
            yield one, two, three
    assert spools.journals is not None


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    carry_out = DiskJournal.carry_out

    def held(self: DiskJournal, work: Work) -> None:
        made.go.wait(20)
        if made.full:
            raise JournalFull(self.path, "no space left on device")
        carry_out(self, work)
        made.commits += 1

    monkeypatch.setattr(DiskJournal, "carry_out", held)
    yield made
    made.go_on()
