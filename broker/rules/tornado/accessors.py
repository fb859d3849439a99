"""Expressions in texts: ``${event.payload."a key".list[0]}``, ``${_variables.name}``, several in one text.

The grammar is Tornado's with its corners: ``^`` separates keys as a dot does, ``${}`` and what is never closed are
literal, a text that is one expression gives the value itself and any other text a text.  ``${item}`` belongs to the
executor of loops and is literal here.  An unknown name alone is an error; within a longer text it gives nothing.
"""

from __future__ import annotations

import re
from typing import Final

from broker.rules.model.trees import EventPath, Fixed, Source, Template, Unknown, VariablePath

__all__ = ["EXPRESSION_CHARS_MAX", "AccessorError", "read_text"]

EXPRESSION_CHARS_MAX: Final = 1_024
"""Characters of one expression: many times what people write."""

_INDEX_MAX: Final = 2**64 - 1
_KEY: Final = re.compile(r'"[^"]+"|[^.^\[]+|\[[^\]]+\]')
_INDEX: Final = re.compile(r"\+?[0-9]+", re.ASCII)
_ITEM: Final = "item"


class AccessorError(ValueError):
    """An expression that makes no sense; the text says why."""


def read_text(text: str) -> Source:
    """The source that a text stands for.  Raises AccessorError."""
    found = _expressions(text)
    if not found:
        return Fixed(text)
    if found == [(0, len(text))]:
        if _belongs_to_loops(text):
            return Fixed(text)
        return _alone(text)
    parts: list[str | EventPath | VariablePath | Unknown] = []
    done = 0
    for start, end in found:
        expression = text[start:end]
        if not _belongs_to_loops(expression):
            if start > done:
                parts.append(text[done:start])
            parts.append(_place(_keys(expression)))
            done = end
    if done < len(text):
        parts.append(text[done:])
    return Template(tuple(parts))


def _expressions(text: str) -> list[tuple[int, int]]:
    """Where they stand: ``${``, one character or more that are no ``}``, and ``}``."""
    found = []
    start = text.find("${")
    while start >= 0:
        end = text.find("}", start + 2)
        if end < 0:
            break
        if end == start + 2:
            start = text.find("${", start + 1)
            continue
        found.append((start, end + 1))
        start = text.find("${", end + 1)
    return found


def _belongs_to_loops(expression: str) -> bool:
    rest = expression[2:-1]
    return rest.startswith(_ITEM) and (len(rest) == len(_ITEM) or rest[len(_ITEM)] in ".[")


def _keys(expression: str) -> list[str | int]:
    """The keys and places that an expression leads through."""
    if len(expression) > EXPRESSION_CHARS_MAX:
        raise AccessorError(f"an expression has at most {EXPRESSION_CHARS_MAX:,} characters: {expression[:40]!r}...")
    keys: list[str | int] = []
    for match in _KEY.finditer(expression, 2, len(expression) - 1):
        key = match[0]
        if len(key) > 1 and key[0] == key[-1] == '"':
            key = key[1:-1]
        if len(key) > 1 and key[0] == "[" and key[-1] == "]":
            keys.append(_index(key[1:-1], expression))
        elif '"' in key:
            raise AccessorError(f'the key {key!r} of {expression} has a " that is not one of a pair around it')
        else:
            keys.append(key)
    if not keys:
        raise AccessorError(f"{expression} has no keys")
    return keys


def _index(text: str, expression: str) -> int:
    index = int(text) if _INDEX.fullmatch(text) else -1
    if not 0 <= index <= _INDEX_MAX:
        raise AccessorError(f"[{text}] of {expression} is no place in a list: expected a number, 0 or more")
    return index


def _place(keys: list[str | int]) -> EventPath | VariablePath | Unknown:
    match keys:
        case ["event", *rest]:
            return EventPath(tuple(rest))
        case ["_variables", str(), *_]:
            return VariablePath(tuple(keys[1:]))
        case _:
            return Unknown(str(keys[0]))


def _alone(expression: str) -> Source:
    """A text that is one expression: what it asks for must be something that can be there."""
    keys = _keys(expression)
    place = _place(keys)
    if isinstance(place, EventPath) and (not place.keys or isinstance(place.keys[0], str)):
        return place
    if isinstance(place, VariablePath) or keys[0] == _ITEM:
        return place
    if keys[0] == "event":
        raise AccessorError(f"{expression}: an event is a map, and has keys: ${{event.type}}, ${{event.payload.name}}")
    if keys[0] == "_variables":
        raise AccessorError(f"{expression}: expected the name of a variable, such as ${{_variables.name}}")
    raise AccessorError(f"{expression}: unknown name {str(keys[0])!r}: expected event or _variables")
