"""``broker bench``: what it measures arrives, and it says by which way."""

from __future__ import annotations

import pytest
from cli_outputs import Kept

import broker
from broker.cli.bench.run import Bench
from broker.cli.identity import Identity


async def test_two_processes_of_this_machine_are_measured() -> None:
    output = Kept()
    assert await Bench(None, Identity(), "$bench/", 0.1, 10.0)(output) == 0
    (form,) = output.forms
    assert form["way"] == "two processes of this machine, loopback TCP"
    assert form["lost"] == 0
    assert form["events"] >= 500
    assert form["events_per_s"] == pytest.approx(form["events"] / form["took_s"], rel=0.05)
    assert 0 < form["round_trip_p50_s"] <= form["round_trip_p99_s"]


async def test_the_same_two_are_measured_by_way_of_an_endpoint_unless_it_passes_nothing_on() -> None:
    async with broker.Endpoint("hub") as hub, broker.Endpoint("leaf", forward=False) as leaf:
        address = await hub.listen("tcp://127.0.0.1:0")
        output = Kept(terminal=True)
        assert await Bench(address, Identity(), "$bench/", 0.1, 10.0)(output) == 0
        assert "by way of hub" in output.text
        assert " 0 lost" in output.text
        assert hub.figures().endpoint.relayed_frames > 100
        address = await leaf.listen("tcp://127.0.0.1:0")
        with pytest.raises(broker.BrokerError, match="it passes nothing on"):
            await Bench(address, Identity(), "$bench/", 0.1, 10.0)(output)
