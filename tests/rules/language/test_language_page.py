"""The pages about rules in the documentation: their programs load, and that of the language has all there is."""

from __future__ import annotations

import re

import pytest
from snippets import ROOT, snippets

from broker.rules.language import format as formatted
from broker.rules.language import load, own_functions
from broker.rules.language.parser import MODIFIERS
from broker.rules.language.tokens import UNITS_NS
from broker.rules.model import OPERATORS
from broker.rules.model.types import PLAIN

PAGE = "docs/rules-language.md"
PROGRAMS = [
    snippet for page in (PAGE, "docs/rules.md") for snippet in snippets(page, "ev") if snippet.what != "wrong.ev"
]


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 14


@pytest.mark.parametrize("text", [snippet.text for snippet in PROGRAMS])
def test_programs_of_the_page_load_and_are_in_their_layout(text: str) -> None:
    load(text)
    assert formatted(text) == text


def test_the_page_has_all_there_is() -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / PAGE).read_text(), flags=re.DOTALL | re.MULTILINE)
    quoted = " ".join(re.findall(r"`([^`\n]+)`", text))
    words = set(re.findall(r"[a-z]+", quoted))
    assert {*MODIFIERS, *own_functions.NAMES, *PLAIN, *UNITS_NS, "event", "extends", "predicate", "to", "do"} <= words
    assert [operator.text for operator in OPERATORS.values() if operator.text not in quoted + "[]"] == []
