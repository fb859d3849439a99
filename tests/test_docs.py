"""Every page for readers: its code runs, its command lines are understood, what it points at is there."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from snippets import ROOT, broker_lines, check_python, run_shell, snippets, understood, write_files

import broker
from broker.cli.app import app
from broker.config.parsing import parse_config
from broker.trust.keys import SecretKey
from broker.trust.toml import parse_access

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
WITH_COMMANDS = [page for page in PAGES if any(snippet.mark == "run" for snippet in snippets(page, "sh"))]
WITH_PYTHON = [page for page in PAGES if snippets(page, "python")]
LINES = [(page, line) for page in PAGES for line in broker_lines(page)]


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_a_page_runs_and_prints_what_it_says(page: str, tmp_path: Path) -> None:
    assert check_python(page, tmp_path) == len(snippets(page, "python"))


@pytest.mark.parametrize("page", WITH_COMMANDS)
async def test_the_commands_of_a_page_can_be_run_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    """Each shows what the page says that it shows."""
    write_files(page, tmp_path)
    for snippet in snippets(page, "sh"):
        if snippet.mark == "run":
            assert await run_shell(snippet, tmp_path) == (snippet.output or ""), snippet.where


def test_command_lines_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("broker.toml", "hosts.ndjson", "conn.spool"):  # that commands read
        (tmp_path / name).touch()
    commands = {" ".join(understood(line, app)) for _, line in LINES}
    assert {"pub", "sub", "mesh", "store put", "log tail", "keys trust", "journal verify"} <= commands


def test_access_rules_make_sense() -> None:
    key = str(SecretKey(b"r" * 32).public)
    rules = [snippet for page in PAGES for snippet in snippets(page, "toml") if snippet.mark == "access"]
    assert rules
    for snippet in rules:
        access = parse_access(snippet.text.replace('key = "bk1..."', f'key = "{key}"', 1))
        assert access.trusted, snippet.where


def test_configurations_make_sense() -> None:
    configurations = [snippet for page in PAGES for snippet in snippets(page, "toml") if snippet.mark == "config"]
    assert configurations
    for snippet in configurations:
        config = parse_config(snippet.text, snippet.where, directory="/", environ={})
        assert config.listen, snippet.where


def test_toml_is_read_by_something() -> None:
    marks = {(snippet.where, snippet.mark) for page in PAGES for snippet in snippets(page, "toml")}
    assert {mark for _, mark in marks} == {"access", "config", "file"}


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z][a-z-]*(?: [a-z-]+)*):(?!=)", makefile, re.MULTILINE))
    targets = {target for names in known for target in names.split()}
    named = {
        (snippet.where, target)
        for page in PAGES
        for snippet in snippets(page, "sh")
        for target in re.findall(r"^make ([a-z-]+)", snippet.text, re.MULTILINE)
    }
    assert named
    assert [(where, target) for where, target in named if target not in targets] == []


def test_files_that_are_named_exist() -> None:
    """In links, in shell lines and in ``code``."""
    missing = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[\w-]*)?\)", text)
        missing += [(page, link) for link in links if not (ROOT / page).parent.joinpath(link).exists()]
        named = re.findall(
            r"(?<![\w/.])((?:broker|tests|examples|benchmarks|tools|docs)/[\w/]+\.(?:py|md|txt|svg))", text
        )
        missing += [(page, name) for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_architecture_page_has_every_module_in_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    modules = set(re.findall(r"\w+", " ".join(contracts[0]["layers"]))) - {"__main__"}
    table = re.findall(r"^\| \w+ \|.*$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(line.rpartition("|")[0].rpartition("|")[0] for line in table))
    assert modules - set(named) == set()
    assert set(named) - modules <= {"broker"}


def test_every_example_is_shown() -> None:
    shown = re.findall(
        r"^```{literalinclude} \.\./examples/(\S+)$", (ROOT / "docs/examples.md").read_text(), re.MULTILINE
    )
    there = [str(path.relative_to(ROOT / "examples")) for path in (ROOT / "examples").rglob("*") if path.is_file()]
    assert sorted(shown) == sorted(name for name in there if re.fullmatch(r"\w+\.py|rules/\w+\.ev", name))


def test_the_page_of_errors_has_all_errors_and_status_events() -> None:
    kinds = [item for item in map(broker.__dict__.get, dir(broker)) if inspect.isclass(item)]
    told = re.findall(r"`(?:broker\.)?([A-Z]\w+)`", (ROOT / "docs/errors.md").read_text())
    missing = {kind.__name__ for kind in kinds if issubclass(kind, (broker.BrokerError, broker.Status))} - set(told)
    assert missing == set()
