"""Rules from files and directories: what is read, how much, and how what is wrong is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import broker
from broker import rule_files
from broker.rule_files import RuleFiles, read_text
from broker.rules.model import Program
from broker.rules.tornado import Tree


def problems(*paths: Path) -> list[broker.RuleProblem]:
    with pytest.raises(broker.RuleError) as refused:
        RuleFiles(*paths).load()
    return list(refused.value.problems)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_directory_is_one_program_of_all_its_files(tmp_path: Path) -> None:
    write(tmp_path / "a.ev", "event A { x };")
    write(tmp_path / "more" / "b.ev", "B b(A a) := { y = a.x };\nR: [A a] -> b;")
    write(tmp_path / "c.ev", "event B { y };")
    write(tmp_path / ".hidden.ev", "nonsense")
    write(tmp_path / "notes.txt", "nonsense")
    program = RuleFiles(tmp_path).load()
    assert isinstance(program, Program)
    assert ([one.name for one in program.types], [one.name for one in program.rules]) == (["A", "B"], ["R"])


def test_what_is_wrong_between_files_is_told_with_each_one_s_own_lines(tmp_path: Path) -> None:
    one = write(tmp_path / "a.ev", "event A { x };\n\nevent B { y };")
    two = write(tmp_path / "b.ev", "\nevent A { z };\nR: [A a, C c] -> f;")
    found = problems(one, two)
    assert {(problem.source, problem.line) for problem in found} == {(str(two), 2), (str(two), 3)}
    twice = next(problem for problem in found if problem.line == 2)
    assert twice.what == f"the event 'A' is declared already, in line 1 of {one}"


def test_rules_of_two_files_that_set_off_each_other_are_refused(tmp_path: Path) -> None:
    types = write(tmp_path / "a.ev", "event A { x }; event B { x }; B b(A a) := { x = a.x }; A a(B b) := { x = b.x };")
    one, two = write(tmp_path / "b.ev", "One: [A e] -> b;"), write(tmp_path / "c.ev", "\nTwo: [B e] -> a;")
    (problem,) = problems(types, one, two)
    assert "One -> Two -> One" in problem.what


def test_an_event_class_of_this_program_can_be_used_by_its_name(tmp_path: Path) -> None:
    @broker.event
    class RuntimeKnown:
        host: str

    path = write(tmp_path / "a.ev", "R: [RuntimeKnown k : k.host == 5] -> f;")
    assert any("string" in problem.what for problem in problems(path))


def test_a_tornado_configuration_is_a_directory_or_one_file(tmp_path: Path) -> None:
    rule = {
        "description": "",
        "continue": True,
        "active": True,
        "constraint": {"WHERE": None, "WITH": {}},
        "actions": [],
    }
    write(tmp_path / "tree" / "0010_all.json", json.dumps(rule))
    assert isinstance(RuleFiles(tmp_path / "tree").load(), Tree)
    bad = write(tmp_path / "tree" / "0020_bad.json", json.dumps({**rule, "actoins": []}))
    (problem,) = problems(tmp_path / "tree")
    assert problem.source == str(bad)
    assert "actoins" in problem.what
    whole = {"Ruleset": {"name": "all", "rules": [{"name": "one", **rule}]}}
    assert isinstance(RuleFiles(write(tmp_path / "whole.json", json.dumps(whole))).load(), Tree)
    (problem,) = problems(write(tmp_path / "no.json", '{"Ruleset":\n nothing}'))
    assert (problem.line, problem.column) == (2, 2)
    (problem,) = problems(write(tmp_path / "deep.json", "[" * 100_000))
    assert problem.source.endswith("deep.json")


def test_two_languages_are_not_mixed(tmp_path: Path) -> None:
    ev, tree = write(tmp_path / "a.ev", "event A { x };"), write(tmp_path / "b.json", "{}")
    assert "two languages" in problems(tmp_path)[0].what
    assert "stands alone" in problems(ev, tree)[0].what


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = write(tmp_path / "large.ev", "/*" + "x" * (1 << 20) + "*/")
    assert "larger than 1,048,576 bytes" in problems(large)[0].what
    monkeypatch.setattr(rule_files, "FILES_MAX", 3)
    monkeypatch.setattr(rule_files, "TOTAL_BYTES_MAX", 100)
    for number in range(4):
        write(tmp_path / "many" / f"{number}.ev", "event A { x };")
    assert "more than 3 files" in problems(tmp_path / "many")[0].what
    long = [write(tmp_path / f"{number}.ev", "/*" + "x" * 50 + "*/") for number in range(3)]
    assert [problem.source for problem in problems(*long)] == [str(long[1]), str(long[2])]
    with pytest.raises(broker.RuleError, match="no regular file"):
        read_text("/dev/zero")


def test_a_file_that_changes_comes_or_goes_changes_the_stamp(tmp_path: Path) -> None:
    path = write(tmp_path / "rules" / "a.ev", "event A { x };")
    for files in (RuleFiles(path.parent), RuleFiles(path)):
        before = files.stamp()
        assert files.stamp() == before
        path.write_text("event A { x }; event B { y };")
        assert files.stamp() != before
        path.write_text("event A { x };")
    directory = RuleFiles(path.parent)
    before = directory.stamp()
    other = write(path.with_name("b.ev"), "event B { y };")
    assert directory.stamp() != before
    other.unlink()
    assert directory.stamp() == before
