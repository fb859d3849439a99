"""The shape of an expression: what remains when its constants are replaced by places in a table.

A shape is made of nested tuples, so equal shapes are equal keys; Python source is written from it and from nothing
else.  Names of variables do not matter to it, calls are replaced by the bodies of what they call.

    ("constant", how)               the next place of the table; `how` the constant is kept there (HOW)
    ("none",)                       a constant that is None
    ("event", variable)             an event as a whole
    ("member", variable, name, optional)
    ("meta", variable, field)
    ("apply", operator, operands)
    ("make", parts)                 what makes the event is the next place of the table
    ("aggregate", function, variable, item)    a percentile's parameter is the next place of the table
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from broker.errors import RuleError
from broker.rules.interpreter import Variable
from broker.rules.model import (
    OPERATORS,
    Aggregate,
    Apply,
    Call,
    Constant,
    EventType,
    Expression,
    Function,
    Make,
    Member,
    Meta,
    Name,
)
from broker.rules.model.names import is_member_name
from broker.rules.model.substitution import substituted
from broker.rules.operations import AGGREGATES, to_double

__all__ = ["DEPTH_MAX", "HOW", "PARTS_MAX", "Shape", "shape_of"]

Shape = tuple[Any, ...]

PARTS_MAX: Final = 10_000
"""Parts of one expression with its calls replaced by what they call: a few functions that call each other twice each
would else grow without bound."""

DEPTH_MAX: Final = 200
"""The same for how deep expressions are nested: whoever walks them does so by recursion."""


def _regex(pattern: str) -> Any:
    # Here, because the package of the regular expressions is an optional one.
    from broker.rules import regex

    return regex.compile(pattern).search


HOW: Final[dict[str, Callable[[Any], Any]]] = {
    "plain": lambda value: value,
    "double": to_double,
    # NaN is equal to nothing, and a set would find it by its identity.
    "set": lambda values: frozenset(value for value in values if value == value),  # noqa: PLR0124
    "regex": _regex,
}
"""How a constant is kept in the table."""

_ARITHMETIC = {"num.add", "num.sub", "num.mul", "num.div", "num.pow", "num.neg", "num.abs"}


def _how(operator: str, place: int, value: Any) -> str:
    if operator in _ARITHMETIC:
        return "double"
    if operator == "str.matches" and place == 1:
        return "regex"
    if isinstance(value, tuple) and (operator, place) in {("str.in", 1), ("num.in", 1), ("vec.contains", 0)}:
        return "set"
    return "plain"


class _Walk:
    """One expression on its way to its shape."""

    def __init__(
        self,
        variables: Sequence[Variable],
        functions: Mapping[str, Function],
        types: Mapping[str, EventType],
        makers: Callable[[str, tuple[str, ...]], Callable[..., Any]] | None,
    ) -> None:
        self._places = {variable.name: place for place, variable in enumerate(variables)}
        self._variables = variables
        self._functions = functions
        self._types = types
        self._makers = makers
        self._parts = 0
        self._item_of = ""  # the group whose items are being walked
        self.table: list[Any] = []

    def shape(self, expression: Expression, depth: int = 0) -> Shape:
        self._parts += 1
        if self._parts > PARTS_MAX or depth > DEPTH_MAX:
            raise RuleError.at(
                "", f"an expression of more than {PARTS_MAX:,} parts, or nested more than {DEPTH_MAX} deep"
            )
        match expression:
            case Constant(value=value):
                return self._constant(value, "plain")
            case Name(name=name):
                return "event", self._one(name)
            case Member(of=of, name=name):
                return self._member(of, name, depth)
            case Meta(of=of, field=field):
                return self._meta(of, field)
            case Apply(operator=operator, operands=operands):
                return self._apply(operator, operands, depth)
            case Call():
                return self.shape(self._called(expression), depth + 1)
            case Make(type=type_name, members=members):
                return self._make(type_name, members, depth)
            case Aggregate():
                return self._aggregate(expression, depth)

    def _constant(self, value: Any, how: str) -> Shape:
        if value is None:
            return ("none",)
        self.table.append(HOW[how](value))
        return "constant", how

    def _place(self, name: str) -> int:
        if name not in self._places:
            raise RuleError.at("", f"{name!r:.80} is no variable here")
        return self._places[name]

    def _one(self, name: str) -> int:
        place = self._place(name)
        if self._variables[place].kind == "group" and name != self._item_of:
            raise RuleError.at(
                "", f"{name:.80} is a group: only aggregates, such as count({name:.80}), can be asked of it"
            )
        return place

    def _meta(self, name: str, field: str) -> Shape:
        place = self._one(name)
        if self._variables[place].kind == "event":
            raise RuleError.at("", f"{field}({name:.80}): only the event is known here, not what it came with")
        return "meta", place, field

    def _member(self, of: Expression, name: str, depth: int) -> Shape:
        if isinstance(of, Call):
            return self.shape(Member(self._called(of), name), depth + 1)
        if isinstance(of, Make):
            found = dict(of.members)
            if name not in found:
                raise RuleError.at("", f"{of.type:.80} is made without its member {name!r:.80}")
            return self.shape(found[name], depth + 1)
        if isinstance(of, Aggregate):  # of the first or the last event
            return self.shape(attrs.evolve(of, item=Member(of.item, name)), depth + 1)
        if not isinstance(of, Name):
            raise RuleError.at("", f"only events have members, such as {name!r:.80}")
        if not is_member_name(name):
            raise RuleError.at("", f"{name!r:.80} is no name of a member")
        place = self._one(of.name)
        declared = self._types.get(self._variables[place].type)
        member = declared.member(name) if declared is not None else None
        return "member", place, name, member is not None and member.optional

    def _apply(self, operator: str, operands: tuple[Expression, ...], depth: int) -> Shape:
        known = OPERATORS.get(operator)
        least = len(known.operands) - known.variadic if known is not None else 0
        if known is None or len(operands) < least or (len(operands) > len(known.operands) and not known.variadic):
            raise RuleError.at("", f"{operator!r:.80} is no operator of {len(operands)} operands")
        if operator == "str.matches" and not isinstance(operands[1], Constant):
            raise RuleError.at("", "the regular expression of `matches` is no constant")
        return (
            "apply",
            operator,
            tuple(
                self._constant(operand.value, _how(operator, place, operand.value))
                if isinstance(operand, Constant)
                else self.shape(operand, depth + 1)
                for place, operand in enumerate(operands)
            ),
        )

    def _called(self, call: Call) -> Expression:
        """The body of what is called, with the arguments in the place of the parameters."""
        function = self._functions.get(call.function)
        if function is None or len(function.parameters) != len(call.arguments):
            raise RuleError.at("", f"there is no function {call.function!r:.80} of {len(call.arguments)} arguments")
        arguments = {
            parameter.name: argument for parameter, argument in zip(function.parameters, call.arguments, strict=True)
        }
        self._parts += 1
        return substituted(function.body, arguments)

    def _make(self, type_name: str, members: tuple[tuple[str, Expression], ...], depth: int) -> Shape:
        if self._makers is None:
            raise RuleError.at("", "no events are made here")
        self.table.append(self._makers(type_name, tuple(name for name, _ in members)))
        return "make", tuple(self.shape(value, depth + 1) for _, value in members)

    def _aggregate(self, aggregate: Aggregate, depth: int) -> Shape:
        place = self._place(aggregate.group)
        if aggregate.function not in AGGREGATES or self._variables[place].kind != "group":
            raise RuleError.at("", f"{aggregate.function:.80} is no aggregate, or {aggregate.group!r:.80} no group")
        if aggregate.function == "percentile":
            self.table.append(to_double(aggregate.parameter))
        if self._item_of:
            raise RuleError.at("", f"{aggregate.function}: an aggregate inside an aggregate")
        self._item_of = aggregate.group
        item = self.shape(aggregate.item, depth + 1)
        self._item_of = ""
        return "aggregate", aggregate.function, place, item


def shape_of(
    expression: Expression,
    variables: Sequence[Variable],
    functions: Mapping[str, Function] | None = None,
    types: Mapping[str, EventType] | None = None,
    makers: Callable[[str, tuple[str, ...]], Callable[..., Any]] | None = None,
) -> tuple[Shape, list[Any]]:
    """The shape of an expression, and its table.

    ``makers`` is asked for what makes an event of a type from the values of these members.  Raises RuleError for an
    expression that names what is not there (a checked one does not), and for one that is too large.
    """
    walk = _Walk(variables, functions or {}, types or {}, makers)
    return walk.shape(expression), walk.table
