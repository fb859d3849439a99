"""The counters of rules as lines: what an engine has done, and each rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from broker.cli.running import counted

__all__ = ["summary"]

_TOLD: Final = (
    ("late", "late"),
    ("ahead", "ahead of the clock"),
    ("misfits", "not as their types are"),
)
_OF_RULE: Final = ("seen", "matched", "made", "limited", "dropped", "failed")


def summary(figures: Any) -> Iterator[str]:
    """The lines: events that were not as they should be, and of each rule what it saw and made, zeros left out."""
    odd = [f"{count:,} {word}" for name, word in _TOLD if (count := getattr(figures, name))]
    if odd:
        yield f"of {counted(figures.received, 'event')}: {', '.join(odd)}"
    for name, of_rule in figures.rules.items():
        counts = [f"{count:,} {word}" for word in _OF_RULE if (count := getattr(of_rule, word))]
        yield f"rule {name}: {', '.join(counts) or 'saw nothing'}"
