"""Calls: of a program's own predicates and functions, and of those of the language."""

from __future__ import annotations

from collections.abc import Mapping

from broker.rules.language import own_functions, tree
from broker.rules.language.operators import Misfit
from broker.rules.language.problems import suggestion
from broker.rules.language.scope import NOTHING, UNKNOWN, Signature, Value, Variable, in_words
from broker.rules.language.usage import Usage
from broker.rules.model import Call, Constant

__all__ = ["Calls"]


class Calls(Usage):
    """Checks the calls of one place."""

    def call(self, node: tree.Call) -> Value:
        """The value of a call."""
        signature = self.environment.signatures.get(node.name)
        if signature is not None:
            return self._call_declared(node, signature)
        if node.name in own_functions.AGGREGATES and self._is_aggregate(node):
            return self._aggregate(node)
        if node.name in own_functions.META:
            return self._meta(node)
        if node.name in own_functions.PLAIN:
            return self._own(node)
        for argument in node.arguments:
            self.check(argument)
        names = (*self.environment.signatures, *own_functions.NAMES)
        hint = suggestion(node.name, names)
        return self.environment.misfit(node.at, f"there is no predicate or function '{node.name}'{hint}")

    def _call_declared(self, node: tree.Call, signature: Signature) -> Value:
        wanted = signature.parameters
        if len(wanted) != len(node.arguments):
            for argument in node.arguments:
                self.check(argument)
            what = f"'{node.name}' takes {_count(len(wanted), 'event')}, and {len(node.arguments)} are given"
            self.environment.problems.add(node.at, what)
            return Value(signature.result, Constant(None))
        arguments = []
        for argument, (name, parameter) in zip(node.arguments, wanted, strict=True):
            value = self.check(argument, parameter.type)
            self.passed(value, argument, parameter, f"'{name}' of '{node.name}'")
            arguments.append(value.expression)
        return Value(signature.result, Call(node.name, tuple(arguments)))

    # -- the language's own functions ----------------------------------------------------------------------------------

    def _is_aggregate(self, node: tree.Call) -> bool:
        """Whether a call is an aggregate: min and max are also functions of numbers."""
        if node.name not in ("min", "max"):
            return True
        return len(node.arguments) == 1 and bool(_groups_in(node, self.scope.variables))

    def _aggregate(self, node: tree.Call) -> Value:
        environment = self.environment
        if self._aggregated is not None:
            return environment.misfit(node.at, f"an aggregate cannot stand in another one, of '{self._aggregated}'")
        expected = 2 if node.name == "percentile" else 1
        if len(node.arguments) != expected:
            shape = own_functions.AGGREGATES[node.name]
            return environment.misfit(node.at, f"expected {shape}, found {_count(len(node.arguments), 'argument')}")
        groups = _groups_in(node, self.scope.variables)
        if len(groups) != 1:
            found = f"are '{groups[0]}' and '{groups[1]}'" if groups else "is none"
            what = f"an aggregate is of one group, as in {own_functions.AGGREGATES[node.name]}; there {found} in it"
            if not groups and _mentions_unknown(node, self.scope.variables):
                self.check(node.arguments[0])
                return NOTHING
            return environment.misfit(node.at, what)
        group = groups[0]
        self.use.whole.setdefault(group, node.at)
        if self.scope.variables[group].absent:
            return environment.misfit(node.at, f"'{group}' is absent: there is no such event to use")
        self._aggregated = group
        try:
            item = self.check(node.arguments[0])
        finally:
            self._aggregated = None
        parameter = node.arguments[1] if expected == 2 else None
        try:
            return own_functions.aggregate(node.name, group, item, parameter)
        except Misfit as misfit:
            return environment.misfit(node.at, str(misfit))

    def _meta(self, node: tree.Call) -> Value:
        """``time(e)``, ``topic(e)``, ``origin(e)``."""
        argument = node.arguments[0] if len(node.arguments) == 1 else None
        if not isinstance(argument, tree.Name) or argument.name not in self.scope.variables:
            if argument is not None and not isinstance(argument, tree.Name):
                self.check(argument)
            return self.environment.misfit(node.at, f"{node.name}() takes an event that came in, by its name")
        name, variable = argument.name, self.scope.variables[argument.name]
        if variable.type == UNKNOWN or not self._allowed(name, variable, argument.at):
            return Value(own_functions.META[node.name], Constant(None))
        if variable.group and self._aggregated is None:
            if self.scope.place != "clause":
                example = f"last({node.name}({name}))"
                what = f"'{name}' is a group of events: say which is meant, such as {example}"
                return self.environment.misfit(argument.at, what)
            self.use.loose.setdefault(name, argument.at)
        return own_functions.meta(node.name, name)

    def _own(self, node: tree.Call) -> Value:
        arguments = [self.check(argument) for argument in node.arguments]
        for argument, value in zip(node.arguments, arguments, strict=True):
            if value.group:
                found = in_words(value.type, group=True)
                return self.environment.misfit(argument.at, f"{node.name}() does not go with {found}")
        try:
            return own_functions.plain(node.name, arguments)
        except Misfit as misfit:
            return self.environment.misfit(node.at, str(misfit))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _names_in(node: tree.Expression) -> list[str]:
    """The names that an expression mentions, in order, each once."""
    found: dict[str, None] = {}
    for part in tree.walk(node):
        match part:
            case tree.Name(name=name) | tree.MemberOf(variable=name):
                found[name] = None
    return list(found)


def _groups_in(node: tree.Call, variables: Mapping[str, Variable]) -> list[str]:
    return [name for name in _names_in(node) if name in variables and variables[name].group]


def _mentions_unknown(node: tree.Call, variables: Mapping[str, Variable]) -> bool:
    return any(name not in variables or variables[name].type == UNKNOWN for name in _names_in(node))
