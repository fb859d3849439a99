"""What names in rules may be: they come from elsewhere, and some of them stand in generated source."""

from __future__ import annotations

import unicodedata
from keyword import iskeyword
from typing import Final

__all__ = ["NAME_MAX", "is_member_name", "is_type_name"]

NAME_MAX: Final = 255
"""Characters of a name, as of an event's."""


def is_member_name(name: str) -> bool:
    """Whether a member's name can stand in source text and means itself there, and nothing of Python's own."""
    return (
        name.isidentifier()
        and not iskeyword(name)
        and not name.startswith("__")
        and unicodedata.normalize("NFKC", name) == name
        and len(name) <= NAME_MAX
    )


def is_type_name(name: str) -> bool:
    """Whether an event type can be called so: as events can, by any text, for types' names stand in no source."""
    return 1 <= len(name) <= NAME_MAX
