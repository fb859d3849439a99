from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from broker.cli.keys.commands import COMMANDS as KEYS_COMMANDS
from broker.cli.log.commands import COMMANDS
from broker.trust.keys import SecretKey
from broker.trust.toml import parse_access

ROOT = Path(__file__).parent.parent


def snippets() -> list[str]:
    found: list[str] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return found


def pasted(program: str, directory: Path) -> str:
    """What a program prints when it is run in that directory."""
    path = directory / "pasted.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=directory,
        env=_environment(),
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_the_readme_s_first_snippet_works_when_pasted(tmp_path: Path) -> None:
    printed = pasted(snippets()[0], tmp_path)
    assert printed == "host/web-01/disk DiskUsage(host='web-01', mount='/', used=0.91) from web-01\n"


def test_the_readme_s_snippets_fit_in_twenty_lines() -> None:
    assert all(len(snippet.splitlines()) <= 20 for snippet in snippets())


def test_the_readme_s_store_works_when_pasted_and_is_still_there_the_second_time(tmp_path: Path) -> None:
    for run in (1, 2):
        assert pasted(snippets()[1], tmp_path) == (
            "{'up': True} alone\n"
            f"run {run}\n"
            "put web-01 ABSENT -> {'up': True}\n"
            "expire web-01 {'up': True} -> ABSENT\n"
        )


def test_the_readme_s_batch_takes_place_once(tmp_path: Path) -> None:
    batch = textwrap.indent(snippets()[2], " " * 8)
    program = f"""
import broker, trio

async def main():
    async with broker.Endpoint("manager") as endpoint, endpoint.master("hosts") as hosts:
{batch}
        try:
{textwrap.indent(batch, "    ")}
        except broker.ValueDiffers as error:
            print(dict(hosts))

trio.run(main)
"""
    assert pasted(program, tmp_path) == "{'leader': 'web-01', 'elections': 1}\n"


def test_the_readme_s_log_stream_works_when_pasted_and_goes_on_the_second_time(tmp_path: Path) -> None:
    for run in (1, 2):
        assert pasted(snippets()[3], tmp_path) == f"on disk: {run}\nweb-01 {run} Login(user='ada', seconds=0.2)\n"


def test_the_readme_s_log_files_have_each_record_once(tmp_path: Path) -> None:
    program = f"""
import broker, trio

@broker.log_record
class Login:
    user: str

async def collect(manager):
{textwrap.indent(snippets()[4], "    ")}

async def main():
    async with broker.Endpoint("manager") as manager, manager.log("logins", Login, path="logins.spool") as log:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(collect, manager)
                await log.write(Login("ada"))
                await log.collected("archive")
                nursery.cancel_scope.cancel()
    print([line.split("\\t")[1] for line in open("logs/logins.log") if line[0] != "#"])

trio.run(main)
"""
    assert pasted(program, tmp_path) == "['ada\\n', 'ada\\n']\n"


def test_the_readme_s_keys_work_when_pasted(tmp_path: Path) -> None:
    allowed, refused = pasted(snippets()[5], tmp_path).splitlines()
    assert allowed == "host/web-01/up"
    assert refused.startswith("web-01 has no right to publish 'host/web-02/up'")


def test_the_readme_s_access_rules_make_sense() -> None:
    (rules,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    key = str(SecretKey(b"r" * 32).public)
    access = parse_access(rules.replace('key = "bk1..."', f'key = "{key}"', 1))
    assert access.trusted["web-01"].groups == ("agents",)
    assert access.groups["agents"].publish == ("host/{name}/",)


@pytest.mark.parametrize("line", re.findall(r"^broker keys .*$", (ROOT / "README.md").read_text(), re.MULTILINE))
def test_the_readme_s_commands_of_keys_are_understood(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[2:]
    KEYS_COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("line", re.findall(r"^broker log .*$", (ROOT / "README.md").read_text(), re.MULTILINE))
def test_the_readme_s_command_lines_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(line.partition(" <")[0], comments=True)[2:]
    COMMANDS[name].make_context(name, arguments)
