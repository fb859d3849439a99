"""The programs and the tests in examples/, run as a reader of them would."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from processes import ROOT, Program, finished, started

from broker.cli.app import run_app

AGENT = "examples/agent.py"
MANAGER = "examples/manager.py"
LEADER = "examples/state_leader.py"
MEMBER = "examples/state_member.py"
TESTS = "examples/test_agent.py"
SECURED = "examples/secured.py"
SHIPPING = str(ROOT / "examples/log_shipping.py")
DATABASE = str(ROOT / "examples/log_to_database.py")


async def address_of(manager: Program) -> str:
    return (await manager.out.next_with("listening on ")).rpartition(" ")[2]


async def test_manager_prints_the_figures_of_two_agents_and_ctrl_c_ends_all_three() -> None:
    async with started(MANAGER, "tcp://127.0.0.1:0") as manager:
        address = await address_of(manager)
        async with started(AGENT, "web-01", address) as one, started(AGENT, "web-02", address) as two:
            for name in ("web-01", "web-02"):
                manager.out.seen.clear()
                assert (await manager.out.next_with(f"{name}: cpu ")).endswith(" %")
                assert (await manager.out.next_with(f"{name}: / ")).endswith(" % full")
            for program in (one, two, manager):
                program.interrupt()
                assert await program.end() == 0
                # Stopped just after it has published, an agent cannot know what has arrived, and says so.
                assert [line for line in await program.err.rest() if " messages lost: " not in line] == []


async def test_agent_finds_a_manager_that_is_started_again() -> None:
    async with started(MANAGER, "tcp://127.0.0.1:0") as manager:
        address = await address_of(manager)
        async with started(AGENT, "web-01", address) as agent:
            await manager.out.next_with("web-01: cpu ")
            manager.interrupt()
            assert await manager.end() == 0
            async with started(MANAGER, address) as manager_again:
                await manager_again.out.next_with("web-01: cpu ")
            agent.interrupt()
            assert await agent.end() == 0


async def test_agent_says_what_is_wrong_with_its_address() -> None:
    code, _, errors = await finished(AGENT, "web-01", "manager:4040")
    assert code == 1
    assert "'manager:4040' does not name a transport" in errors
    assert errors.count("\n") == 0


async def test_the_tests_of_an_agent_pass_on_the_simulated_network() -> None:
    code, output, errors = await finished("-m", "pytest", "-q", TESTS)
    assert code == 0, output + errors
    assert "13 passed" in output


async def test_members_see_each_other_come_leave_and_die() -> None:
    async with started(LEADER, "tcp://127.0.0.1:0") as leader:
        address = await address_of(leader)
        async with started(MEMBER, "web-01", address) as one:
            await one.out.next_with("up: web-01")
            async with started(MEMBER, "web-02", address) as two, started(MEMBER, "web-03", address) as three:
                await one.out.next_with("up: web-01 web-02 web-03")
                two.interrupt()
                assert await two.end() == 0
                await leader.out.next_with("erase web-02")
                assert await one.out.next() == "up: web-01 web-03"
                three.process.kill()
                await leader.out.next_with("expire web-03")
                assert await one.out.next() == "up: web-01"
            one.interrupt()
            leader_gone = await one.end()
            leader.interrupt()
            assert (leader_gone, await leader.end()) == (0, 0)
            for program in (one, leader):
                assert "Traceback" not in "".join(await program.err.rest())


async def test_an_agent_with_a_key_is_held_to_its_rights_and_ends_when_it_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKER_KEYS", str(tmp_path))
    monkeypatch.delenv("BROKER_ACCESS", raising=False)
    for name, group in (("manager", "operators"), ("web-01", "agents")):
        assert run_app(["keys", "new", name]) == 0
        assert run_app(["keys", "trust", capsys.readouterr().out.strip(), "--name", name, "--group", group]) == 0
    async with started(SECURED, "manager", "tcp://127.0.0.1:0") as manager:
        address = await address_of(manager)
        async with started(SECURED, "agent", "web-01", address) as agent:
            await agent.out.next_with("web-01 has no right to publish 'host/db-01/load'")
            await manager.out.next_with("host/web-01/load: ")
            assert run_app(["keys", "revoke", "web-01"]) == 0
            await manager.out.next_with("lost: the key of web-01 has been revoked")
            await agent.out.next_with("it does not trust our key")
            for program in (agent, manager):
                program.interrupt()
                assert await program.end() == 0
                assert "Traceback" not in "".join(await program.err.rest())
    assert not any("host/db-01" in line for line in manager.out.seen)
    code, _, errors = await finished(SECURED, "agent", "web-02", address)
    assert (code, "the keys there are manager, web-01; make a key with" in errors) == (1, True)


async def test_every_record_of_an_agent_is_printed_in_order_though_both_are_killed(tmp_path: Path) -> None:
    printed: list[tuple[int, bool]] = []

    async def print_until(collector: Program, number: int) -> None:
        while not printed or printed[-1][0] < number:
            line = await collector.out.next_with("web-01 ")
            printed.append((int(line.split()[1].rstrip(":")), "before" in line))

    async with started(SHIPPING, "collector", "tcp://127.0.0.1:0", cwd=tmp_path) as collector:
        address = await address_of(collector)
        async with started(SHIPPING, "agent", "web-01", address, cwd=tmp_path) as agent:
            await print_until(collector, 3)
            collector.process.kill()
            await agent.out.next_with("record 6")
            agent.process.kill()
    async with started(SHIPPING, "agent", "web-01", address, cwd=tmp_path) as agent:
        await agent.out.next_with("record 8")
        async with started(SHIPPING, "collector", address, cwd=tmp_path) as collector:
            await print_until(collector, 9)
            for program in (agent, collector):
                program.interrupt()
                assert await program.end() == 0
                assert "Traceback" not in "".join(await program.err.rest())
    # What may have been printed and was not acknowledged when the collector died comes again, and says so.
    numbers = [number for number, _ in printed]
    assert list(dict.fromkeys(numbers)) == list(range(1, numbers[-1] + 1))
    first = {number: numbers.index(number) for number in numbers}
    assert all(again for index, (number, again) in enumerate(printed) if index > first[number])


async def test_every_record_is_in_the_database_once_though_its_program_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "disks.db"
    async with started(DATABASE, str(path), "tcp://127.0.0.1:0", cwd=tmp_path) as program:
        address = await address_of(program)
        async with started(SHIPPING, "agent", "web-01", address, cwd=tmp_path) as agent:
            for _ in range(2):
                await program.out.next_with("rows from web-01")
            program.process.kill()
            await program.end()
            async with started(DATABASE, str(path), address, cwd=tmp_path) as again:
                last = int((await again.out.next_with("rows from web-01")).rpartition(" ")[2])
                await again.out.next_with("rows from web-01")
                for one in (agent, again):
                    one.interrupt()
                    assert await one.end() == 0
    with sqlite3.connect(path) as database:
        numbers = [number for (number,) in database.execute("select number from disks order by rowid")]
    database.close()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > last >= 3
