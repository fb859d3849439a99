"""What rules have to be given: which topics, of which event types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from broker.rules.model import EventType, Program
from broker.topics import RESERVED, normalize_prefix

__all__ = ["Interest", "interests", "least"]


class Interest(Struct, frozen=True):
    """Topics that begin with ``prefix``, and the names of events on them; none: any."""

    prefix: str
    names: tuple[str, ...] = ()


def interests(program: Program, topics: Sequence[str] = ("",)) -> tuple[Interest, ...]:
    """Return what a program's rules listen to, below some topics; no message is in two of them.

    Raises TopicError.
    """
    below = least(map(normalize_prefix, topics))
    prefixes: dict[str, set[str]] = {}  # by name
    for rule in program.rules:
        if not rule.active:
            continue
        own = map(normalize_prefix, rule.listens or ("",))
        listens = [both for one in own for other in below for both in _both(one, other)]
        for step in rule.steps:
            for name in subtypes(program.types, step.type):
                prefixes.setdefault(name, set()).update(listens)
    names: dict[str, list[str]] = {}  # by prefix
    for name, found in prefixes.items():
        for prefix in least(found):
            names.setdefault(prefix, []).append(name)
    return tuple(Interest(prefix, tuple(sorted(found))) for prefix, found in sorted(names.items()))


def _both(one: str, other: str) -> tuple[str, ...]:
    """Return the prefix of the topics that begin with both, if there is one."""
    if _covers(one, other):
        return (other,)
    return (one,) if _covers(other, one) else ()


def _covers(prefix: str, other: str) -> bool:
    return other.startswith(prefix) and (prefix != "" or not other.startswith(RESERVED))


def least(prefixes: Iterable[str]) -> list[str]:
    """Return the prefixes without those that others among them include."""
    distinct = sorted(set(prefixes))
    return [one for one in distinct if not any(other != one and _covers(other, one) for other in distinct)]


def subtypes(types: Iterable[EventType], name: str) -> frozenset[str]:
    """Return the names of an event type and of all that extend it."""
    parents = {type_.name: type_.parent for type_ in types}
    found = {name}
    for one in parents:
        seen: list[str] = []
        at: str | None = one
        while at is not None and at not in found and at not in seen:
            seen.append(at)
            at = parents.get(at)
        if at in found:
            found.update(seen)
    return frozenset(found)
