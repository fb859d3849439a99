"""The types of rules: names of plain types, and event types with their members.

A type is its name: one of :data:`PLAIN`, or an event type's own (which begins with a capital letter).
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["PLAIN", "EventType", "MemberType", "Type"]

Type = str
"""The name of a type."""

NUMBER: Final = "number"  # int or float
VECTOR: Final = "vector"  # a tuple (or list) of numbers, of any length
BOOLEAN: Final = "boolean"
STRING: Final = "string"
STRINGS: Final = "strings"  # a constant tuple of texts, to the right of `in` only
ADDRESS: Final = "address"  # IPv4Address or IPv6Address
NETWORK: Final = "network"  # a constant, to the right of `in` only
TIMESTAMP: Final = "timestamp"  # Timestamp or aware datetime
DURATION: Final = "duration"  # timedelta
ANY: Final = "any"  # whatever else is carried: compared for equality, and copied

PLAIN: Final = (NUMBER, VECTOR, BOOLEAN, STRING, ADDRESS, TIMESTAMP, DURATION, ANY)
"""The types that a member may have."""


@attrs.frozen
class MemberType:
    """One member of an event type; ``optional``: it may be None, and then every comparison with it is false."""

    name: str
    type: Type
    optional: bool = False


@attrs.frozen
class EventType:
    """An event type: all its members in the order of the event's fields, its parent's first."""

    name: str
    members: tuple[MemberType, ...] = ()
    parent: str | None = None
    known: bool = False  # a class of `@broker.event` has this name; else the program declares it

    def member(self, name: str) -> MemberType | None:
        """The member of that name, if there is one."""
        return next((member for member in self.members if member.name == name), None)
