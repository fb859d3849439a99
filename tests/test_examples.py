"""The programs and the tests in examples/, run as a reader of them would."""

from __future__ import annotations

import ast
import json
import re
import signal
import sqlite3
import urllib.request
from pathlib import Path

import pytest
import trio
from processes import ROOT, Program, broker, finished, started

from broker.cli.app import run_app

EXAMPLES = ROOT / "examples"
# Where they are run from is theirs to choose: some are started in a directory of the test's own.
(
    AGENT,
    ALERTS,
    ASYNCIO_WEB,
    BLOCKING,
    DATABASE,
    FULL_DISKS,
    LEADER,
    MANAGER,
    MEMBER,
    RELAY,
    SECURED,
    SHARED,
    SHIPPING,
) = (
    str(EXAMPLES / f"{name}.py")
    for name in (
        *("agent", "alerts", "asyncio_web", "blocking_program", "log_to_database", "full_disks", "state_leader"),
        *("manager", "state_member", "relay", "secured", "shared_state", "log_shipping"),
    )
)
TESTS = (str(EXAMPLES / "test_agent.py"), str(EXAMPLES / "test_alerts.py"))
RULES = EXAMPLES / "rules"
LINES_MAX = 80  # a minute's reading


async def address_of(manager: Program) -> str:
    return (await manager.out.next_with("listening on ")).rpartition(" ")[2]


def test_each_example_is_short_says_how_to_run_it_and_is_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text()
    programs = sorted(EXAMPLES.glob("*.py"))
    rules = sorted(RULES.glob("*.ev"))

    assert len(programs) >= 8
    for path in programs:
        text = path.read_text()
        assert text.count("\n") <= LINES_MAX, path.name
        assert f"examples/{path.name}" in (ast.get_docstring(ast.parse(text)) or ""), path.name
        assert f"[{path.name}]({path.name})" in table
    assert len(rules) >= 4
    for path in rules:
        assert path.read_text().count("\n") <= LINES_MAX / 2, path.name
        assert f"[rules/{path.name}](rules/{path.name})" in table
    for name in re.findall(r"\]\(([^)]+)\)", table):
        assert (EXAMPLES / name.partition("#")[0]).exists(), name


async def get(url: str) -> bytes:
    """The body of an answer; of one that goes on for ever, its first line that is not empty."""

    def read() -> bytes:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own
            return bytes(answer.readline())

    return await trio.to_thread.run_sync(read)


async def test_manager_relay_agents_blocking_and_asyncio_programs_are_one_mesh() -> None:
    """The agent behind the relay is heard by all others, none of which has a link with it."""
    async with started(MANAGER, "tcp://127.0.0.1:0") as manager:
        address = await address_of(manager)
        async with (
            started(RELAY, "tcp://127.0.0.1:0", address) as relay,
            started(BLOCKING, "desk", address) as blocking,
            started(ASYNCIO_WEB, "0", address) as web,
            started(AGENT, "web-01", await address_of(relay)) as agent,
        ):
            assert re.search(r"web-01: load \d+\.\d\d$", await manager.out.next_with("web-01: load"))
            assert (await manager.out.next_with("web-01: / ")).endswith(" % full")
            assert (await manager.out.next_with("desk: / ")).endswith(" % full")
            line = await blocking.out.next_with("web-01 ")
            assert re.fullmatch(r"(web-01|desk) \d+ %(, (web-01|desk) \d+ %)?", line)
            url = (await web.out.next_with("Running on ")).split()[3]
            told = json.loads((await get(f"{url}/events")).removeprefix(b"data: "))
            assert told["topic"].rpartition("/")[0] in {"host/web-01", "host/desk"}
            while not {"web-01", "desk"} <= (latest := json.loads(await get(f"{url}/"))).keys():
                await get(f"{url}/events")  # until something has come
            assert latest["desk"].keys() == {"DiskUsage"}
            manager.interrupt()
            assert (await manager.end(), await manager.err.rest()) == (0, [])
            async with started(MANAGER, address) as again:
                await again.out.next_with("web-01: load ")
                for program in (agent, blocking, web, relay, again):
                    program.interrupt()
                    assert await program.end() == 0
                    # Stopped just after it has published, a program cannot know what has arrived, and says so.
                    assert [line for line in await program.err.rest() if " lost: " not in line] == []
            await relay.out.rest()
            assert {"manager", "web-01"} <= {line.partition(" (")[0] for line in relay.out.seen}


async def test_workers_share_a_counter_one_at_a_time_and_a_killed_one_is_followed() -> None:
    async with started(SHARED, "store", "tcp://127.0.0.1:0") as store:
        address = await address_of(store)
        async with started(SHARED, "worker", "one", address) as one:
            await one.out.next_with("one has done piece 2")
            async with started(SHARED, "worker", "two", address) as two:
                one.process.send_signal(signal.SIGSTOP)
                first = int((await two.out.next()).removeprefix("two has done piece "))
                one.process.send_signal(signal.SIGCONT)
                # It was asleep: it has not done another piece behind the other's back, and says why.
                await one.out.next_with("expected")
                assert max(int(line.split()[-1]) for line in one.out.seen if "done piece" in line) == first - 1
                two.process.kill()
                await two.out.rest()
                last = int(two.out.seen[-1].split()[-1])
                assert await one.out.next_with("has done") == f"one has done piece {last + 1}"
            one.interrupt()
            assert await one.end() == 0
        store.interrupt()
        assert (await store.end(), await store.err.rest()) == (0, [])


async def test_agent_says_what_is_wrong_with_its_address() -> None:
    code, _, errors = await finished(AGENT, "web-01", "manager:4040")
    assert code == 1
    assert "'manager:4040' does not name a transport" in errors
    assert errors.count("\n") == 0


async def test_the_tests_of_an_agent_and_of_rules_pass_on_the_simulated_network() -> None:
    code, output, errors = await finished("-m", "pytest", "-q", *TESTS)
    assert code == 0, output + errors
    assert "7 passed" in output


async def test_members_see_each_other_come_leave_and_die_and_outlive_their_leader(tmp_path: Path) -> None:
    file = str(tmp_path / "members.db")
    async with started(LEADER, "tcp://127.0.0.1:0", file) as leader:
        address = await address_of(leader)
        async with started(MEMBER, "web-01", address) as one:
            await one.out.next_with("up: web-01")
            async with started(MEMBER, "web-02", address) as two, started(MEMBER, "web-03", address) as three:
                await one.out.next_with("up: web-01 web-02 web-03")
                two.interrupt()
                assert await two.end() == 0
                await leader.out.next_with("erase web-02")
                assert await one.out.next() == "up: web-01 web-03"
                leader.process.kill()
                await leader.end()
                three.process.kill()
                async with started(LEADER, address, file) as again:
                    assert await again.out.next_with("members known") == "members known: web-01 web-03"
                    await again.out.next_with("expire web-03")
                    assert await one.out.next() == "up: web-01"
                    one.interrupt()
                    assert await one.end() == 0
                    await again.out.next_with("erase web-01")
                    again.interrupt()
                    assert await again.end() == 0
                    for program in (one, again):
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


@pytest.mark.parametrize(
    ("rules", "recorded", "made"),
    [
        ("velocity.ev", "positions.ndjson", [{"event": "VelocityEvent", "fields": {"velocity": [2.5]}}]),
        (
            "brute_force.ev",
            "logins.ndjson",
            [
                {
                    "action": "block",
                    "topic": "alerts/logins",
                    "fields": {"source": {"$address": "203.0.113.9"}, "user": "admin", "failures": 5, "users": 3},
                }
            ],
        ),
        (
            "tornado",
            "tornado_events.ndjson",
            [
                {"rule": "root.email.backups.failed", "action": "icinga2"},
                {"rule": "root.email.backups.done", "action": "archive"},
                {"rule": "root.icinga.hosts.down", "action": "page"},
                {"rule": "root.snmp.ports.states.port_down", "action": "page"},
            ],
        ),
    ],
)
async def test_rules_make_of_recorded_events_what_they_say(rules: str, recorded: str, made: list[object]) -> None:
    run = broker("rules", "run", str(RULES / rules))
    code, output, errors = await finished(*run, stdin=(RULES / recorded).read_text())
    assert code == 0, errors
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line | wanted for line, wanted in zip(lines, made, strict=True)] == lines


async def test_rules_of_the_examples_have_no_problem_and_the_one_layout() -> None:
    """In programs of their own: in this one other tests may have classes of the same names."""
    files = [str(path) for path in RULES.glob("*.ev") if path.name != "velocity.ev"]  # that one is to the letter
    for command in (["check", *files], ["check", str(RULES / "velocity.ev")], ["format", "--check", *files]):
        code, output, errors = await finished(*broker("rules", *command))
        assert code == 0, output + errors


async def test_disks_that_fill_up_are_told_once_an_hour_and_hosts_that_fall_silent() -> None:
    """Of two disks at 40 percent one grows by half a percent a minute; then the host tells its load twice, no more."""
    lines = [
        json.dumps(
            {
                "topic": "host/web-01/disk",
                "time": f"2026-01-01T12:{minute:02}:00Z",
                "event": "DiskUsage",
                "fields": {"host": "web-01", "mount": mount, "percent": 40 + growth * minute},
            }
        )
        for minute in range(40)
        for mount, growth in (("/", 0.5), ("/boot", 0.0))
    ]
    loads = [
        json.dumps(
            {
                "topic": "host/web-01/load",
                "time": f"2026-01-01T13:00:{second:02}Z",
                "event": "Load",
                "fields": {"host": "web-01", "average": 0.5},
            }
        )
        for second in range(0, 40, 20)
    ]
    run = broker("rules", "run", *(str(RULES / name) for name in ("disk_filling.ev", "silent_host.ev")))
    code, output, errors = await finished(*run, "--settle", "60", stdin="\n".join([*lines, *loads]))
    assert code == 0, errors
    filling, silent = map(json.loads, output.splitlines())
    assert (filling["action"], filling["topic"], filling["time"]) == (
        "page",
        "alerts/disk",
        "2026-01-01T12:09:00+00:00",
    )
    assert filling["fields"] == {"host": "web-01", "mount": "/", "percent": 44.5, "percent_per_hour": pytest.approx(30)}
    assert (silent["rule"], silent["time"]) == ("Silent", "2026-01-01T13:00:50+00:00")


async def test_a_predicate_is_asked_by_agents_and_rules_tell_what_they_find(tmp_path: Path) -> None:
    """Rules of the test's own call an action at the first event, so that nothing has to be waited for."""
    rules = tmp_path / "first.ev"
    rules.write_text(
        "event DiskUsage { host: string, mount: string, percent: number };\n"
        "event Seen { host: string };\n"
        'First: [DiskUsage d] on "host/" per host limit 1 per 1h -> seen(d) to "alerts/disk" do page;\n'
        "Seen seen(DiskUsage d) := { host = d.host };\n"
    )
    async with started(MANAGER, "tcp://127.0.0.1:0") as manager:
        address = await address_of(manager)
        async with (
            started(FULL_DISKS, "0", address) as some,
            started(FULL_DISKS, "101", address) as none,
            started(ALERTS, address, str(rules)) as alerts,
        ):
            for program in (some, none, alerts):
                await program.out.next_with("linked with")
            async with started(AGENT, "web-01", address) as agent:
                assert re.fullmatch(r"web-01: / \d+ % full", await some.out.next())
                assert await alerts.out.next() == "page: First: Event(name='Seen', args=('web-01',))"
                assert re.search(r"because of .*DiskUsage.* from web-01$", await alerts.out.next())
                await some.out.next()
                for program in (agent, some, none, alerts, manager):
                    program.interrupt()
                    assert await program.end() == 0
                assert await none.out.rest() == []
    code, _, errors = await finished(ALERTS, address, str(tmp_path / "none.ev"))
    assert (code, "none.ev: there is no such file" in errors) == (1, True)
