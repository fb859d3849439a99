"""``broker rules``: rules checked, laid out, and run on recorded events and on a mesh."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio
from cli_outputs import Kept
from processes import broker, finished, started

import broker as broker_module
from broker.cli.app import run_app
from broker.cli.identity import Identity
from broker.cli.rules.attached import Attached
from broker.cli.rules.checking import Check
from broker.cli.rules.explaining import Explain
from broker.cli.rules.formatting import Format
from broker.cli.rules.recorded import Recorded

# The Event Language's own example.
VELOCITY = """
event TimedEvent { time };
event PositionEvent extends TimedEvent { position };
event VelocityEvent { velocity };
VelocityEvent calculateVelocity(PositionEvent a, PositionEvent b) := {
    velocity = (b.time - a.time)^(-1) * (b.position - a.position)
};
predicate positionCheck(PositionEvent a, PositionEvent b) := b.position > a.position;
predicate timeCheck(PositionEvent a, PositionEvent b) := b.time > a.time;
VelocityRule: [PositionEvent, PositionEvent : positionCheck, timeCheck] -> calculateVelocity;
"""
SILENT = """
event CliBeat { host: string };
event CliSilent { host: string };
CliSilent silent(CliBeat b) := { host = b.host };
HostSilent: [CliBeat b, !CliBeat n within 10s] on "host/" per host -> silent(b) to "alerts/" + b.host do page;
"""
LISTEN = "tcp://127.0.0.1:0"


def text_of(path: str) -> str:
    return Path(path).read_text()


async def recorded(path: str, lines: list[str], *, event: str | None = None, settle_s: float = 0) -> tuple[int, Any]:
    """Run rules on lines; returns the exit code and what they have made."""
    reading, writing = os.pipe()
    try:
        os.write(writing, "\n".join(lines).encode())
        os.close(writing)
        output = Kept()
        code = await Recorded([path], None, event, 0, settle_s, reading)(output)
    finally:
        os.close(reading)
    return code, output.forms


def beat(second: int, host: str, topic: str = "host/x") -> str:
    time = f"2026-01-01T00:00:{second:02}+00:00"
    return json.dumps({"topic": topic, "time": time, "origin": "hub", "event": "CliBeat", "fields": {"host": host}})


@pytest.fixture
def files(tmp_path: Path) -> Any:
    def write(**texts: str) -> list[str]:
        paths = []
        for name, text in texts.items():
            path = tmp_path / f"{name}.ev"
            path.write_text(text)
            paths.append(str(path))
        return paths

    return write


async def test_check_tells_all_that_is_wrong_in_several_files_that_are_one_program(files: Any) -> None:
    one, two = files(
        one="event A { x };\nR: [A a : a.y > 1] -> nothing;", two="event B extends A { z }; S: [C c] -> f;"
    )
    output = Kept()
    assert await Check([one, two])(output) == 2
    assert {(form["source"], form["line"]) for form in output.forms} == {(one, 2), (two, 1)}
    assert [form["column"] for form in output.forms if "'y'" in form["problem"]] == [13]
    shown = Kept(terminal=True)
    assert await Check([one, two])(shown) == 2
    assert "R: [A a : a.y > 1] -> nothing;" in shown.text  # with a caret below


async def test_check_of_good_rules_says_how_many_there_are(files: Any) -> None:
    good = files(
        one="event A { x }; A same(A a) := a;", two="R: [A a, A b] -> g; event B { y }; B g(A a, A b) := { y = a.x };"
    )
    shown, piped = Kept(terminal=True), Kept()
    assert (await Check(good)(shown), shown.text) == (0, "1 rule, no problem\n")
    assert (await Check(good)(piped), piped.text) == (0, "")


async def test_check_tells_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.ev").write_bytes(b"event A { x };\n/* \xe4 */")
    (tmp_path / "empty").mkdir()
    names = ["none.ev", "latin.ev", "empty"]
    output = Kept()
    assert await Check([str(tmp_path / name) for name in names])(output) == 2
    told = [(Path(form["source"]).name, form["line"], form["problem"]) for form in output.forms]
    assert [name for name, _, _ in told] == names
    assert [line for _, line, _ in told] == [None, 2, None]
    assert "no files of rules" in told[2][2]


async def test_format_lays_out_files_in_place_and_tells_which_have_changed(files: Any) -> None:
    rough, neat = files(rough="event   A{x};/* why */", neat="event A { x };\n")
    output = Kept()
    assert await Format([rough], check=True, diff=False)(output) == 2
    assert text_of(rough) == "event   A{x};/* why */"
    diff = Kept(terminal=True)
    assert await Format([rough], check=False, diff=True)(diff) == 2
    assert "-event   A{x};/* why */" in diff.text
    assert "+event A { x };" in diff.text
    output = Kept()
    assert await Format([rough, neat], check=False, diff=False)(output) == 0
    assert [form["changed"] for form in output.forms] == [True, False]
    assert "event A { x };" in text_of(rough)
    assert "/* why */" in text_of(rough)
    assert await Format([rough, neat], check=True, diff=False)(Kept()) == 0


async def test_format_leaves_a_file_that_makes_no_sense_as_it_is(
    files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad,) = files(bad="event A { x;")
    assert await Format([bad], check=False, diff=False)(Kept()) == 2
    assert text_of(bad) == "event A { x;"
    assert f"{bad}: line 1, column 12" in capsys.readouterr().err


async def test_the_slides_program_runs_on_recorded_events(files: Any) -> None:
    lines = [
        {"event": "PositionEvent", "fields": {"time": at, "position": position}} for at, position in ((0, 1), (2, 6))
    ]
    (path,) = files(velocity=VELOCITY)
    code, output, errors = await finished(*broker("rules", "run", path), stdin="\n".join(map(json.dumps, lines)))
    made = json.loads(output)
    assert (code, made["rule"], made["event"], made["fields"]) == (
        0,
        "VelocityRule",
        "VelocityEvent",
        {"velocity": [2.5]},
    )
    assert "2 events read, 1 made" in errors
    assert "rule VelocityRule: 2 seen, 1 matched, 1 made" in errors


async def test_time_is_that_of_the_events_and_the_end_settles_what_is_due(files: Any) -> None:
    (path,) = files(silent=SILENT)
    lines = [beat(0, "a"), beat(5, "b"), beat(9, "a"), beat(20, "c"), beat(21, "a", topic="elsewhere")]
    code, made = await recorded(path, lines)
    assert code == 0
    assert [(form["time"][17:19], form["fields"]["host"], form["action"]) for form in made] == [
        ("15", "b", "page"),
        ("19", "a", "page"),
    ]
    assert {form["topic"] for form in made} == {"alerts/a", "alerts/b"}
    code, made = await recorded(path, lines, settle_s=60)
    assert [form["fields"]["host"] for form in made] == ["b", "a", "c"]


async def test_a_line_that_is_wrong_is_told_with_its_member_and_the_stream_goes_on(
    files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = files(velocity=VELOCITY)
    lines = [
        '{"event": "positionEvent", "args": [0, 1]}',
        '{"event": "PositionEvent", "fields": {"time": 0, "posiion": 1}}',
        '{"event": "PositionEvent", "fields": {"time": 0}}',
        "{",
        '{"event": "PositionEvent", "fields": {"time": 0, "position": "here"}}',
        '{"event": "PositionEvent", "fields": {"time": 0, "position": 1}, "time": "yesterday"}',
        '{"time": 0, "position": 1}',
        "[2, 6]",
    ]
    code, made = await recorded(path, lines, event="PositionEvent")
    assert (code, [form["fields"] for form in made]) == (1, [{"velocity": [2.5]}])
    told = capsys.readouterr().err.splitlines()
    for start, what in (
        ("line 2: ", "PositionEvent.posiion: there is no such member"),
        ("line 3: ", "PositionEvent.position: it is missing"),
        ("line 4: ", "not JSON"),
        ("line 5: ", "PositionEvent.position: expected"),
        ("line 6: ", "yesterday"),
        ("1 event of the type positionEvent, ", "which no rule knows: did you mean PositionEvent?"),
    ):
        assert any(line.startswith(start) and what in line for line in told), (start, told)
    assert not any(line.startswith(("line 1", "line 7", "line 8")) for line in told)


async def test_explain_tells_each_clause_with_its_values_and_why_it_does_not_hold(files: Any, tmp_path: Path) -> None:
    types = "event D { used: number }; event F { used: number };"
    (path,) = files(disk=types + "F f(D d) := { used = d.used }; R: [D d : d.used > 0.9] -> f;")
    events = tmp_path / "events"
    events.write_text("0.5\n0.95\n")
    descriptor = os.open(events, os.O_RDONLY)
    output = Kept()
    assert await Explain(path, "R", None, "D", descriptor)(output) == 0
    os.close(descriptor)
    assert [form["holds"] for form in output.forms] == [False, True]
    clause = output.forms[0]["clauses"][0]
    assert (clause["clause"], clause["parts"], clause["why"]) == (
        "d.used > 0.9",
        {"d.used": 0.5},
        "d.used > 0.9 is false",
    )


async def test_a_directory_of_tornado_s_runs_on_its_own_events(tmp_path: Path) -> None:
    where = {"type": "equals", "first": "${event.payload.host}", "second": "web-01"}
    action = {"id": "logger", "payload": {"at": "${event.created_ms}", "by": "${event.metadata.by}"}}
    rule = {"description": "", "continue": True, "active": True, "constraint": {"WHERE": where, "WITH": {}}}
    (tmp_path / "0010_disk.json").write_text(json.dumps({**rule, "actions": [action]}))
    lines = [
        '{"type": "disk", "created_ms": 1000, "payload": {"host": "web-02"}}',
        '{"type": "disk", "created_ms": 2000, "payload": {"host": "web-01"}, "metadata": {"by": "hand"}}',
        '{"type": "disk", "created_ms": "now", "payload": {}}',
    ]
    code, made = await recorded(str(tmp_path), lines)
    assert (code, [(form["rule"], form["action"], form["args"]) for form in made]) == (
        1,
        [("root.disk", "logger", [{"at": 2000, "by": "hand"}])],
    )


async def test_rules_run_on_a_mesh_and_show_what_they_publish(files: Any) -> None:
    (path,) = files(
        disk="""
    event CliDisk { host: string, used: number };
    event CliFull { host: string };
    CliFull full(CliDisk d) := { host = d.host };
    DiskFull: [CliDisk d : d.used > 0.9] on "host/" -> full to "alerts" do page;
    """
    )
    async with started(*broker("rules", "run", path, "--listen", LISTEN)) as rules:
        address = await rules.err.next_with("listening on ")
        address = address.rpartition(" ")[2]
        async with started(*broker("sub", "alerts", "--connect", address, "--count", "1")) as sub:
            await rules.err.next_with("linked")
            pub = broker("pub", "host/a", "CliDisk", '"web-01"', "0.95", "--connect", address)
            assert (await finished(*pub))[0] == 0
            assert json.loads(await sub.out.next())["args"] == ["web-01"]
        shown = json.loads(await rules.out.next())
        assert (shown["topic"], shown["fields"], shown["action"]) == ("alerts", {"host": "web-01"}, "page")
        rules.interrupt()
        assert await rules.end() == 130
        assert "1 event published, 1 shown" in "\n".join(await rules.err.rest())


async def test_records_of_a_log_stream_are_events_and_count_once_from_run_to_run(files: Any, tmp_path: Path) -> None:
    (path,) = files(
        pairs="""
    event CliTick { number: number };
    event CliPair { first: number, second: number };
    CliPair pair(CliTick a, CliTick b) := { first = a.number, second = b.number };
    Pairs: [CliTick a, CliTick b] on "log/" first consume -> pair(a, b);
    """
    )
    options = {"name": "pairs", "path": tmp_path / "pairs.rules", "collect": ["ticks"]}

    @broker_module.log_record
    class CliTick:
        number: int

    shown = []
    async with broker_module.Endpoint("hub") as hub, hub.log("ticks", CliTick, path=tmp_path / "spool") as log:
        address = await hub.listen("tcp://127.0.0.1:0")
        for numbers in ((1, 2, 3), (4, 5)):
            await log.write_all(map(CliTick, numbers))
            output = Kept()
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(Attached([path], [address], [], Identity("rules"), 5.0, options, False), output)
                    await log.collected("pairs")
                    while not output.text:
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
            shown += [form["fields"] for form in output.forms]
    assert shown == [{"first": 1, "second": 2}, {"first": 3, "second": 4}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rules", "run", "none.ev"], "there is no such file"),
        (["rules", "run", "none.ev", "--dry-run"], "--dry-run, --journal and --collect are for a mesh"),
        (["rules", "run", "none.ev", "--collect", "conn", "--listen", LISTEN], "say --journal PATH and --name NAME"),
        (
            ["rules", "run", "none.ev", "--settle", "5", "--connect", "tcp://127.0.0.1:9"],
            "standard input, not of a mesh",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(arguments) == 2
    assert told in capsys.readouterr().err
