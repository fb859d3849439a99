"""Trees of filters, iterators and rulesets, as Tornado has them: each rule with its condition, extractions, actions.

An event is plain data (maps, lists, texts, numbers, booleans, None).  A **source** gives a value for an event, or none;
a **condition** holds or not.  What they mean is told by :mod:`broker.rules.tornado`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

__all__ = [
    "AllOf",
    "AnyOf",
    "Compare",
    "Comparison",
    "Condition",
    "DateAndTime",
    "EventPath",
    "Extraction",
    "FilterNode",
    "Fixed",
    "IteratorNode",
    "ListOf",
    "Lowercase",
    "MapOf",
    "Mapped",
    "Matches",
    "Modifier",
    "NoneOf",
    "Replace",
    "RulesetNode",
    "Scalar",
    "Source",
    "Template",
    "ToNumber",
    "TreeAction",
    "TreeNode",
    "TreeRule",
    "Trim",
    "Unknown",
    "VariablePath",
]

Scalar: TypeAlias = bool | int | float | str | None


# -- sources ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Fixed:
    """A value that stands in the rule itself."""

    value: Scalar


@attrs.frozen
class ListOf:
    """A list of what its items give; none, if one of them gives none."""

    items: tuple[Source, ...]


@attrs.frozen
class MapOf:
    """A map of what its members give; none, if one of them gives none."""

    members: tuple[tuple[str, Source], ...]


@attrs.frozen
class EventPath:
    """A place in the event: keys of maps and places in lists, from the event on; () is the event itself."""

    keys: tuple[str | int, ...]


@attrs.frozen
class VariablePath:
    """An extracted variable, or a place in one: first looked for in the rule's own, then by the name of a rule."""

    keys: tuple[str | int, ...]


@attrs.frozen
class Unknown:
    """What is asked for under a name that nothing has: it gives none."""

    name: str


@attrs.frozen
class Template:
    """A text made of parts, those that are texts as they are; none, if a part gives none, a list or a map."""

    parts: tuple[str | EventPath | VariablePath | Unknown, ...]


Source: TypeAlias = Fixed | ListOf | MapOf | EventPath | VariablePath | Unknown | Template


# -- conditions ------------------------------------------------------------------------------------------------------

Comparison = Literal["contains", "containsIgnoreCase", "equals", "equalsIgnoreCase", "ge", "gt", "le", "lt", "ne"]


@attrs.frozen
class Compare:
    """A comparison of two values."""

    operator: Comparison
    first: Source
    second: Source


@attrs.frozen
class Matches:
    """A regular expression is found in a text."""

    target: Source
    regex: str


@attrs.frozen
class AllOf:
    """Every condition holds: so do none."""

    conditions: tuple[Condition, ...]


@attrs.frozen
class AnyOf:
    """A condition holds: of none, no."""

    conditions: tuple[Condition, ...]


@attrs.frozen
class NoneOf:
    """The condition does not hold."""

    condition: Condition


Condition: TypeAlias = Compare | Matches | AllOf | AnyOf | NoneOf


# -- rules -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Lowercase:
    """The text in small letters."""


@attrs.frozen
class Trim:
    """The text without white space at its ends."""


@attrs.frozen
class ToNumber:
    """The number that a text says."""


@attrs.frozen
class Mapped:
    """What a text stands for; another text is ``default``, or an error if that is None."""

    mapping: tuple[tuple[str, str], ...]
    default: str | None = None


@attrs.frozen
class Replace:
    """Every occurrence of a text, or every match of a regular expression, replaced."""

    find: str
    replacement: Source
    regex: bool = False


@attrs.frozen
class DateAndTime:
    """A number of seconds, milli-, micro- or nanoseconds since 1970 (told by its size) as a text in a time zone."""

    zone: str


Modifier: TypeAlias = Lowercase | Trim | ToNumber | Mapped | Replace | DateAndTime


@attrs.frozen
class Extraction:
    """A variable taken out of the event by a regular expression.

    ``take`` says what: ``group``: the group of number ``group``; ``groups``: all groups as a list; ``named``: all named
    groups as a map; ``key``: the value of the one key of a map that matches.  With ``every`` it is a list of that, for
    every match.
    """

    name: str
    source: Source
    regex: str
    take: Literal["group", "groups", "named", "key"] = "group"
    group: int = 0
    every: bool = False
    modifiers: tuple[Modifier, ...] = ()


@attrs.frozen
class TreeAction:
    """What is to be done, by the name of who does it, and with which data."""

    id: str
    payload: MapOf


@attrs.frozen
class TreeRule:
    """A rule of a ruleset; ``goes_on``: the rules behind it are looked at also when it matched."""

    name: str
    condition: Condition | None = None
    extractions: tuple[Extraction, ...] = ()
    actions: tuple[TreeAction, ...] = ()
    goes_on: bool = True


# -- nodes -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class RulesetNode:
    """Rules in the order in which they are looked at; those that are not active are left out."""

    name: str
    rules: tuple[TreeRule, ...] = ()


@attrs.frozen
class FilterNode:
    """Its nodes see the events for which its condition holds.  One that is not active has no nodes."""

    name: str
    condition: Condition | None = None
    nodes: tuple[TreeNode, ...] = ()
    active: bool = True


@attrs.frozen
class IteratorNode:
    """Its nodes see the event once for each item of a list or map.  One that is not active has no nodes."""

    name: str
    target: Source
    nodes: tuple[TreeNode, ...] = ()


TreeNode: TypeAlias = FilterNode | IteratorNode | RulesetNode
