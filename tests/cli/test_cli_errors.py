"""What goes wrong on the command line: one clear line and the documented exit code, never a traceback."""

from __future__ import annotations

import pytest
from processes import broker, finished, started

NOBODY = "tcp://127.0.0.1:1"
LISTEN = "tcp://127.0.0.1:0"
LOG_COLLECT = [
    *("log", "collect", "x", "--name", "n", "--directory", "/nowhere", "--listen", LISTEN),
    *("--format", "parquet", "--rotate-every", "1h"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["sub", "x", "--connect", NOBODY, "--timeout", "0.2"], 1, f"{NOBODY}: nothing listens there"),
        (["pub", "t", "E", "1", "--connect", NOBODY, "--timeout", "0.2"], 1, f"{NOBODY}: nothing listens there"),
        (["sub", "x", "--connect", "127.0.0.1:1"], 2, "does not name a transport: did you mean 'tcp://127.0.0.1:1'?"),
        (["sub", "x", "--listen", "tcp://127.0.0.1:99999"], 2, "a port is at most 65535"),
        (["sub", "x", "--connect", LISTEN], 2, "can be listened on, but not dialled"),
        (["listen", "nowhere"], 2, "does not name a transport"),
        (["sub", "bad\ntopic", "--listen", LISTEN], 2, "no control characters"),
        (["sub", "x", "--listen", LISTEN, "--name", ""], 2, "an endpoint's name is"),
        (["sub", "x"], 2, "say --connect ADDRESS or --listen ADDRESS"),
        (["sub", "--listen", LISTEN], 2, "Missing argument"),
        (["sub", "x", "--listen", LISTEN, "--count", "0"], 2, "--count"),
        (["sub", "x", "--listen", LISTEN, "--import", "no_such_module"], 2, "no_such_module"),
        (["sub", "x", "--conect", LISTEN], 2, "--conect"),
        (["pub", "t", "E", "{nope", "--connect", NOBODY], 2, "argument 1, '{nope': not JSON"),
        (
            ["pub", "t", "E", "True", "--connect", NOBODY],
            2,
            "argument 1, 'True': not JSON: Expecting value at column 1; JSON has true",
        ),
        (["pub", "t", "E", "web-01", "--connect", NOBODY], 2, """a text has quotes: '"web-01"'"""),
        (["pub", "t", "E", "1", "--conect", NOBODY, "--listen", LISTEN], 2, "argument 2, '--conect'"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["mesh"], 2, "say the ADDRESS of an endpoint"),
        (["demo", "--seconds", "soon"], 2, "'soon' is not a valid float"),
    ],
)
async def test_error_is_one_line_with_its_code(arguments: list[str], code: int, told: str) -> None:
    ended, output, errors = await finished(*broker(*arguments))
    assert (ended, output) == (code, "")
    assert errors.startswith("broker")
    assert errors.count("\n") == 0
    assert told in errors


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("1\n\n[2]\nnope\n5\n", "line 4: not JSON"),
        ('1\n{"args": [1], "topc": "t"}\n', "line 2: a message has topic, event and either args or fields"),
        ('{"args": 5}', "line 1: args are a list"),
        ('{"topic": 5, "args": []}', "line 1: the topic is text"),
        ('{"topic": "", "args": []}', "line 1: a topic is not empty"),
        ('{"event": "", "args": []}', "line 1: Event.name: expected a name"),
        ("18446744073709551616", "line 1: .args[0]: an int outside"),
        ('[1, {"a": ["\\ud800"]}]', "line 1: .args[1]['a'][0]: a str with a lone surrogate"),
        ("[" * 200 + "]" * 200, "line 1: .args[0]"),
    ],
)
async def test_bad_input_names_its_line(lines: str, told: str) -> None:
    pub = broker("pub", "t", "E", "--listen", LISTEN, "--wait", "0")
    code, _, errors = await finished(*pub, stdin=lines)
    assert code == 2
    assert f"broker: {told}" in errors.splitlines()[-1]
    sent = int(told[len("line ")]) - 1 - lines.split("\n").count("") + lines.endswith("\n")
    assert (f"{sent} events sent" in errors or f"{sent} event sent" in errors) == (sent > 0)


async def test_lines_without_topic_or_event_need_them_on_the_command_line() -> None:
    code, _, errors = await finished(*broker("pub", "--listen", LISTEN, "--wait", "0"), stdin="[1]\n")
    assert (code, errors.splitlines()[-1]) == (
        2,
        "broker: line 1: no topic: give it on the command line or in the line",
    )


async def test_address_in_use_is_told() -> None:
    async with started(*broker("sub", "x", "--listen", LISTEN)) as first:
        address = await first.listening()
        for command in (("listen", address), ("sub", "x", "--listen", address)):
            code, _, errors = await finished(*broker(*command))
            assert code == 1
            assert errors.startswith(f"broker: {address} is in use")
            assert errors.count("\n") == 0


async def test_pub_that_finds_no_subscriber_says_what_to_do() -> None:
    async with started(*broker("sub", "other/", "--listen", LISTEN)) as reader:
        address = await reader.listening()
        pub = broker("pub", "host/a", "E", "1", "--connect", address, "--timeout", "0.3")
        code, _, errors = await finished(*pub)
        assert code == 1
        assert "0 of 1 subscribers of 'host/a' within 0.3 s" in errors.splitlines()[-1]
        assert "--wait 0" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("module", "arguments", "extra", "what"),
    [
        ("click", ["sub", "x"], "cli", "this command"),
        ("rich", ["sub", "x", "--listen", LISTEN], "cli", "this command"),
        ("psutil", ["demo"], "demo", "the demo"),
        ("pyarrow", LOG_COLLECT, "parquet", "Parquet files"),
    ],
)
async def test_missing_extra_is_told_with_how_to_install_it(
    module: str, arguments: list[str], extra: str, what: str
) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[1:] = {arguments!r};"
        "from broker.cli import main; sys.exit(main())"
    )
    told = f"broker: {module} is not installed; it is needed for {what} and comes with the extra {extra}: "
    code, output, errors = await finished("-c", program)
    assert (code, output) == (1, "")
    assert errors == f"{told}pip install 'broker-mesh[{extra}]'"


async def test_help_names_commands_and_exit_codes() -> None:
    code, output, errors = await finished(*broker("--help"))
    assert (code, errors) == (0, "")
    assert all(word in output for word in ("demo", "listen", "mesh", "pub", "store", "sub", "130 stopped with"))
