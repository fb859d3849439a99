"""Variables: the events of a rule, whose members are terms.

Their types are those of the class's annotations, so a misspelt member and an operator that does not fit are refused
where they are written.  A variable has no methods, for its attributes are the members of the events.
"""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, Generic, NoReturn, TypeVar, overload

from broker.rules.event_types import event_type
from broker.rules.model import EventType, Member, Meta, Name
from broker.rules.spelling.terms import Term, Variable, term_of

__all__ = [
    "EventVariable",
    "absence_of",
    "group_of",
    "of",
    "origin",
    "seconds_to_ns",
    "suggestion",
    "time",
    "topic",
    "variable_of",
]

_T = TypeVar("_T")
_numbers: Final = itertools.count(1)


def suggestion(name: str, names: list[str]) -> str:
    """`; did you mean 'used'?`, or the names that there are."""
    close = get_close_matches(name, names, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(names) or 'none'}"


def seconds_to_ns(seconds: float | timedelta, what: str) -> int:
    """A duration in nanoseconds.  Raises TypeError and ValueError."""
    if isinstance(seconds, timedelta):
        found = seconds // timedelta(microseconds=1) * 1_000
    elif type(seconds) in (int, float):
        found = round(seconds * 10**9)
    else:
        raise TypeError(f"{what} is a number of seconds or a timedelta, not {type(seconds).__name__}")
    if found <= 0:
        raise ValueError(f"{what} is more than 0 seconds, not {seconds}")
    return found


class EventVariable(Generic[_T]):
    """An event of a class; its attributes are the members, as terms.  Made by :func:`of` and its like."""

    __slots__ = ("__variable",)
    __variable: Variable

    def __init__(self, variable: Variable) -> None:
        object.__setattr__(self, "_EventVariable__variable", variable)

    def __getattr__(self, name: str) -> Term:
        variable = self.__variable
        member = variable.type.member(name)
        if member is None:
            if name.startswith("__"):
                raise AttributeError(name)
            names = [each.name for each in variable.type.members]
            raise AttributeError(f"{variable.type.name} has no member {name!r}{suggestion(name, names)}")
        return term_of(Member(Name(variable.key), name), member.type, {variable.key: variable})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("events are not changed: make a new one")

    def __dir__(self) -> list[str]:
        return [each.name for each in self.__variable.type.members]

    def __repr__(self) -> str:
        return f"<{self.__variable.name}: {self.__variable.type.name}{'+' if self.__variable.group else ''}>"


def variable_of(events: object) -> Variable:
    """The variable behind :func:`of`.  Raises TypeError for anything else."""
    if not isinstance(events, EventVariable):
        raise TypeError(f"expected what of(...), group_of(...) or absence_of(...) gives, found {type(events).__name__}")
    variable: Variable = object.__getattribute__(events, "_EventVariable__variable")
    return variable


def _new(cls: type | EventType, name: str | None, **more: Any) -> EventVariable[Any]:
    if isinstance(cls, EventType):
        kind, python_class = cls, None
    else:
        kind, python_class = event_type(cls), cls
    if name is not None and not name.isidentifier():
        raise ValueError(f"a variable's name is an identifier, not {name!r}")
    shown = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.name.rpartition(".")[2]).lower()
    return EventVariable(Variable(f"v{next(_numbers)}", kind, python_class, shown, **more))


@overload
def of(cls: type[_T], name: str | None = None) -> EventVariable[_T]: ...
@overload
def of(cls: EventType, name: str | None = None) -> EventVariable[Any]: ...
def of(cls: type[_T] | EventType, name: str | None = None) -> EventVariable[Any]:
    """Give an event of a class a name: its members are terms, ``disk.used > 0.9`` is a predicate.

    ``name`` is what explanations call it.  Raises EventDefinitionError for a class not made by ``@broker.event``.
    """
    return _new(cls, name)


def group_of(cls: type[_T] | EventType, name: str | None = None) -> EventVariable[_T]:
    """One event or more, or what a window holds: conditions on its members are asked of each, aggregates of all."""
    return _new(cls, name, group=True)


def absence_of(
    cls: type[_T] | EventType, name: str | None = None, *, within: float | timedelta | None = None
) -> EventVariable[_T]:
    """No such event between its neighbours in a rule; at the end ``within`` so many seconds of the event before it."""
    return _new(cls, name, absent=True, within_ns=None if within is None else seconds_to_ns(within, "within"))


def _meta(events: EventVariable[Any], field: Any, kind: str) -> Term:
    variable = variable_of(events)
    return term_of(Meta(variable.key, field), kind, {variable.key: variable})


def time(event: EventVariable[Any]) -> Term:
    """When an event was published: a timestamp."""
    return _meta(event, "time", "timestamp")


def topic(event: EventVariable[Any]) -> Term:
    """The topic that an event was published to."""
    return _meta(event, "topic", "string")


def origin(event: EventVariable[Any]) -> Term:
    """The name of the endpoint that published an event."""
    return _meta(event, "origin", "string")
