"""Why a value is not carried, in words that say what to do, and the path to it.

A path costs nothing until something is wrong: a container that sees a :class:`Refusal` come out of an element adds the
step to that element and lets it go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Refusal", "brief", "refusal_of"]

_ADVICE = {
    "decimal.Decimal": "send it as str, or as float if the digits may go",
    "bytearray": "convert it to bytes",
    "memoryview": "convert it to bytes",
    "complex": "send its two parts",
    "datetime.date": "send it as str, or as an aware datetime",
    "datetime.time": "send it as str, or as a timedelta since midnight",
}

# Types whose repr is short enough for a path, when text is cut.
_SHORT = frozenset({str, bytes, int, float, bool, type(None)})


class Refusal(Exception):
    """A value that is not carried, on its way up; ``steps`` collects the path, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


def refusal_of(value: Any, carried: Iterable[type]) -> Refusal:
    """Why a value whose type is none of the carried ones is refused, and what to do."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    for base in carried:
        if isinstance(value, base):
            return Refusal(
                f"{name} is a subclass of {base.__name__} and would not come back as what it is: "
                f"convert it to {base.__name__}"
            )
    return Refusal(f"{name} is not carried: {_ADVICE.get(name, 'convert it to a type that is')}")


def brief(value: Any) -> str:
    """A key or member for a path: its repr, cut, or its type, for it may be of any size."""
    if type(value) not in _SHORT or (type(value) is int and value.bit_length() > 64):
        return f"<{type(value).__name__}>"
    if isinstance(value, str | bytes):
        value = value[:40]
    return repr(value)
