"""The benchmarks' own promises: fair turns, ratios that read one way, nothing lost unseen, nothing left running."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

import attrs
import msgpack
import psutil
import pytest
import zmq

from benchmarks import deciding
from benchmarks.__main__ import MODULES
from benchmarks.deciding import recorded, used_by
from benchmarks.disks import directory_on_disk, file_system
from benchmarks.harness import Options, Result, Series, Table, in_turns
from benchmarks.log_replay import replayed
from benchmarks.log_shipping import Way, shipment
from benchmarks.meshes import SHAPES, WINDOW_S, SimulatedMesh
from benchmarks.ours import DiskUsage
from benchmarks.peers import JETSTREAM, OURS, OURS_LOGS, PYZMQ, REDIS_STREAMS, Side
from benchmarks.processes import BenchmarkFailed, Child, free_port, server
from benchmarks.streams import stream
from benchmarks.workload import Order, OutOfOrder, lags_ms

RUN_TIMEOUT_S = 100
RULES = {"rules-one", "rules-many", "rules-pattern", "rules-window"}

RESULT = Result(
    name="events",
    unit="events/s",
    better="higher",
    ours=Series((900.0, 1000.0, 1200.0)),
    version="1",
    peers={"pyzmq": Series((240.0, 250.0, 260.0))},
    versions={"pyzmq": "pyzmq 27"},
    missing={"nats": "nats-py is not installed: pip install nats-py"},
)


def test_a_ratio_above_one_means_that_ours_is_better_whatever_the_unit() -> None:
    assert RESULT.ratio("pyzmq") == 4.0
    assert attrs.evolve(RESULT, better="lower").ratio("pyzmq") == 0.25


def test_the_json_object_has_medians_spread_versions_and_what_is_missing() -> None:
    found = json.loads(RESULT.as_json())
    assert found["name"] == "events"
    assert found["unit"] == "events/s"
    assert found["ours"] == 1000.0
    assert found["spread"] == [900.0, 1200.0]
    assert found["peers"]["pyzmq"] == {"figure": 250.0, "version": "pyzmq 27", "spread": [240.0, 260.0]}
    assert found["peers"]["nats"] == {"figure": None, "why": "nats-py is not installed: pip install nats-py"}
    assert found["ratios"] == {"pyzmq": 4.0}
    assert found["repetitions"] == 3


def test_the_table_names_a_missing_peer_and_how_to_get_it() -> None:
    line = next(line for line in RESULT.as_table().splitlines() if "nats" in line)
    assert "missing" in line
    assert "pip install nats-py" in line


def test_a_side_says_how_to_get_what_it_lacks() -> None:
    why = attrs.evolve(PYZMQ, distributions=("pyzmq", "no-such-distribution")).missing()
    assert why == "no-such-distribution is not installed: pip install no-such-distribution"
    assert PYZMQ.missing() is None


def test_sides_take_turns() -> None:
    order: list[str] = []
    figures = iter(range(6))

    def take(name: str) -> float:
        order.append(name)
        return float(next(figures))

    series = in_turns({"a": lambda: take("a"), "b": lambda: take("b")}, repeat=3)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert series == {"a": Series((0.0, 2.0, 4.0)), "b": Series((1.0, 3.0, 5.0))}


def test_every_subscriber_receives_every_round() -> None:
    with stream(PYZMQ, subscribers=2) as live:
        rounds = [live.round(500), live.round(1000)]
    assert [round_.count for round_ in rounds] == [500, 1000]
    assert all(0 < round_.receiving <= round_.whole for round_ in rounds)


def test_a_lost_event_ends_the_benchmark_without_a_figure(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchmarkFailed, match=r"pyzmq\.subscribe ended with exit code 1"):
        _publish_with_a_gap()
    assert "event 1 was to come and event 2 came" in capfd.readouterr().err


def _publish_with_a_gap() -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        with Child(PYZMQ.module, "subscribe", address=f"tcp://127.0.0.1:{port}") as subscriber:
            publisher.recv()
            subscriber.told("ready")
            subscriber.order(count=3)
            subscriber.told("armed")
            for number in (0, 2):
                publisher.send_multipart([b"host/web-01/disk", msgpack.packb(("web-01", "/", 0.5, number))])
            subscriber.told("received")


def test_a_process_that_is_silent_is_given_up_and_ended() -> None:
    started: list[psutil.Process] = []
    with pytest.raises(BenchmarkFailed, match=r"did not tell its address within 0 s"):
        _wait_too_briefly(started)
    assert [process.is_running() for process in started] == [False]


def _wait_too_briefly(started: list[psutil.Process]) -> None:
    with Child(PYZMQ.module, "publish", address="tcp://127.0.0.1:0") as publisher:
        started.append(psutil.Process(publisher.pid))
        publisher.told("address", timeout=0.0)


def test_measured_processes_end_when_the_benchmark_is_killed() -> None:
    program = (
        "import os, signal, sys\n"
        "from benchmarks.processes import Child\n"
        f"child = Child({PYZMQ.module!r}, 'publish', address='tcp://127.0.0.1:0')\n"
        "child.told('address')\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )
    try:
        orphan = psutil.Process(int(said.stdout))
    except psutil.NoSuchProcess:
        return
    gone, alive = psutil.wait_procs([orphan], timeout=30)
    assert alive == []
    assert gone == [orphan]


def test_a_server_runs_only_inside_its_block() -> None:
    port = free_port()
    with server([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_relay_passes_every_event_on_and_its_processor_time_is_told() -> None:
    with stream(OURS, relay=True) as relayed:
        through = relayed.round(500)
    with stream(OURS) as direct:
        assert direct.round(500).relay_cpu == 0
    assert through.count == 500
    assert min(through.publisher_cpu, through.relay_cpu, through.subscribers_cpu) > 0


LOG_WAYS = [
    Way("ours", OURS_LOGS),
    Way("ours, a record at a time", OURS_LOGS, log={"durable": False, "batch": 1}, collect={"batch": False}),
    Way("ours, tasks", OURS_LOGS, log={"tasks": 4}, collect={"tasks": 4}),
    Way("jetstream", JETSTREAM),
    Way("jetstream, tasks and push", JETSTREAM, log={"tasks": 4}, collect={"tasks": 4, "push": True}),
    Way("redis", REDIS_STREAMS),
]


@pytest.mark.parametrize("way", LOG_WAYS, ids=lambda way: way.name)
def test_every_log_record_is_received_in_order_and_acknowledged(way: Way) -> None:
    _skip_without(way.side)
    with shipment(way) as live:
        rounds = [live.round(400), live.round(1204)]
    assert [round_.count for round_ in rounds] == [400, 1204]
    assert all(0 < round_.writing <= round_.whole for round_ in rounds)
    assert min(rounds[1].writer_cpu, rounds[1].collector_cpu) > 0


@pytest.mark.parametrize("side", [OURS_LOGS, JETSTREAM, REDIS_STREAMS], ids=lambda side: side.name)
def test_the_lag_of_a_steady_writer_counts_from_when_a_record_was_due(side: Side) -> None:
    _skip_without(side)
    with shipment(Way("steady", side, log={"rate": 5000}, collect={"stamped": True})) as live:
        round_ = live.round(1000)
    assert round_.whole >= 1000 / 5000 - 0.01
    middle, most, longest = round_.lags
    assert 0 < middle <= most <= longest


@pytest.mark.parametrize("side", [OURS_LOGS, JETSTREAM, REDIS_STREAMS], ids=lambda side: side.name)
def test_a_replay_reads_what_is_there_again_and_again(side: Side) -> None:
    _skip_without(side)
    with replayed(side, 600, {}) as take:
        assert take() > 0
        assert take() > 0


def _skip_without(side: Side) -> None:
    if (why := side.missing()) is not None:
        pytest.skip(why)


def test_records_of_one_writer_are_to_come_in_one_order() -> None:
    order = Order()
    order.check([0, 1, 2])
    with pytest.raises(OutOfOrder, match="event 3 was to come and event 4 came"):
        order.check([4])


def test_records_of_several_tasks_are_to_come_in_the_order_of_each() -> None:
    order = Order(tasks=2)
    order.check([1, 0, 2])
    order.check([4, 3])
    assert order.seen == 5
    with pytest.raises(OutOfOrder, match="event 5 was to come and event 7 came"):
        order.check([6, 7])


def test_lags_are_told_in_milliseconds() -> None:
    assert lags_ms([number / 1000 for number in range(101)]) == [50, 99, 100]


def test_a_server_that_is_too_old_is_missing_with_what_to_put_in_its_place() -> None:
    assert JETSTREAM.server is not None
    why = attrs.evolve(JETSTREAM.server, program=sys.executable, least=(99, 1)).missing()
    assert why is not None
    assert "put 99.1 or newer first on PATH" in why


TABLE = Table(
    name="scale",
    title="what a mesh costs",
    rows=({"mesh": "star", "endpoints": 10, "kB": 1234.5}, {"mesh": "tree", "endpoints": 100, "kB": 0.25}),
    version="1",
    figures={"growth": 0.5, "ways, us": 7.0},
    limits={"growth": 1.0},
    notes=("simulated",),
)


def test_a_table_without_peers_is_printed_in_columns_and_as_one_object() -> None:
    lines = TABLE.as_table().splitlines()
    assert lines[1].split() == ["mesh", "endpoints", "kB"]
    assert lines[2].split() == ["star", "10", "1,234"]
    assert "  growth: 0.5 (at most 1)" in lines
    found = json.loads(TABLE.as_json())
    assert found["rows"][1] == {"mesh": "tree", "endpoints": 100, "kB": 0.25}
    assert found["figures"]["growth"] <= found["limits"]["growth"]


@pytest.mark.parametrize("name", SHAPES)
def test_everybody_learns_of_each_change_to_a_simulated_mesh_at_a_cost(name: str) -> None:
    mesh = SimulatedMesh(SHAPES[name], 8, seed=1)
    start, idle = mesh.start(), mesh.idle()
    assert 0 < start.seconds < 1
    assert idle.frames == 4 * WINDOW_S * len(mesh.links)  # a heartbeat a second and its answer from both ends
    for change in (mesh.join, mesh.subscribe, mesh.cut):
        cost = change()
        assert 0 < cost.seconds < 1
        assert cost.frames > idle.frames
        assert cost.cpu > 0


def test_the_table_of_what_a_mesh_costs_has_a_row_for_each_change_to_each_mesh() -> None:
    found = _run("scale", "10")
    assert len(found["rows"]) == 4 * 5
    assert {row["change"] for row in found["rows"]} == {"start", "idle", "join", "subscribe", "cut"}
    assert all(found["figures"][name] <= limit for name, limit in found["limits"].items())


def test_the_table_of_a_snapshot_has_its_rate_and_what_it_takes() -> None:
    found = _run("store-snapshot", "5000")
    assert found["rows"][0]["entries/s"] > 0
    assert found["rows"][0]["puts/s meanwhile"] > 0
    assert found["figures"].keys() >= found["limits"].keys()


def test_the_table_of_containers_has_each_change_of_both_sizes() -> None:
    found = _run("store-container", "10")
    assert len(found["rows"]) == 6 * 2
    # Processor time of ten changes says little; bytes and rows are the same each time.
    small, large = found["rows"][:2]
    assert large["log bytes"] <= 2 * small["log bytes"]
    assert large["rows"] <= 2 * small["rows"]


def test_the_table_of_lags_has_each_side_at_each_rate_and_what_a_backlog_costs() -> None:
    found = _run("log-lag", "2000")
    assert len(found["rows"]) >= 2
    assert all(row["p50, ms"] <= row["p99, ms"] for row in found["rows"])
    assert found["figures"].keys() >= found["limits"].keys()


def test_the_table_of_attacks_has_what_is_kept_and_what_is_left_behind() -> None:
    (row,) = _run("hostile", "1")["rows"]
    assert row["events/s"] > 0
    assert 0 < row["p50, us"] <= row["p99, us"]
    assert row["files after"] == 0


def test_the_table_of_programs_of_each_kind_has_all_figures_that_have_a_limit() -> None:
    found = _run("facades", "2000")
    assert [row["program"] for row in found["rows"]] == ["trio", "blocking", "asyncio"]
    assert all(figure > 0 for row in found["rows"] for figure in row.values() if not isinstance(figure, str))
    assert found["figures"].keys() == found["limits"].keys()


def test_a_directory_on_disk_is_not_in_memory() -> None:
    with directory_on_disk() as directory:
        assert directory.is_dir()
        assert file_system(directory) != "tmpfs"
    assert not directory.exists()


def test_a_side_that_finds_too_few_or_too_many_has_no_figure() -> None:
    runs = recorded(DiskUsage("web-01", "/", used_by(number), number) for number in range(300))

    def side(expected: int) -> deciding.Side:
        return deciding.Side(
            lambda: lambda messages: [m for m in messages if m.event.used > 0.985], len, runs, expected
        )

    cost = deciding.costs({"right": side(3)}, Options(repeat=1))["right"]
    assert min(cost.decoding, cost.deciding) > 0
    assert cost.share == pytest.approx(100 * cost.decoding / (cost.decoding + cost.deciding))
    with pytest.raises(BenchmarkFailed, match="wrong: 4 matches were to be found, and 3 were"):
        deciding.costs({"wrong": side(4)}, Options(repeat=1))


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_tables_of_rules_have_each_number_of_rules_with_the_codecs_share(name: str) -> None:
    found = _run(name, str(10 * deciding.BATCH))
    assert {row["rules"] for row in found["rows"]} == {1, 10}
    assert all(0 < row["codec's share, %"] < 100 for row in found["rows"])
    assert all(figure > 0 for row in found["rows"] for figure in row.values() if not isinstance(figure, str))
    assert found["figures"].keys() >= found["limits"].keys()


TABLES = RULES | {"facades", "help", "scale", "hostile", "store-snapshot", "store-container", "log-lag"}
COMPARISONS = [name for name in MODULES if name not in TABLES]


@pytest.mark.parametrize("name", COMPARISONS)
def test_each_benchmark_prints_one_object_with_a_figure_or_a_reason_for_each_peer(name: str) -> None:
    found = _run(name, SMALL_COUNTS.get(name, "2000"))
    assert found["ours"] > 0
    measured = {peer for peer, figures in found["peers"].items() if figures["figure"] is not None}
    assert set(found["ratios"]) == measured
    assert all(found["peers"][peer]["version"] for peer in measured)
    assert all(figures["why"] for peer, figures in found["peers"].items() if peer not in measured)
    assert found["peers"].keys() >= EXPECTED_PEERS[name]


def _run(name: str, count: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--json", "--repeat", "1", "--count", count],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["name"] == name
    return found


SMALL_COUNTS = {"simulation": "5"}
EXPECTED_PEERS = {
    "events": {"pyzmq", "nats", "redis", "codec"},
    "rtt": {"pyzmq", "nats"},
    "fanout": {"first"},
    "subscriptions": {"few"},
    "codec": {"reference", "msgpack", "msgspec"},
    "import": {"parts"},
    "relay": {"direct"},
    "simulation": {"real time"},
    "store-put": {"etcd"},
    "store-batch": {"redis"},
    "store-read": {"dict"},
    "store-replicate": {"bare LMDB"},
    "log-durable": {"jetstream", "jetstream, push", "jetstream, synced", "redis"},
    "log-buffered": {"jetstream", "jetstream, push", "redis"},
    "log-volatile": {"nats", "redis", "events"},
    "log-replay": {"jetstream", "jetstream, push", "redis"},
    "curve": {"plain"},
    "access": {"ten", "unasked"},
    "seals": {"plain"},
    "secrecy": {"plain"},
}
