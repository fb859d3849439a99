"""The reference: what an expression means, told by walking it.

:func:`evaluate` is what compiled rules are held against, and what they fall back on where an operand is not of its
operator's type; :func:`trace` tells the value of every part besides, which is what explanations show.

Variables are bound to :class:`One` event (with the message it came in, if it came in one) or to :class:`Many`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import attrs

from broker.errors import BrokerError
from broker.rules.model import (
    Aggregate,
    Apply,
    Call,
    Constant,
    Expression,
    Function,
    Make,
    Member,
    Meta,
    Name,
    Program,
)
from broker.rules.operations import AGGREGATES, OPERATIONS
from broker.values import Timestamp

__all__ = ["CALLS_MAX", "Bindings", "EvaluationFailed", "Many", "One", "Seen", "Variable", "bind", "evaluate", "trace"]

CALLS_MAX: Final = 100
"""Calls inside calls.  A checked program has no recursion; one that was not checked ends here."""


class EvaluationFailed(BrokerError):
    """An expression has no value: an operand is not of its operator's type, an event cannot be made."""


class Seen(Protocol):
    """An event and what it came with, such as :class:`broker.Message`."""

    @property
    def event(self) -> Any:
        """The instance."""

    @property
    def time_ns(self) -> int:
        """Its event time."""

    @property
    def topic(self) -> str:
        """Where it was published."""

    @property
    def origin(self) -> str:
        """Who published it."""


@attrs.frozen
class Variable:
    """How an expression's variable is given: a bare ``event``, one as ``seen``, or a ``group`` of those (a sequence).

    ``type`` is the event type's name, or "" if it is not known: members that may be None take a faster way if it is.
    """

    name: str
    type: str = ""
    kind: Literal["event", "seen", "group"] = "seen"


@attrs.frozen
class One:
    """A variable that is an event."""

    event: Any
    seen: Seen | None = None


@attrs.frozen
class Many:
    """A variable that is a group."""

    entries: Sequence[Seen]


Bindings = Mapping[str, One | Many]
"""What each variable stands for."""


def bind(variables: Sequence[Variable], values: Sequence[Any]) -> dict[str, One | Many]:
    """What compiled functions are given, as bindings."""
    bound: dict[str, One | Many] = {}
    for variable, value in zip(variables, values, strict=True):
        if variable.kind == "group":
            bound[variable.name] = Many(value)
        else:
            bound[variable.name] = One(value) if variable.kind == "event" else One(value.event, value)
    return bound


MakeEvent = Callable[[str, dict[str, Any]], Any]


def make_plain(name: str, members: dict[str, Any]) -> Any:
    """What stands for a made event when no classes are given: a map of its members, with its type."""
    return {"is": name, **members}


@attrs.frozen
class _Made:
    """An event on its way: one of which only a member is wanted is never made, nor are its other members computed."""

    type: str
    members: dict[str, Expression]
    bindings: Bindings


class _Evaluation:
    def __init__(
        self, program: Program, make: MakeEvent, tell: Callable[[Expression, Any], None] | None = None
    ) -> None:
        self._functions: dict[str, Function] = {function.name: function for function in program.functions}
        self._make = make
        self._tell = tell
        self._calls = 0

    def result(self, expression: Expression, bindings: Bindings) -> Any:
        """The value; an event that is it is made now."""
        value = self.value(expression, bindings)
        if not isinstance(value, _Made):
            return value
        return self._make(value.type, {name: self.value(item, value.bindings) for name, item in value.members.items()})

    def value(self, expression: Expression, bindings: Bindings) -> Any:
        value = self._value(expression, bindings)
        if self._tell is not None and not isinstance(value, _Made):
            self._tell(expression, value)
        return value

    def _value(self, expression: Expression, bindings: Bindings) -> Any:
        match expression:
            case Constant(value=value):
                return value
            case Name(name=name):
                return _one(bindings, name).event
            case Member(of=of, name=name):
                event = self._value(of, bindings)
                if not isinstance(event, _Made):
                    return getattr(event, name)
                return self.value(event.members[name], event.bindings)
            case Meta(of=of, field=field):
                return _meta(_one(bindings, of), of, field)
            case Apply(operator="bool.and", operands=operands):
                return all(self.value(operand, bindings) is True for operand in operands)
            case Apply(operator="bool.or", operands=operands):
                return any(self.value(operand, bindings) is True for operand in operands)
            case Apply(operator=operator, operands=operands):
                return OPERATIONS[operator](*[self.value(operand, bindings) for operand in operands])
            case Call():
                return self._call(expression, bindings)
            case Make(type=type_name, members=members):
                return _Made(type_name, dict(members), bindings)
            case Aggregate():
                return self._aggregate(expression, bindings)

    def _call(self, call: Call, bindings: Bindings) -> Any:
        function = self._functions[call.function]
        inner: dict[str, One | Many] = {}
        for parameter, argument in zip(function.parameters, call.arguments, strict=True):
            if isinstance(argument, Name):
                inner[parameter.name] = bindings[argument.name]
            else:
                inner[parameter.name] = One(self._value(argument, bindings))
        self._calls += 1
        if self._calls > CALLS_MAX:
            raise EvaluationFailed(f"{call.function}: more than {CALLS_MAX} calls inside each other")
        try:
            return self.value(function.body, inner)
        finally:
            self._calls -= 1

    def _aggregate(self, aggregate: Aggregate, bindings: Bindings) -> Any:
        group = bindings[aggregate.group]
        if not isinstance(group, Many):
            raise EvaluationFailed(f"{aggregate.function}: {aggregate.group} is one event, not a group")
        # The items one by one are not told: there may be a thousand.
        tell, self._tell = self._tell, None
        items = [
            self.value(aggregate.item, {**bindings, aggregate.group: One(entry.event, entry)})
            for entry in group.entries
        ]
        self._tell = tell
        function = AGGREGATES[aggregate.function]
        if aggregate.function == "percentile":
            return function(items, aggregate.parameter)
        if aggregate.function == "slope":
            return function(items, [entry.time_ns for entry in group.entries])
        return function(items)


def _one(bindings: Bindings, name: str) -> One:
    bound = bindings[name]
    if not isinstance(bound, One):
        raise EvaluationFailed(f"{name} is a group: only aggregates, such as count({name}), can be asked of it")
    return bound


def _meta(bound: One, name: str, field: str) -> Any:
    if bound.seen is None:
        raise EvaluationFailed(f"{field}({name}): nothing is known of the event but its members")
    return Timestamp.from_ns(bound.seen.time_ns) if field == "time" else getattr(bound.seen, field)


def _guarded(evaluation: _Evaluation, expression: Expression, bindings: Bindings) -> Any:
    try:
        return evaluation.result(expression, bindings)
    except EvaluationFailed:
        raise
    except Exception as error:
        raise EvaluationFailed(f"{type(error).__name__}: {error}"[:200]) from error


def evaluate(program: Program, expression: Expression, bindings: Bindings, make: MakeEvent = make_plain) -> Any:
    """The value of an expression.  Raises EvaluationFailed, and nothing else, where it has none.

    ``make`` makes an event of a type's name and its members.
    """
    return _guarded(_Evaluation(program, make), expression, bindings)


def trace(
    program: Program, expression: Expression, bindings: Bindings, make: MakeEvent = make_plain
) -> tuple[Any, list[tuple[Expression, Any]]]:
    """The value of an expression, and of its parts in the order in which they were found.

    Parts that did not matter (what follows a false operand of ``and``) are not in it, nor are constants.  Where the
    expression has no value, an EvaluationFailed stands for it.
    """
    parts: list[tuple[Expression, Any]] = []

    def tell(part: Expression, value: Any) -> None:
        if not isinstance(part, Constant | Name):
            parts.append((part, value))

    try:
        return _guarded(_Evaluation(program, make, tell), expression, bindings), parts
    except EvaluationFailed as error:
        return error, parts
