"""The Event Language: text to the rule model.

- ``tokens``, ``expressions``, ``parser``: text to the syntax tree (``tree``);
- ``scope``, ``usage``, ``operators``, ``own_functions``, ``calls``, ``elaboration``: expressions to the model;
- ``declarations``, ``patterns``, ``checking``: a whole program to the model; ``circles`` and ``sizes`` find what would
  never end;
- ``problems``: what is wrong, with its place;
- ``formatting``, ``layout``: a program in its canonical layout; ``showing``: the model as text.
"""

from __future__ import annotations

from broker.rules.language.checking import Checked, check
from broker.rules.language.formatting import format_text as format  # noqa: A004 - as broker.rules.language.format()
from broker.rules.language.parser import parse
from broker.rules.language.scope import Find
from broker.rules.language.showing import show
from broker.rules.language.tree import Unit
from broker.rules.model import Program

__all__ = ["Checked", "Find", "Unit", "check", "format", "load", "parse", "show"]


def load(text: str, file: str = "", find: Find | None = None) -> Program:
    """The rules of a program; ``file`` is what errors call it.

    ``find`` tells the event types that are known besides the program's own: a mapping, or a function from a name to the
    type or None.  Raises RuleError with all that is wrong.
    """
    return check(parse(text, file), find).program
