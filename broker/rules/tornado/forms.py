"""Plain data of a certain form: what is wrong with it is noted, with the path to it, and reading goes on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from broker.errors import RuleProblem
from broker.rules.model.data import DEPTH_MAX

__all__ = ["NESTED_MAX", "PROBLEMS_MAX", "Form", "told"]

PROBLEMS_MAX: Final = 100
"""Problems that are told of one configuration."""

NESTED_MAX: Final = DEPTH_MAX - 5
"""Things within each other: the model of each is at most a few deeper."""

_NAME: Final = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


def told(value: Any) -> str:
    """What a value is, in words."""
    names = {dict: "a map", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


class Form:
    """One reading of plain data: what is wrong so far, and whether what is being read will be used."""

    def __init__(self) -> None:
        self.problems: list[RuleProblem] = []
        self.idle = 0  # inside so many things that are not active: their meaning is not asked
        self.unnamed = 0  # inside a rule that is not active: nor are its names

    # -- problems and plain values --

    def wrong(self, path: str, what: str) -> None:
        """Note a problem."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(RuleProblem("", 0, 0, path.removeprefix("."), what))

    def meaningless(self, path: str, what: str) -> None:
        """A problem that is one only if the thing is used."""
        if not self.idle:
            self.wrong(path, what)

    def map(self, value: Any, path: str, needed: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any] | None:
        """A map with these keys and no others."""
        if type(value) is not dict:
            self.wrong(path, f"expected a map, found {told(value)}")
            return None
        needed, allowed = list(needed), {*needed, *optional}
        for key in value:
            if key not in allowed:
                self.wrong(path, f"unknown field {key!r:.80}: expected {', '.join(sorted(allowed)) or 'none'}")
        for key in needed:
            if key not in value:
                self.wrong(path, f"the field {key!r} is missing")
        return value

    def text(self, value: Any, path: str) -> str:
        """A text, or "" and a problem."""
        if type(value) is not str:
            self.wrong(path, f"expected a text, found {told(value)}")
            return ""
        return value

    def boolean(self, value: Any, path: str) -> bool:
        """A boolean, or False and a problem."""
        if type(value) is not bool:
            self.wrong(path, f"expected true or false, found {told(value)}")
            return False
        return value

    def list(self, value: Any, path: str) -> list[Any]:
        """A list, or none and a problem."""
        if type(value) is not list:
            self.wrong(path, f"expected a list, found {told(value)}")
            return []
        return value

    def name(self, value: Any, path: str) -> str:
        """A name of ASCII letters, digits and ``_``."""
        name = self.text(value, path)
        if type(value) is str and not self.unnamed and not _NAME.fullmatch(name):
            self.wrong(path, f"{name!r:.80} is no name: letters of ASCII, digits and _")
        return name

    def unique(self, names: Iterable[str], path: str, what: str) -> None:
        """No two beside each other have the same name."""
        seen = set()
        for place, name in enumerate(names):
            if name in seen:
                self.wrong(f"{path}[{place}].name", f"another {what} beside it has the name {name!r:.80}, too")
            seen.add(name)

    def deep(self, path: str, depth: int) -> bool:
        """Too deep: told, and not followed further."""
        if depth > NESTED_MAX:
            self.wrong(path, f"nested more than {NESTED_MAX} deep")
        return depth > NESTED_MAX
