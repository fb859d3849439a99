"""``broker demo``: a manager and three agents as processes, with this machine's real figures."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from processes import Program, broker, finished, in_terminal, started

AGENTS = ["agent-1", "agent-2", "agent-3"]
KINDS = ["cpu", "memory", "disk", "process"]
BURST = 10_000


def agents_of(manager: Program) -> list[psutil.Process]:
    return children_of(manager, "broker.cli.demo.agent")


def children_of(manager: Program, module: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(manager.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # those that are there to be seen live for a moment only
            if module in child.cmdline():
                found.append(child)
    return found


async def all_gone(processes: list[psutil.Process]) -> None:
    """Wait for the end of processes that are not our children."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            await trio.to_thread.run_sync(process.wait, 20)


async def first_messages(manager: Program) -> None:
    """Read until every agent has been heard."""
    waited_for = set(AGENTS)
    while waited_for:
        waited_for.discard(json.loads(await manager.out.next())["origin"])


async def entry_of(agent: str, manager: Program, entry: str) -> str:
    """Wait until the live table's column of entries shows that for an agent; returns what it shows."""
    while True:
        row = re.sub(r"\x1b\[[0-9;]*[mAK]", "", await manager.out.next_with(" GiB"))
        found = re.match(rf"\s*{agent}(?: died)?\s+({entry})\s", row)
        if found:
            return found[1]


def summary_of(lines: list[str]) -> dict[str, Any]:
    last = json.loads(lines[-1])
    assert list(last) == ["summary"]
    summary: dict[str, Any] = last["summary"]
    return summary


async def test_piped_it_prints_json_alone_and_sums_up_that_all_has_come_and_which_alerts_were_raised() -> None:
    code, output, errors = await finished(*broker("demo", "--seconds", "2", "--alert-at", "0"))
    assert code == 0, errors
    lines = output.splitlines()
    messages = [json.loads(line) for line in lines[:-1]]
    summary = summary_of(lines)

    assert (summary["lost"], summary["died"]) == (0, [])
    assert summary["seconds"] == pytest.approx(2, abs=0.5)
    figures = [message for message in messages if message["event"] != "AgentReport"]
    reports = [message["fields"] for message in messages if message["event"] == "AgentReport"]
    assert summary["events"] == len(figures) + 3 * BURST
    assert summary["burst"]["events"] == 3 * BURST
    assert summary["burst"]["events_per_s"] > summary["events_per_s"] > 30
    assert list(summary["agents"]) == AGENTS
    for name, agent in summary["agents"].items():
        assert agent["received"] == agent["published"] == sum(agent["topics"].values())
        assert list(agent["topics"]) == [f"host/{name}/{kind}" for kind in [*KINDS, "burst"]]
    assert ", 0 lost; " in errors
    assert "look at it with: broker top tcp://127.0.0.1:" in errors
    hosts = summary["hosts"]
    assert (hosts["entries"], hosts["left"], hosts["unlike"]) == (3, 0, 0)
    assert hosts["writes"] == hosts["acknowledged"] == sum(agent["writes"] for agent in reports)
    assert hosts["writes"] >= 3 * 3
    alerts = summary["alerts"]
    assert alerts["limit_percent"] == 0
    assert alerts["rules"]["MemoryOver"] == 1  # the same host, three times over: one alert in ten seconds
    assert errors.count("alert: ") == alerts["raised"] == sum(alerts["rules"].values())
    assert "%, over 0 % (rule MemoryOver)" in errors


async def test_every_process_that_agents_saw_start_or_stop_is_in_the_file_once_though_its_collector_was_killed(
    tmp_path: Path,
) -> None:
    code, output, errors = await finished(*broker("demo", "--seconds", "2", "--logs", str(tmp_path)))
    assert code == 0, errors
    logs = summary_of(output.splitlines())["logs"]
    assert (logs["stream"], logs["unlike"], logs["twice"], logs["collector_kills"]) == ("processes", 0, 0, 1)
    assert "the collector of 'processes' was killed, and is started again" in errors
    assert list(logs["rows"]) == AGENTS
    assert logs["rows"] == logs["written"]
    assert "0 twice, with the collector killed once" in errors
    text = (tmp_path / "processes.log").read_text().splitlines()
    assert text[6].split("\t") == ["#fields", "at", "host", "change", "process.pid", "process.name", "lived"]
    rows = [line.split("\t") for line in text if not line.startswith("#")]
    assert len(rows) == sum(logs["rows"].values()) >= 10
    started = {row[3] for row in rows if (row[2], row[4]) == ("start", "sleep")}
    stopped = {row[3]: float(row[5]) for row in rows if (row[2], row[4]) == ("stop", "sleep")}
    assert started & stopped.keys()
    assert all(0 < lived < 5 for lived in stopped.values())


async def test_with_keys_an_agent_that_poses_as_another_is_refused_and_both_ends_say_so() -> None:
    code, output, errors = await finished(*broker("demo", "--secure", "--seconds", "1"))
    assert code == 0, errors
    summary = summary_of(output.splitlines())
    assert summary["security"] == {
        "encrypted": True,
        "keys": 5,
        "tampered": "agent-1",
        "posed_as": "agent-2",
        "refused": 1,
        "told": 1,
    }
    assert (summary["lost"], summary["hosts"]["unlike"], summary["logs"]["unlike"]) == (0, 0, 0)
    refusal = r"agent-1 \(key {}\): has no right to publish 'host/agent-2/cpu': refused once by manager"
    assert re.search("^" + refusal.format("agent-1"), errors, re.MULTILINE)
    assert re.search("^agent-1: .*" + refusal.format("bk1[a-z2-7]{56}"), errors, re.MULTILINE)
    assert "with 5 keys; agent-1 also publishes in agent-2's name, which is to be refused" in errors
    assert "All of it encrypted, with 5 keys: agent-1, which published in the name of agent-2, was refused" in errors


async def test_figures_are_those_of_this_machine() -> None:
    async with started(*broker("demo")) as manager:
        latest: dict[str, dict[str, Any]] = {}
        pids: set[int] = set()
        while not {"CpuLoad", "MemoryUsage", "DiskUsage"} <= latest.keys() or len(pids) < 3:
            message = json.loads(await manager.out.next())
            latest[message["event"]] = message["fields"]
            pids |= {message["fields"]["pid"]} if message["event"] == "ProcessSample" else set()
        assert latest["MemoryUsage"]["total_bytes"] == psutil.virtual_memory().total
        assert len(latest["CpuLoad"]["each_percent"]) == psutil.cpu_count()
        assert latest["DiskUsage"]["total_bytes"] == psutil.disk_usage(latest["DiskUsage"]["mount"]).total
        assert 0 <= latest["CpuLoad"]["percent"] <= 100
        assert any(map(psutil.pid_exists, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_to_all_its_processes_stops_it_in_order_with_the_summary(number: signal.Signals) -> None:
    async with started(*broker("demo")) as manager:
        await first_messages(manager)
        agents = agents_of(manager)
        assert len(agents) == 3
        os.killpg(manager.process.pid, number)
        assert await manager.end() == 0
        assert summary_of(await manager.out.rest())["lost"] == 0
        await all_gone(agents)


async def test_signal_before_the_agents_have_started_leaves_nothing_behind() -> None:
    async with started(*broker("demo")) as manager:
        await manager.err.next_with("starting 3 agents")
        manager.interrupt()
        assert await manager.end() == 0
        summary = summary_of(await manager.out.rest())
        assert (summary["lost"], summary["died"]) == (0, [])


async def test_agent_that_dies_is_told_and_makes_the_demo_fail() -> None:
    async with started(*broker("demo")) as manager:
        await first_messages(manager)
        victim = next(agent for agent in agents_of(manager) if "agent-2" in agent.cmdline())
        victim.kill()
        assert await manager.err.next_with("agent-2 died") == "agent-2 died: exit code -9"
        await manager.err.next_with("the entry of agent-2 in the store 'hosts' has expired")
        manager.interrupt()
        assert await manager.end() == 1
        summary = summary_of(await manager.out.rest())
        assert summary["died"] == ["agent-2"]
        assert (summary["hosts"]["expired"], summary["hosts"]["left"], summary["hosts"]["unlike"]) == (1, 0, 0)
        assert summary["agents"]["agent-2"]["published"] is None
        assert summary["agents"]["agent-1"]["lost"] == summary["agents"]["agent-3"]["lost"] == 0
        assert summary["logs"]["unlike"] == 0


async def test_agents_and_the_collector_end_when_their_manager_is_killed() -> None:
    async with started(*broker("demo")) as manager:
        await first_messages(manager)
        agents = agents_of(manager)
        collectors = children_of(manager, "broker.cli.demo.archive")
        manager.process.kill()
        await all_gone([*agents, *collectors])
        assert (len(agents), len(collectors)) == (3, 1)


async def test_it_ends_quietly_when_nobody_reads_its_output_any_more() -> None:
    async with started(*broker("demo")) as manager:
        await first_messages(manager)
        agents = agents_of(manager)
        assert manager.process.stdout is not None
        await manager.process.stdout.aclose()
        assert await manager.end() == 0
        await all_gone(agents)
        assert "Traceback" not in "".join(await manager.err.rest())


async def test_in_a_terminal_it_shows_a_live_table_until_ctrl_c_and_then_the_summary() -> None:
    async with in_terminal(*broker("demo"), columns=100) as manager:
        await manager.out.next_with("fullest disk")
        waited_for = set(AGENTS)
        while waited_for:
            row = await manager.out.next_with(" GiB")
            waited_for -= {name for name in AGENTS if name in row}
        await manager.out.next_with("fullest disk")
        manager.interrupt()
        await manager.out.next_with("events by agent and topic")
        for name in AGENTS:
            assert "10,000" in await manager.out.next_with(name)
        await manager.out.next_with(" events, 0 lost; ")
        assert await manager.end() == 0


async def test_in_a_terminal_the_entry_of_an_agent_that_is_killed_expires_in_the_table() -> None:
    async with in_terminal(*broker("demo"), columns=100) as manager:
        assert float((await entry_of("agent-2", manager, r"\d\.\d s")).removesuffix(" s")) <= 3
        victim = next(agent for agent in agents_of(manager) if "agent-2" in agent.cmdline())
        victim.kill()
        await entry_of("agent-2", manager, "expired")
        await entry_of("agent-1", manager, r"\d\.\d s")
        manager.interrupt()
        assert await manager.end() == 1


async def test_a_narrow_terminal_that_cannot_move_its_cursor_gets_lines_that_fit() -> None:
    async with in_terminal(*broker("demo", "--seconds", "1"), term="dumb", columns=60) as manager:
        assert "\x1b" not in "".join(await manager.out.rest())
        assert any(" events/s  cpu " in line for line in manager.out.seen)
        assert any(" events, 0 lost; " in line for line in manager.out.seen)
        assert await manager.end() == 0


async def test_tally_finds_what_was_lost_and_what_came_twice(tmp_path: Path) -> None:
    # In a process of its own: other tests have event classes of these names.
    (tmp_path / "check.py").write_text(
        """
from broker import Message
from broker.cli.demo.events import AgentReport, CpuLoad
from broker.cli.demo.tally import Tally

def tally(received, published):
    tally = Tally(["a"])
    load = CpuLoad("vm", 1.0, [1.0], 0.5)
    report = AgentReport("vm", published, 1.0)
    tally.take([Message(topic, load, 1, "a") for topic in received] + [Message("host/a/report", report, 2, "a")], 0.0)
    tally.agents["a"].exit_code = 0
    return tally

assert tally(["x", "x"], {"x": 2}).ok
for received, published in ((["x"], {"x": 2}), (["x", "x", "x"], {"x": 2}), (["x"], {"y": 1, "x": 1}), ([], {"x": 1})):
    found = tally(received, published)
    assert (found.lost, found.ok) == (1, False), (received, published, found.lost)
"""
    )
    assert await finished("check.py", cwd=tmp_path) == (0, "", "")
