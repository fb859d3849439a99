"""Variables of expressions: how they are used, and others in their place: a call becomes what it calls."""

from __future__ import annotations

from collections.abc import Mapping

from broker.errors import RuleError
from broker.rules.model.expressions import Aggregate, Apply, Call, Expression, Make, Member, Meta, Name, children
from broker.rules.model.rules import Function

__all__ = ["renamed", "substituted", "uses"]


def substituted(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """The expression with these in the place of its variables.

    Raises RuleError for a variable that has none, and where only a variable can stand (``time(a)``, a group) and
    another expression would.
    """

    def inside(part: Expression) -> Expression:
        return substituted(part, values)

    def variable(name: str) -> str:
        value = values.get(name)
        if not isinstance(value, Name):
            raise RuleError.at("", f"{name!r:.80} is no event of the pattern")
        return value.name

    match expression:
        case Name(name=name):
            if name not in values:
                raise RuleError.at("", f"there is no variable {name!r:.80}")
            return values[name]
        case Member(of=of, name=name):
            return Member(inside(of), name)
        case Meta(of=of, field=field):
            return Meta(variable(of), field)
        case Apply(operator=operator, operands=operands):
            return Apply(operator, tuple(map(inside, operands)))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(map(inside, arguments)))
        case Make(type=type_name, members=members):
            return Make(type_name, tuple((name, inside(value)) for name, value in members))
        case Aggregate(function=function, group=group, item=item, parameter=parameter):
            return Aggregate(function, variable(group), inside(item), parameter)
        case _:
            return expression


def uses(expression: Expression, functions: Mapping[str, Function]) -> tuple[set[str], set[str]]:
    """The variables that are asked for as groups, and those that are asked for as single events."""
    whole: set[str] = set()
    single: set[str] = set()

    def look(part: Expression) -> None:
        match part:
            case Aggregate(group=group):
                whole.add(group)
            case Name(name=name) | Meta(of=name):
                single.add(name)
            case Call(function=name, arguments=arguments):
                function = functions.get(name)
                parameters = function.parameters if function is not None else ()
                for number, argument in enumerate(arguments):
                    if isinstance(argument, Name) and number < len(parameters) and parameters[number].group:
                        whole.add(argument.name)
                    else:
                        look(argument)
            case _:
                for child in children(part):
                    look(child)

    look(expression)
    return whole, single


def renamed(expression: Expression, names: Mapping[str, str]) -> Expression:
    """The expression with other names of its variables."""
    return substituted(expression, {name: Name(other) for name, other in names.items()})
