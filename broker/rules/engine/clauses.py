"""What clauses are about: which variables they mention, and how; equality conditions that an index can find.

A clause that is a conjunction, also inside a predicate that it calls, is as many clauses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from broker.rules.model import (
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
    Program,
    Rule,
    children,
    walk,
)
from broker.rules.model.substitution import renamed

__all__ = ["Condition", "best_equality", "conditions", "equality", "made_type", "mentions", "part_of"]

CONDITIONS_MAX: Final = 256
"""Conjuncts of a rule: what has more is left whole from there on."""

_Keys = tuple[str, tuple[object, ...]]


@attrs.frozen
class Condition:
    """One conjunct of a rule's clauses: the variables that it mentions outside of aggregates, and groups inside."""

    expression: Expression
    outside: frozenset[str]
    inside: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """All variables that it mentions."""
        return self.outside | self.inside


def conditions(rule: Rule, functions: Mapping[str, Function]) -> list[Condition]:
    """The conjuncts of a rule's clauses, in their order."""
    found: list[Expression] = []
    for clause in rule.clauses:
        found.extend(_conjuncts(clause.expression, functions, CONDITIONS_MAX - len(found)))
    cache: dict[str, dict[str, tuple[bool, bool]]] = {}
    result = []
    for expression in found:
        outside, inside = mentions(expression, functions, cache)
        result.append(Condition(expression, frozenset(outside), frozenset(inside)))
    return result


def _conjuncts(expression: Expression, functions: Mapping[str, Function], at_most: int) -> list[Expression]:
    waiting: list[Expression] = [expression]
    found: list[Expression] = []
    while waiting:
        part = waiting.pop()
        match part:
            case Apply(operator="bool.and", operands=operands) if len(waiting) + len(found) < at_most:
                waiting.extend(reversed(operands))
            case Call(function=name, arguments=arguments) if len(waiting) + len(found) < at_most:
                function = functions[name]
                if _is_conjunction(function.body) and all(isinstance(argument, Name) for argument in arguments):
                    parameters = (parameter.name for parameter in function.parameters)
                    names = (argument.name for argument in arguments if isinstance(argument, Name))
                    waiting.append(renamed(function.body, dict(zip(parameters, names, strict=True))))
                else:
                    found.append(part)
            case _:
                found.append(part)
    return found


def _is_conjunction(body: Expression) -> bool:
    """Whether something is gained by looking into a predicate: what it is made of, or one equality."""
    return isinstance(body, Call) or (isinstance(body, Apply) and (body.operator == "bool.and" or _is_equality(body)))


# --- mentions ----------------------------------------------------------------------------------------------------


def mentions(
    expression: Expression,
    functions: Mapping[str, Function],
    cache: dict[str, dict[str, tuple[bool, bool]]] | None = None,
) -> tuple[set[str], set[str]]:
    """The variables that an expression mentions outside of aggregates, and the groups that it aggregates.

    ``cache`` keeps what was found of functions, from one call to the next.
    """
    cache = {} if cache is None else cache
    outside: set[str] = set()
    inside: set[str] = set()
    match expression:
        case Name(name=name) | Meta(of=name):
            outside.add(name)
        case Aggregate(group=group, item=item):
            inside.add(group)
            names, groups = mentions(item, functions, cache)
            outside |= names - {group}
            inside |= groups
        case Call(function=called, arguments=arguments):
            for (out, within), argument in zip(_uses(called, functions, cache), arguments, strict=True):
                names, groups = mentions(argument, functions, cache)
                outside |= names if out or not within else set()
                inside |= groups | (names if within else set())
        case _:
            for part in children(expression):
                names, groups = mentions(part, functions, cache)
                outside |= names
                inside |= groups
    return outside, inside


def _uses(
    name: str, functions: Mapping[str, Function], cache: dict[str, dict[str, tuple[bool, bool]]]
) -> Iterator[tuple[bool, bool]]:
    """Of each parameter of a function: whether it stands outside of aggregates, and whether inside of one."""
    function = functions[name]
    uses = cache.get(name)
    if uses is None:
        outside, inside = mentions(function.body, functions, cache)
        uses = cache[name] = {
            parameter.name: (parameter.name in outside, parameter.name in inside) for parameter in function.parameters
        }
    return iter(uses.values())


def part_of(rule: Rule, functions: Mapping[str, Function], types: Mapping[str, EventType]) -> Program:
    """A program of one rule with what it can reach: this is what a rule's identity is made of."""
    expressions = [clause.expression for clause in rule.clauses]
    expressions += [expression for expression in (rule.make, rule.topic) if expression is not None]
    reached: dict[str, Function] = {}
    named = [step.type for step in rule.steps]
    while expressions:
        for part in walk(expressions.pop()):
            if isinstance(part, Call) and part.function not in reached:
                function = reached[part.function] = functions[part.function]
                named += [function.result, *(parameter.type for parameter in function.parameters)]
                expressions.append(function.body)
            elif isinstance(part, Make):
                named.append(part.type)
    found: dict[str, EventType] = {}
    while named:
        type_ = types.get(named.pop())
        if type_ is not None and type_.name not in found:
            found[type_.name] = type_
            named += [type_.parent] if type_.parent is not None else []
    return Program(
        tuple(found[name] for name in sorted(found)), tuple(reached[name] for name in sorted(reached)), (rule,)
    )


def made_type(rule: Rule, functions: Mapping[str, Function]) -> str | None:
    """The type of what a rule makes, or of what extends it."""
    match rule.make:
        case Make(type=type_):
            return type_
        case Call(function=name):
            return functions[name].result
        case Name(name=name):
            return next((step.type for step in rule.steps if step.name == name), None)
        case _:
            return None


# --- equality ----------------------------------------------------------------------------------------------------

# Members of these types are hashable, and equal by `==` exactly if the operator says so.
_EQUAL = frozenset({"num.eq", "str.eq", "addr.eq", "dur.eq", "bool.eq"})
_IN = frozenset({"str.in"})


def _is_equality(expression: Apply) -> bool:
    return expression.operator in _EQUAL or expression.operator in _IN


def best_equality(expressions: Sequence[Expression], name: str) -> tuple[int, _Keys] | None:
    """The condition by which a step is best found, and its place: one on a boolean is the last choice."""
    found: tuple[int, _Keys] | None = None
    for place, expression in enumerate(expressions):
        keys = equality(expression, name)
        if keys is not None and (found is None or isinstance(found[1][1][0], bool) > isinstance(keys[1][0], bool)):
            found = place, keys
    return found


def equality(expression: Expression, name: str) -> _Keys | None:
    """The member of a variable and the constants of which it has to equal one, if an expression says just that."""
    match expression:
        case Apply(operator=operator, operands=(Member(of=Name(name=of), name=member), Constant(value=value))) if (
            of == name
        ):
            if operator in _EQUAL and value == value:  # noqa: PLR0124 - NaN equals nothing
                return member, (value,)
            if operator in _IN and isinstance(value, tuple) and value:
                return member, tuple(dict.fromkeys(value))
        case Apply(operator=operator, operands=(Constant() as constant, Member() as of)) if operator in _EQUAL:
            return equality(Apply(operator, (of, constant)), name)
        case _:
            pass
    return None
