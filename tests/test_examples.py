"""The programs and the tests in examples/, run as a reader of them would."""

from __future__ import annotations

from processes import Program, finished, started

AGENT = "examples/agent.py"
MANAGER = "examples/manager.py"
LEADER = "examples/state_leader.py"
MEMBER = "examples/state_member.py"
TESTS = "examples/test_agent.py"


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
