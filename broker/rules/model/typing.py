"""The types of expressions, and what is wrong with them: for models that come from elsewhere.

The Event Language and the predicates in Python check what they are given as it is written, with the words of the
writer; what arrives as data is checked here, before it is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

import attrs

from broker.errors import BadRegex
from broker.rules.model.expressions import (
    Aggregate,
    Apply,
    Call,
    Constant,
    Expression,
    Make,
    Member,
    Meta,
    Name,
)
from broker.rules.model.names import is_member_name
from broker.rules.model.operators import OPERATORS
from broker.rules.model.rules import Function
from broker.rules.model.types import EventType, Type
from broker.values import Timestamp

__all__ = ["Scope", "Types", "Variable", "constant_type"]

_CONSTANTS: Final[tuple[tuple[tuple[type, ...], Type], ...]] = (
    ((bool,), "boolean"),
    ((int, float), "number"),
    ((str,), "string"),
    ((timedelta,), "duration"),
    ((Timestamp,), "timestamp"),
    ((IPv4Address, IPv6Address), "address"),
    ((IPv4Network, IPv6Network), "network"),
    ((bytes,), "any"),
)
_NUMERIC: Final = ("sum", "mean", "min", "max", "percentile", "slope")


def constant_type(value: object) -> Type:
    """The type of a constant; "" for None and an empty tuple, which fit several."""
    if isinstance(value, tuple):
        if not value:
            return ""
        return "strings" if all(isinstance(item, str) for item in value) else "vector"
    return next((name for classes, name in _CONSTANTS if isinstance(value, classes)), "")


class Types:
    """The event types of a program, and who extends whom."""

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self.types = types

    def ancestors(self, name: Type) -> Iterator[Type]:
        """The type, its parent, and so on; each once."""
        found = set()
        while name in self.types and name not in found:
            yield name
            found.add(name)
            name = self.types[name].parent or ""

    def accepts(self, expected: Type, found: Type) -> bool:
        """Whether what is of one type can stand where the other is expected."""
        if found in ("", expected):
            return True
        if expected == "any":
            return found not in self.types
        return expected in self.ancestors(found)


@attrs.frozen
class Variable:
    """A variable: an event of a type, or a group of them."""

    type: Type
    group: bool = False


@attrs.define
class Scope:
    """What an expression can mention, and whom to tell what is wrong.

    ``meta``: events are there with their time, topic and origin.
    """

    types: Types
    functions: Mapping[str, Function]
    variables: Mapping[str, Variable]
    tell: Callable[[str], None]
    meta: bool = True
    _item_of: str = ""

    def type_of(self, expression: Expression) -> Type:
        """The type of an expression; "" if that cannot be said, and what is wrong has been told."""
        match expression:
            case Constant(value=value):
                return constant_type(value)
            case Name(name=name):
                return self._event(name)
            case Member(of=of, name=name):
                return self._member(of, name)
            case Meta(of=of, field=field):
                if self._event(of) and not self.meta:
                    self.tell(f"{field}({of:.80}): only the event itself is known here")
                return "timestamp" if field == "time" else "string"
            case Apply():
                return self._apply(expression)
            case Call():
                return self._call(expression)
            case Make():
                return self._make(expression)
            case Aggregate():
                return self._aggregate(expression)

    def expect(self, expression: Expression, expected: Type, what: str) -> None:
        """Tell it, unless the expression is of this type."""
        found = self.type_of(expression)
        if not self.types.accepts(expected, found):
            self.tell(f"{what}: expected {expected}, found {found}")

    def _event(self, name: str) -> Type:
        variable = self.variables.get(name)
        if variable is None:
            self.tell(f"there is no variable {name!r:.80}")
            return ""
        if variable.group and name != self._item_of:
            self.tell(f"{name:.80} is a group: only aggregates, such as count({name:.80}), can be asked of it")
        return variable.type

    def _member(self, whole: Expression, name: str) -> Type:
        of = self.type_of(whole)
        if not of:
            while isinstance(whole, Aggregate):
                whole = whole.item
            if isinstance(whole, Constant):
                self.tell(f"a constant has no members, such as {name!r:.80}")
            return ""
        declared = self.types.types.get(of)
        if declared is None:
            self.tell(f"a {of} has no members, such as {name!r:.80}")
            return ""
        member = declared.member(name)
        if member is None or not is_member_name(name):
            self.tell(f"{of:.80} has no member {name!r:.80}")
            return ""
        return member.type

    def _apply(self, apply: Apply) -> Type:
        operator = OPERATORS.get(apply.operator)
        if operator is None:
            self.tell(f"there is no operator {apply.operator!r:.80}")
            return ""
        expected = operator.operands
        if operator.variadic:
            least = len(expected) - 1
            expected += expected[-1:] * (len(apply.operands) - len(expected))
            expected = expected[: max(least, len(apply.operands))]
        if len(apply.operands) != len(expected):
            self.tell(f"{apply.operator} takes {len(expected)} operands, not {len(apply.operands)}")
        for place, (operand, kind) in enumerate(zip(apply.operands, expected, strict=False)):
            self.expect(operand, kind, f"operand {place + 1} of {apply.operator}")
        if apply.operator == "str.matches" and len(apply.operands) == 2:
            self._regex(apply.operands[1])
        return operator.result

    def _regex(self, pattern: Expression) -> None:
        if not isinstance(pattern, Constant) or not isinstance(pattern.value, str):
            self.tell("the regular expression of str.matches is no constant text")
            return
        # Here, because the package of the regular expressions is an optional one.
        from broker.rules import regex

        try:
            regex.compile(pattern.value)
        except BadRegex as error:
            self.tell(str(error))

    def _call(self, call: Call) -> Type:
        function = self.functions.get(call.function)
        if function is None:
            self.tell(f"there is no function {call.function!r:.80}")
            return ""
        if len(function.parameters) != len(call.arguments):
            self.tell(f"{function.name:.80} takes {len(function.parameters)} arguments, not {len(call.arguments)}")
        for parameter, argument in zip(function.parameters, call.arguments, strict=False):
            what = f"{parameter.name:.80} of {function.name:.80}"
            variable = self.variables.get(argument.name) if isinstance(argument, Name) else None
            if not parameter.group:
                self.expect(argument, parameter.type, what)
            elif variable is None or not variable.group or not self.types.accepts(parameter.type, variable.type):
                self.tell(f"{what}: expected a group of {parameter.type}")
        return function.result

    def _make(self, make: Make) -> Type:
        declared = self.types.types.get(make.type)
        if declared is None:
            self.tell(f"there is no event type {make.type!r:.80}")
            return ""
        given: dict[str, Any] = dict(make.members)
        if len(given) < len(make.members) or given.keys() != {member.name for member in declared.members}:
            members = ", ".join(member.name for member in declared.members)
            self.tell(f"a {make.type:.80} is made of its members, each once: {members:.400}")
        for member in declared.members:
            if member.name in given:
                self.expect(given[member.name], member.type, f"{make.type:.80}.{member.name:.80}")
        return make.type

    def _aggregate(self, aggregate: Aggregate) -> Type:
        variable = self.variables.get(aggregate.group)
        if variable is None or not variable.group:
            self.tell(f"{aggregate.function}: {aggregate.group!r:.80} is no group")
            return ""
        if self._item_of:
            self.tell(f"{aggregate.function}: an aggregate inside an aggregate")
            return ""
        parameter = aggregate.parameter
        if aggregate.function == "percentile" and not (parameter is not None and 0 <= parameter <= 100):
            self.tell(f"percentile: its parameter is 0 to 100, not {parameter}")
        others = {name: each for name, each in self.variables.items() if name == aggregate.group}
        inner = attrs.evolve(self, variables=others, item_of=aggregate.group)
        found = inner.type_of(aggregate.item)
        if aggregate.function in _NUMERIC:
            if not self.types.accepts("number", found):
                self.tell(f"{aggregate.function}: expected number, found {found}")
            return "number"
        return "number" if aggregate.function in ("count", "distinct") else found
