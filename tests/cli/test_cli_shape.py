"""What all commands have in common: names of options, --json, help, exit codes, suggestions, completion."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from processes import ROOT, broker, finished, in_terminal

from broker.cli.app import app, run_app
from broker.cli.exits import EXIT_CODES
from broker.keyring import write_access, write_key
from broker.trust.keys import SecretKey

# They print no results, but texts for people and for a shell.
_WITHOUT_JSON = {"completion", "help"}


def commands(group: click.Group = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())


def options(command: click.Command) -> dict[str, click.Option]:
    return {name: each for each in command.params if isinstance(each, click.Option) for name in each.opts}


def test_everything_that_the_issue_names_is_there() -> None:
    named = ["pub", "sub", "listen", "mesh", "peers", "store", "log", "keys", "bench", "top", "doctor"]
    assert set(named) <= {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - _WITHOUT_JSON))
def test_every_command_takes_json(name: str) -> None:
    assert "--json" in options(COMMANDS[name])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_s_own_options_come_first_in_its_help(name: str) -> None:
    shared = ["--connect", "--listen", "--endpoint", "--keys", "--access", "--peer-key", "--insecure", "--timeout"]
    order = [param.opts[0] for param in COMMANDS[name].params if isinstance(param, click.Option)]
    assert [each for each in order if each in shared] == [each for each in shared if each in order]
    if "--timeout" in order:
        assert set(order[: len(order) - len(set(order) & {*shared, "--json"})]).isdisjoint(shared)


def test_an_option_means_the_same_wherever_it_is() -> None:
    meanings: dict[str, set[tuple[str | None, bool]]] = {}
    # A name is an endpoint's, a key's or a collector's; an entry expires in seconds, a key at a time; where a watch
    # goes on is a position, where a collector begins may be a time, too.
    by_command = {"--name", "--store", "--log", "--wait", "--topic", "--expires", "--since"}
    for command in COMMANDS.values():
        for name, option in options(command).items():
            if name not in by_command:
                meanings.setdefault(name, set()).add((option.metavar, option.is_flag))
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_help_says_in_a_line_what_it_is_for_and_is_shown_by_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["help", *name.split()]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: broker {name} ")
    assert run_app([*name.split(), "--help"]) == 0
    assert capsys.readouterr().out == shown
    assert all(option.help for option in set(options(COMMANDS[name]).values()))
    assert len(COMMANDS[name].get_short_help_str(200)) <= 110


async def test_help_and_completion_load_nothing_that_takes_long() -> None:
    slow = "{'trio', 'zmq', 'rich', 'lmdb', 'msgpack', 'msgspec', 'nacl'}"
    program = (
        "import sys; from broker.cli import main; code = main();"
        f"print(sorted({slow} & sys.modules.keys()), file=sys.stderr); sys.exit(code)"
    )
    for arguments in (["--help"], ["store", "put", "--help"], ["completion", "bash"], ["help", "exit-codes"]):
        code, output, errors = await finished("-c", f"import sys; sys.argv[1:] = {arguments!r};" + program)
        assert (code, errors) == (0, "[]"), arguments
        assert output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["stroe"], "No such command 'stroe': did you mean 'store'?"),
        (["store", "delete"], "No such command 'delete': did you mean 'erase'?"),
        (["keys", "revok"], "No such command 'revok': did you mean 'revoke'?"),
        (["xyzzy"], "No such command 'xyzzy': there are pub, sub, listen"),
        (["help", "journal", "verfy"], "No such command 'verfy': did you mean 'verify'?"),
        (["help", "exitcodes"], "no topic 'exitcodes': did you mean 'exit-codes'?"),
        (["help", "pub", "more"], "broker pub has no command 'more', nor any other"),
        (["sub", "x", "--conect", "tcp://x:1"], "--connect"),
        (["top"], "say the ADDRESS of an endpoint that listens, or --connect ADDRESS"),
        (["peers"], "say the ADDRESS of an endpoint that listens, or --connect ADDRESS"),
        (["bench", "--keys", "web"], "say the ADDRESS of an endpoint, too"),
    ],
)
def test_what_is_mistyped_is_told_with_what_may_have_been_meant(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(arguments) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert told in errors
    assert errors.count("\n") == 1


def test_exit_codes_are_told_by_help_and_by_the_documentation_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["help", "exit-codes"]) == 0
    shown = capsys.readouterr().out
    page = (ROOT / "docs" / "command-line.md").read_text()
    for code, meaning in EXIT_CODES.items():
        assert f"\n  {code} " in shown
        assert " ".join(meaning.split())[:40] in " ".join(shown.split())
        assert f"\n| {code} | {meaning[:16]}" in page


def test_the_readme_s_table_has_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `broker (.*?) \|", readme, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"\w+", row)}
    assert named == {name.split()[0] for name in COMMANDS}


@pytest.fixture
def completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of keys to complete from."""
    monkeypatch.setenv("BROKER_KEYS", str(tmp_path))
    monkeypatch.delenv("BROKER_ACCESS", raising=False)
    secret = SecretKey(bytes(32))
    write_key(tmp_path / "web-01.key", "web-01", secret)
    rules = f'[groups.agents]\n[keys.hub]\nkey = "{secret.public}"\naddresses = ["tcp://hub:4040"]\n'
    write_access(tmp_path / "access.toml", rules)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["st"], ["store"]),
        (["store", "e"], ["erase"]),
        (["sub", "--keys", ""], ["web-01"]),
        (["keys", "rotate", "w"], ["web-01"]),
        (["keys", "revoke", ""], ["hub"]),
        (["keys", "group", ""], ["agents"]),
        (["keys", "trust", "KEY", "--group", ""], ["agents"]),
        (["doctor", "t"], ["tcp://hub:4040"]),
        (["mesh", "--connect", "tcp://h"], ["tcp://hub:4040"]),
        (["mesh", "--peer-key", ""], ["hub"]),
        (["store", "put", "s", "1", "2", "--level", "d"], ["durable"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["help", "exit"], ["exit-codes"]),
    ],
)
def test_the_shell_completes_what_this_machine_knows(completed: Path, words: list[str], found: list[str]) -> None:
    *before, incomplete = words
    items = ShellComplete(app, {}, "broker", "_BROKER_COMPLETE").get_completions(before, incomplete)
    assert [item.value for item in items] == found


def test_a_file_of_rules_that_is_wrong_completes_nothing_and_tells_nothing(
    completed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (completed / "access.toml").write_text("keys = 5\n[")
    complete = ShellComplete(app, {}, "broker", "_BROKER_COMPLETE")
    assert complete.get_completions(["keys", "revoke"], "") == []
    (completed / "access.toml").write_text("keys = 5\n")
    assert complete.get_completions(["keys", "revoke"], "") == []
    assert capsys.readouterr() == ("", "")


async def test_the_script_for_bash_makes_it_complete() -> None:
    code, script, errors = await finished(*broker("completion", "bash"))
    assert (code, errors) == (0, "")
    asked = f'{script}\nbroker() {{ {sys.executable} -m broker "$@"; }}\nCOMP_WORDS=(broker journal v) COMP_CWORD=2\n'
    shell = "import subprocess, sys; sys.exit(subprocess.run(['bash'], input=sys.stdin.read(), text=True).returncode)"
    asked += '_broker_completion broker 2>&1; echo "${COMPREPLY[@]}"\n'
    code, output, errors = await finished("-c", shell, stdin=asked.replace("env COMP", "COMP"))
    assert (code, output, errors) == (0, "verify", "")


async def test_progress_is_shown_in_a_terminal_alone_and_of_what_takes_long() -> None:
    program = (
        "from broker.cli.progress import progress\n"
        "with progress('flickering', 3) as advance: advance(1)\n"
        "with progress('counting', 3, after_s=0) as advance:\n"
        "    for done in (1, 2, 3): advance(done)\n"
        "print('done')"
    )
    assert await finished("-c", program) == (0, "done", "")
    async with in_terminal("-c", program) as shown:
        seen = "".join(await shown.out.rest())
        assert "counting" in seen
        assert "flickering" not in seen
