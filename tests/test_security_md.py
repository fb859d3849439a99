"""SECURITY.md: each statement has a test, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "SECURITY.md").read_text()
STATED, _, LISTED = TEXT.partition("## Where each statement is tested\n")
# Sections whose lists state something, each sentence of it.
STATING = (
    "What the defaults protect from",
    "What they do not protect from",
    "Keys and rules",
    "Supply chain",
    "Rules and predicates",
)


def listed() -> dict[str, list[tuple[str, str]]]:
    """The tests of each statement: their files and their names."""
    found: dict[str, list[tuple[str, str]]] = {}
    for number, rest in re.findall(r"^- (S\d+): (.*)$", LISTED, re.MULTILINE):
        assert number not in found, f"{number} is listed twice"
        found[number] = [
            (file, name)
            for part in rest.split("; ")
            for file, _, names in [part.partition(": ")]
            for name in re.findall(r"`(\w+)`", names)
        ]
    return found


def sentences() -> list[str]:
    """Every sentence of the lists in the sections that state something."""
    found = []
    for section in re.split(r"^## ", STATED, flags=re.MULTILINE)[1:]:
        if section.startswith(STATING):
            for item in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE):
                found += re.split(r"(?<=[.?!]) (?=[A-Z`])", " ".join(item.split()))
    return found


def functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_sentence_that_states_something_has_a_number() -> None:
    assert len(sentences()) > 50
    assert [sentence for sentence in sentences() if not re.search(r" \(S\d+\)[.,;:]?( |$)", sentence)] == []


def test_every_number_is_listed_and_every_listed_one_is_stated() -> None:
    stated = list(dict.fromkeys(re.findall(r"\((S\d+)\)", STATED)))
    assert stated == [f"S{number}" for number in range(1, len(stated) + 1)]
    assert list(listed()) == stated


@pytest.mark.parametrize("number", listed())
def test_every_statement_has_tests_that_are_there(number: str) -> None:
    tests = listed()[number]
    assert tests
    for file, name in tests:
        path = TESTS / file
        assert path.name.startswith("test_"), file
        assert name.startswith("test_"), name
        assert name in functions(path), f"{number}: {file} has no {name}"
