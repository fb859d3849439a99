"""A syntax tree to the model: everything that is wrong with its meaning is told, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from broker.errors import TopicError
from broker.rules.language import tree
from broker.rules.language.circles import order
from broker.rules.language.constants import plain
from broker.rules.language.declarations import declare_types, define
from broker.rules.language.elaboration import Elaboration
from broker.rules.language.patterns import Pattern, apply, clauses, modifiers, pattern
from broker.rules.language.problems import Problems, suggestion
from broker.rules.language.scope import UNKNOWN, Find, Scope, Types
from broker.rules.language.usage import Environment
from broker.rules.model import Call, Constant, Expression, Function, Make, Name, Program, Rule, Type
from broker.topics import normalize_topic

__all__ = ["Checked", "check"]


@attrs.frozen
class Checked:
    """A program that makes sense: its tree, its model, and its constants and instances as the model has them."""

    unit: tree.Unit
    program: Program
    constants: Mapping[str, Expression]

    @property
    def values(self) -> dict[str, Any]:
        """What the constants are worth by their names; an instance is a map of its members."""
        return {name: plain(expression) for name, expression in self.constants.items()}


def check(unit: tree.Unit, find: Find | None = None) -> Checked:
    """Check a program and lower it to the model.

    ``find`` tells the event types that are known besides the program's own: a mapping, or a function from a name to the
    type or None.  Raises RuleError with all that is wrong.
    """
    problems = Problems(unit.text, unit.file)
    environment = Environment(Types(find), problems)
    declare_types(unit, environment)
    functions = define(unit, environment)
    declared: dict[str, tree.RuleDecl] = {}
    rules = []
    for declaration in unit.declarations:
        if not isinstance(declaration, tree.RuleDecl):
            continue
        former = declared.setdefault(declaration.name.name, declaration)
        if former is not declaration:
            what = f"the rule '{former.name.name}' is declared already, in line {former.at.line}"
            problems.add(declaration.name.at, what)
        rules.append(_rule(declaration, environment))
    if not problems:
        _refuse_chains(rules, functions, declared, environment)
    problems.check()
    constants = {name: value.expression for name, value in environment.constants.items()}
    return Checked(unit, Program(environment.types.used(), functions, tuple(rules)), constants)


# -- one rule ----------------------------------------------------------------------------------------------------------


def _rule(declaration: tree.RuleDecl, environment: Environment) -> Rule:
    found = pattern(declaration, environment)
    asked = clauses(declaration, found, environment)
    modified = modifiers(declaration, found, environment)
    made = _made(declaration.result, found, environment)
    topic = _topic(declaration.result.topic, found, environment)
    actions = tuple(word.name for word in declaration.result.actions)
    for place, word in enumerate(declaration.result.actions):
        if word.name in actions[:place]:
            environment.problems.add(word.at, f"the action '{word.name}' stands here twice")
    for expression in (*(clause.expression for clause in asked), made, *([topic] if topic else [])):
        if problem := environment.sizes.problem(expression):
            environment.problems.add(declaration.name.at, f"the rule '{declaration.name.name}' {problem}")
    return Rule(
        name=declaration.name.name,
        steps=found.steps,
        clauses=asked,
        make=made,
        per=modified.per,
        within_ns=modified.within_ns,
        window=modified.window,
        select=modified.select,
        consume=modified.consume,
        limit=modified.limit,
        listens=modified.listens,
        topic=topic,
        actions=actions,
    )


def _made(result: tree.Result, found: Pattern, environment: Environment) -> Expression:
    word = result.function
    signature = environment.signatures.get(word.name)
    if signature is None:
        names = [name for name, known in environment.signatures.items() if known.kind == "function"]
        hint = suggestion(word.name, names)
        environment.problems.add(word.at, f"there is no function '{word.name}'{hint}")
        return Constant(None)
    if signature.kind == "predicate":
        environment.problems.add(word.at, f"'{word.name}' is a predicate: expected a function, which makes an event")
        return Constant(None)
    checks = Elaboration(environment, Scope("result", found.variables))
    if result.arguments is None:
        apply(tree.Name(word.name, word.at), found, checks)
        return Call(word.name, tuple(Name(name) for name in found.positive))
    return checks.check(tree.Call(word.name, result.arguments, word.at)).expression


def _topic(node: tree.Expression | None, found: Pattern, environment: Environment) -> Expression | None:
    if node is None:
        return None
    checks = Elaboration(environment, Scope("result", found.variables))
    topic = checks.typed(node, "string", "a topic").expression
    if isinstance(topic, Constant) and isinstance(topic.value, str):
        try:
            return Constant(normalize_topic(topic.value))
        except TopicError as error:
            environment.problems.add(node.at, str(error))
    return topic


# -- chains ------------------------------------------------------------------------------------------------------------


def _refuse_chains(
    rules: list[Rule], functions: tuple[Function, ...], declared: dict[str, tree.RuleDecl], environment: Environment
) -> None:
    """Tell rules that see, alone or over others, what they make themselves."""
    by_name = {function.name: function for function in functions}
    extended = _extended(environment.types)
    # From a rule to the types that it makes, from a type to the rules that see it: a type's key begins with a space.
    uses: dict[str, list[str]] = {}
    for rule in rules:
        uses[rule.name] = [f" {kind}" for kind in _made_types(rule.make, by_name, environment.types, extended)]
        for kind in dict.fromkeys(step.type for step in rule.steps):
            uses.setdefault(f" {kind}", []).append(rule.name)
    for circle in order(uses)[1]:
        found = [name for name in circle if not name.startswith(" ")]
        if found[0] != found[-1] or len(found) == 1:
            found.append(found[0])  # The circle was entered at a type.
        chain = " -> ".join(found)
        if len(found) == 2:
            what = f"the rule '{found[0]}' sees the events that it makes, and would go on for ever: {chain}"
        else:
            what = f"these rules see each other's events, and would go on for ever: {chain}"
        environment.problems.add(declared[found[0]].name.at, what)


def _extended(types: Types) -> dict[Type, list[Type]]:
    """Of each type all that extend it."""
    found: dict[Type, list[Type]] = {}
    for kind in types.used():
        for ancestor in types.lineage(kind.name):
            found.setdefault(ancestor, []).append(kind.name)
    return found


def _made_types(
    expression: Expression | None,
    functions: Mapping[str, Function],
    types: Types,
    extended: Mapping[Type, list[Type]],
) -> list[Type]:
    """The types as which the events that an expression makes are seen: its own, and what that extends.

    An event that is handed on may also be of a type that extends its variable's.
    """
    exact = True
    kind: Type = UNKNOWN
    while isinstance(expression, Call):
        function = functions[expression.function]
        expression, kind = function.body, function.result
        for parameter in function.parameters:
            if isinstance(expression, Name) and expression.name == parameter.name:
                kind = parameter.type
    if isinstance(expression, Make):
        kind = expression.type
    elif expression is not None:
        exact = False
    lineage = types.lineage(kind)
    return list(dict.fromkeys((*lineage, *([] if exact else extended.get(kind, ())))))
