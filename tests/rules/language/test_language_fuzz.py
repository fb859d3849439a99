"""Whatever the text, it is a program or it is told what is wrong with it, in time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_programs import DECLARED, SLIDES
from language_strategies import programs

from broker.errors import RuleError
from broker.rules.language import load

RULES = """
limit = 0.5 + 0.4;
R: [Disk d, Disk+ e, !Disk f : big(d), e.used > limit, f.host == d.host] within 60s per host
    -> alarm(d) to "a/" + d.host;
W: [Disk d : big, count(d) > 3] last 5m every 1m limit 1 per 1h -> alarms do page;
"""
PROGRAMS = [SLIDES, DECLARED + RULES]
PIECES = [
    *[
        ";",
        ":",
        "->",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "+",
        "!",
        "1",
        "^",
        ".",
        ",",
        "=",
        ":=",
        "/*",
        "event",
        "predicate",
        "Disk",
        "d",
        "within",
        "5s",
        "1e999",
        "not",
    ],
    *('"', "\\u", "\x00", "\ud800", "\u2028", "é", "\n"),
]


def told(text: str) -> None:
    """Load the text: it is a program, or a RuleError says where it is none."""
    try:
        load(text, "fuzz.ev")
    except RuleError as error:
        lines = text.split("\n")
        for problem in error.problems[:20]:
            assert 1 <= problem.line <= len(lines)
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
            assert problem.what
            assert problem.excerpt.isprintable() or "\t" in problem.excerpt or "\n" in problem.excerpt
        str(error).encode()


@pytest.mark.parametrize(
    "text", ['" \ud800', "\ud800", '"\\\ud800"', "// \ud800", "x = a \ud800", 'x = "\x00" "\x00";']
)
def test_halves_of_characters(text: str) -> None:
    told(text)


@given(st.text())
@settings(max_examples=100)
def test_any_text(text: str) -> None:
    told(text)


@given(st.lists(st.sampled_from(PIECES), max_size=30))
@settings(max_examples=150)
def test_any_pieces_of_the_language(pieces: list[str]) -> None:
    told(" ".join(pieces))


@given(programs())
@settings(max_examples=100)
def test_any_program_that_parses(text: str) -> None:
    told(text)


@given(st.sampled_from(PROGRAMS), st.data())
@settings(max_examples=150)
def test_programs_with_something_wrong(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.sampled_from(["", *PIECES])) + text[end:]
    told(text)


@pytest.mark.parametrize("text", PROGRAMS)
def test_programs_that_end_too_early(text: str) -> None:
    load(text)
    for end in range(0, len(text), 7):
        told(text[:end])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "{" * 50_000,
        '"' * 50_001,
        "/*" * 50_000,
        "x = " + "9" * 50_000 + ";",
        "x = " + "9" * 50_000 + "s;",
        "x = " + "1h" * 30_000 + ";",
        "a" * 500_000,
        "event A { " + ", ".join(f"m{place}" for place in range(5_000)) + " };",
        "€" * 100_000,
        "; " * 30_000,
        "\n" * 500_000,
        "x = [" + "1, " * 20_000 + "1];",
    ],
)
def test_huge_texts(text: str) -> None:
    told(text)
