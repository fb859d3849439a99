"""``broker sub``, ``pub`` and ``listen`` as processes that exchange messages."""

from __future__ import annotations

import json
import re
from pathlib import Path

from processes import broker, finished, in_terminal, started

# One line for every kind of value, as 'broker sub' writes them.
ALL_VALUES = [
    [None, True, False, 0, -(2**63), 2**64 - 1, 1.5, -0.0, "text with ü and \u2028", "", [], {}],
    [{"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}, 1e300],
    [{"$bytes": ""}, {"$bytes": "AAH/"}, {"$uuid": "12345678-1234-5678-1234-567812345678"}],
    [{"$address": "192.0.2.1"}, {"$address": "2001:db8::1"}, {"$network": "10.0.0.0/8"}, {"$network": "2001:db8::/32"}],
    [{"$port": "53/udp"}, {"$enum": "Notice::LOG"}, {"$count": 18446744073709551615}],
    [{"$datetime": "2026-01-01T12:00:00.000001+00:00"}, {"$timestamp": "2026-01-01T12:00:00.000000001+00:00"}],
    [{"$timedelta": "-1.5"}, {"$timedelta": "86400"}],
    [{"$tuple": [1, [2]]}, {"$set": [1, 2]}, {"$frozenset": [{"$tuple": []}]}, {"$dict": [[1, "one"]]}],
    [{"$dict": [["$bytes", "not a tag"]]}, {"nested": [{"deep": {"$tuple": [None]}}]}],
]
LISTEN = "tcp://127.0.0.1:0"


def plain(line: str) -> str:
    """A line of a terminal without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip("\r")


async def test_what_sub_prints_can_be_published_again_with_all_values_unchanged() -> None:
    count = str(len(ALL_VALUES))
    async with started(*broker("sub", "host/", "--listen", LISTEN, "--count", count)) as first:
        address = await first.listening()
        lines = "".join(json.dumps(args) + "\n\n" for args in ALL_VALUES)
        code, _, errors = await finished(*broker("pub", "host/a", "Values", "-", "--connect", address), stdin=lines)
        assert code == 0
        assert errors.endswith(f"{count} events sent")
        printed = await first.out.rest()
        assert await first.end() == 0
    messages = [json.loads(line) for line in printed]
    assert [message["args"] for message in messages] == ALL_VALUES
    assert all((message["topic"], message["event"]) == ("host/a", "Values") for message in messages)

    async with started(*broker("sub", "", "--listen", LISTEN, "--count", count)) as second:
        again = broker("pub", "--connect", await second.listening())
        assert (await finished(*again, stdin="\n".join(printed)))[0] == 0
        assert [json.loads(line)["args"] for line in await second.out.rest()] == ALL_VALUES


async def test_pub_without_arguments_says_that_standard_input_had_no_events() -> None:
    async with started(*broker("sub", "host/", "--listen", LISTEN)) as sub:
        pub = broker("pub", "host/a", "Up", "--connect", await sub.listening())
        code, _, errors = await finished(*pub)
        assert (code, errors.splitlines()[-1]) == (
            0,
            "no events sent: no JSON_ARG was given, and nothing came from standard input",
        )
        _, _, errors = await finished(*pub, stdin="[]")
        assert errors.splitlines()[-1] == "1 event sent"


async def test_arguments_are_json_and_negative_numbers_are_no_options() -> None:
    async with started(*broker("sub", "host/", "--listen", LISTEN, "--count", "1", "--name", "reader")) as reader:
        address = await reader.listening()
        pub = broker("pub", "host/a", "Reading", '"a"', "-5", "-1.5e3", "[]", "--connect", address, "--name", "writer")
        assert await finished(*pub) == (0, "", f"reader ({address}): linked\n1 event sent")
        message = json.loads(await reader.out.next())
        assert message.pop("time").endswith("+00:00")
        assert message == {"topic": "host/a", "origin": "writer", "event": "Reading", "args": ["a", -5, -1500.0, []]}


async def test_fields_have_names_where_the_event_class_is_imported(tmp_path: Path) -> None:
    (tmp_path / "my_events.py").write_text(
        "import broker\n@broker.event\nclass Disk:\n    host: str\n    used: float\n    ports: frozenset[broker.Port]\n"
    )
    sub = broker("sub", "", "--listen", LISTEN, "--import", "my_events")
    async with started(*sub, cwd=tmp_path) as reader:
        address = await reader.listening()
        lines = (
            '["a", 0.5, {"$frozenset": [{"$port": "53/udp"}]}]\n'
            '{"event": "Disk", "fields": {"host": "b", "used": 0.25, "ports": {"$frozenset": []}}}\n'
            '["c", "full", {"$frozenset": []}]\n'
        )
        assert (await finished(*broker("pub", "host/x", "Disk", "--connect", address), stdin=lines))[0] == 0
        fields = [json.loads(await reader.out.next())["fields"] for _ in range(2)]
        assert fields == [
            {"host": "a", "used": 0.5, "ports": {"$frozenset": [{"$port": "53/udp"}]}},
            {"host": "b", "used": 0.25, "ports": {"$frozenset": []}},
        ]
        misfit = await reader.err.next_with("does not fit Disk")
        assert "used: expected float, found " in misfit


async def test_sub_connects_to_a_publisher_that_listens_and_shows_one_event_name_once() -> None:
    async with started(*broker("pub", "host/a", "A", "--listen", LISTEN)) as publisher:
        address = await publisher.listening()
        sub = broker("sub", "host/", "host/a", "--type", "B", "--count", "2", "--connect", address)
        async with started(*sub) as reader:
            await publisher.write('[1]\n{"event": "B", "args": [2]}\n[3]\n{"event": "B", "args": [4]}\n')
            assert [json.loads(line)["args"] for line in await reader.out.rest()] == [[2], [4]]
            assert await reader.end() == 0
            assert (await reader.err.rest())[-1] == "2 messages received"


async def test_events_without_a_subscriber_are_counted() -> None:
    async with started(*broker("sub", "host/", "--listen", LISTEN, "--count", "1")) as reader:
        pub = broker("pub", "host/a", "E", "--connect", await reader.listening())
        code, _, errors = await finished(*pub, stdin='1\n{"topic": "other", "args": []}\n')
        assert code == 0
        assert errors.endswith("2 events sent, 1 of them had no subscriber")


async def test_sub_ends_quietly_when_nobody_reads_its_output_any_more() -> None:
    async with started(*broker("sub", "", "--listen", LISTEN)) as reader:
        address = await reader.listening()
        pub = broker("pub", "t", "E", "1", "--connect", address)
        assert (await finished(*pub))[0] == 0
        await reader.out.next()
        assert reader.process.stdout is not None
        await reader.process.stdout.aclose()
        assert await reader.end() == 0
        assert not [line for line in await reader.err.rest() if "Error" in line or "Traceback" in line]


async def test_ctrl_c_ends_sub_at_once_with_the_count_and_code_130() -> None:
    async with started(*broker("sub", "", "--listen", LISTEN)) as reader:
        address = await reader.listening()
        assert (await finished(*broker("pub", "t", "E", "1", "--connect", address)))[0] == 0
        await reader.out.next()
        reader.interrupt()
        assert await reader.end() == 130
        assert (await reader.err.rest())[-1] == "1 message received"


async def test_ctrl_c_ends_pub_that_waits_for_input() -> None:
    async with started(*broker("pub", "t", "E", "--listen", LISTEN, "--wait", "0")) as publisher:
        await publisher.listening()
        await publisher.write("1\n")
        publisher.interrupt()
        assert await publisher.end() == 130
        assert "Traceback" not in "".join(await publisher.err.rest())


async def test_listen_tells_where_it_listens_who_comes_and_goes_and_messages_as_json() -> None:
    async with started(*broker("listen", LISTEN, "--topic", "host/", "--name", "hub")) as listener:
        address = json.loads(await listener.out.next())["address"]
        pub = broker("pub", "host/a", "E", "1", "--connect", address, "--name", "writer")
        assert (await finished(*pub))[0] == 0
        told = [json.loads(await listener.out.next()) for _ in range(3)]
        changes = [(line["status"], line["peer"]) for line in told if "status" in line]
        assert changes == [("PeerAdded", "writer"), ("PeerLost", "writer")]
        (message,) = [line for line in told if "status" not in line]
        assert (message["topic"], message["args"]) == ("host/a", [1])
        listener.interrupt()
        assert await listener.end() == 130


async def test_sub_in_a_terminal_is_a_table_as_wide_as_the_terminal_without_control_characters() -> None:
    sub = broker("sub", "host/", "--listen", LISTEN, "--count", "2")
    async with in_terminal(*sub, columns=90) as reader:
        address = (await reader.out.next_with("listening on ")).split()[-1]
        lines = '["web-01", 0.91]\n["\\u001b[31mred\\u009b", "' + "x" * 200 + '"]\n'
        pub = broker("pub", "host/web-01/disk", "DiskUsage", "--connect", address, "--name", "web-01")
        assert (await finished(*pub, stdin=lines))[0] == 0
        header = plain(await reader.out.next_with("origin"))
        assert header.split() == ["time", "origin", "topic", "event", "fields"]
        row = plain(await reader.out.next_with("0.91"))
        assert row.split()[1:] == ["web-01", "host/web-01/disk", "DiskUsage", '"web-01"', "0.91"]
        long_row = plain(await reader.out.next_with("red"))
        assert len(long_row) == 90
        assert long_row.endswith("…")
        assert long_row.isprintable()
