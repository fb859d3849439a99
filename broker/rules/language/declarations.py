"""What a program declares before its rules: event types, predicates, functions, constants and instances.

Declarations may stand in any order.  Types come first; what is defined by expressions is checked in the order of its
uses, so that a constant is known where it is used; what is defined by itself is told as a circle.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from broker.rules.interpreter import EvaluationFailed
from broker.rules.language import tree
from broker.rules.language.circles import order
from broker.rules.language.constants import evaluated
from broker.rules.language.elaboration import Elaboration
from broker.rules.language.problems import suggestion
from broker.rules.language.scope import NOTHING, UNKNOWN, Known, Scope, Signature, Value, Variable, in_words
from broker.rules.language.usage import Environment
from broker.rules.model import EventType, Function, MemberType, Parameter, Type
from broker.rules.model.types import PLAIN

__all__ = ["declare_types", "define"]

LINEAGE_MAX: Final = 100
"""Types that extend each other, one over the other: each has the members of all before it."""

Defined: TypeAlias = tree.PredicateDecl | tree.FunctionDecl | tree.Assignment | tree.EventDecl


# -- event types -------------------------------------------------------------------------------------------------------


def declare_types(unit: tree.Unit, environment: Environment) -> None:
    """Make the event types of a program known, with what they inherit."""
    declarations: dict[str, tree.EventDecl] = {}
    instances: list[tree.EventDecl] = []
    for declaration in unit.declarations:
        if not isinstance(declaration, tree.EventDecl):
            continue
        if declaration.instance is not None:
            instances.append(declaration)
            continue
        _refuse_values(declaration, environment)
        former = declarations.setdefault(declaration.name.name, declaration)
        if former is not declaration:
            what = f"the event '{former.name.name}' is declared already, in line {former.at.line}"
            environment.problems.add(declaration.name.at, what)
    for declaration in instances:
        # The first instance of a type that is declared nowhere declares it, as a calculator would have it.
        if environment.types.outside(declaration.name.name) is None:
            declarations.setdefault(declaration.name.name, declaration)
    parents = {
        name: (declaration.parent.name,) if declaration.parent else () for name, declaration in declarations.items()
    }
    ordered, circles = order(parents)
    for circle in circles:
        at = declarations[circle[0]].name.at
        environment.problems.add(at, f"an event cannot extend itself: {' -> '.join(circle)}")
    in_circles = {name for circle in circles for name in circle}
    for name in ordered:
        _declare(declarations[name], environment, with_parent=name not in in_circles)


def _refuse_values(declaration: tree.EventDecl, environment: Environment) -> None:
    for member in declaration.members:
        if member.value is not None:
            what = f"'{member.name}' has a value, which only an instance has: name it behind the '}}'"
            environment.problems.add(member.at, what)


def _declare(declaration: tree.EventDecl, environment: Environment, *, with_parent: bool) -> None:
    types, problems = environment.types, environment.problems
    members: dict[str, MemberType] = {}
    parent = None
    if declaration.parent is not None and with_parent:
        parent = types.look_up(declaration.parent, problems)
        if parent is not None and len(types.lineage(parent.name)) >= LINEAGE_MAX:
            what = f"'{parent.name}' has {LINEAGE_MAX - 1} ancestors: nothing can extend it any more"
            problems.add(declaration.parent.at, what)
            parent = None
    for member in parent.members if parent else ():
        members[member.name] = member
    inherited = set(members)
    for member_decl in declaration.members:
        name = member_decl.name
        kind = _member_type(member_decl, environment)
        if name in inherited and parent is not None:
            if declaration.instance is None:
                problems.add(member_decl.at, f"'{name}' is a member of '{parent.name}' already, which is extended")
            continue
        if name in members:
            if declaration.instance is None:
                problems.add(member_decl.at, f"the member '{name}' is declared twice")
            continue
        members[name] = MemberType(name, kind)
    found = EventType(declaration.name.name, tuple(members.values()), parent.name if parent else None)
    types.declared[found.name] = _agreed(found, declaration, environment)


def _member_type(member: tree.MemberDecl, environment: Environment) -> Type:
    if member.type is not None:
        if member.type.name in PLAIN:
            return member.type.name
        hint = suggestion(member.type.name, PLAIN) or f": there are {', '.join(PLAIN)}"
        environment.problems.add(member.type.at, f"'{member.type.name}' is no type of a member{hint}")
        return UNKNOWN
    match member.value:
        case tree.Number():
            return "number"
        case tree.Text():
            return "string"
        case tree.Duration():
            return "duration"
        case tree.Name(name="true" | "false"):
            return "boolean"
        case _:
            return "vector"


def _agreed(found: EventType, declaration: tree.EventDecl, environment: Environment) -> EventType:
    """The type, or the class's that has its name, if both say the same."""
    outside = environment.types.outside(found.name)
    if outside is None:
        return found
    declared = [(member.name, member.type) for member in found.members]
    known = [(member.name, member.type) for member in outside.members]
    if declared != known:
        shown = ", ".join(f"{name}: {kind}" for name, kind in known)
        what = f"there is an event class '{found.name}' with other members: {shown}; leave this declaration out"
        environment.problems.add(declaration.name.at, what)
    return EventType(found.name, outside.members, found.parent or outside.parent, outside.known)


# -- predicates, functions, constants ----------------------------------------------------------------------------------


def define(unit: tree.Unit, environment: Environment) -> tuple[Function, ...]:
    """Check what a program defines by expressions, and make its constants known; the functions in the text's order."""
    defined = _names(unit, environment)
    for name, declaration in defined.items():
        if isinstance(declaration, tree.PredicateDecl | tree.FunctionDecl):
            environment.signatures[name] = _signature(declaration, environment)
    uses = {name: _uses(declaration, defined) for name, declaration in defined.items()}
    ordered, circles = order(uses)
    for circle in circles:
        at = _name_of(defined[circle[0]]).at
        environment.problems.add(at, f"'{circle[0]}' is defined by itself: {' -> '.join(circle)}")
    for circle in circles:
        for name in circle:
            if name not in environment.signatures:
                environment.constants[name] = NOTHING
    sizes = environment.sizes
    functions: dict[str, Function] = {}
    for name in ordered:
        declaration = defined[name]
        at = _name_of(declaration).at
        if isinstance(declaration, tree.PredicateDecl | tree.FunctionDecl):
            functions[name] = _function(declaration, environment)
            problem = sizes.add(name, functions[name].body)
        else:
            environment.constants[name] = NOTHING
            value = _constant(declaration, environment)
            problem = sizes.problem(value.expression)
            # With mistakes in what it uses, a constant cannot be calculated.
            if not problem and not environment.problems:
                environment.constants[name], problem = _calculated(value, functions)
            elif not problem:
                environment.constants[name] = value
        if problem:
            environment.problems.add(at, f"'{name}' {problem}")
    return tuple(functions[name] for name in defined if name in functions)


def _names(unit: tree.Unit, environment: Environment) -> dict[str, Defined]:
    known: dict[str, Known] = {}
    defined: dict[str, Defined] = {}
    for declaration in unit.declarations:
        if isinstance(declaration, tree.RuleDecl):
            continue
        if isinstance(declaration, tree.EventDecl) and declaration.instance is None:
            continue
        word = _name_of(declaration)
        former = known.get(word.name)
        if former is not None:
            what = f"the name '{word.name}' is {former.kind}'s already, declared in line {former.at.line}"
            environment.problems.add(word.at, what)
            continue
        known[word.name] = Known(_KINDS[type(declaration)], word.at)
        defined[word.name] = declaration
    return defined


_KINDS: Final[dict[type, str]] = {
    tree.PredicateDecl: "a predicate",
    tree.FunctionDecl: "a function",
    tree.Assignment: "a constant",
    tree.EventDecl: "an instance",
}


def _name_of(declaration: Defined) -> tree.Word:
    if isinstance(declaration, tree.EventDecl):
        assert declaration.instance is not None
        return declaration.instance
    return declaration.name


def _signature(declaration: tree.PredicateDecl | tree.FunctionDecl, environment: Environment) -> Signature:
    parameters: dict[str, Variable] = {}
    for parameter in declaration.parameters:
        found = environment.types.look_up(parameter.type, environment.problems)
        name = parameter.name.name
        if name in parameters:
            environment.problems.add(parameter.name.at, f"two parameters are named '{name}'")
            name = f"{name} {len(parameters)}"  # No name of a program: it only keeps the place.
        parameters[name] = Variable(found.name if found else UNKNOWN, parameter.group)
    if isinstance(declaration, tree.PredicateDecl):
        if not parameters:
            what = f"the predicate '{declaration.name.name}' has no parameters: it has to ask something of an event"
            environment.problems.add(declaration.name.at, what)
        result = "boolean"
    else:
        makes = environment.types.look_up(declaration.makes, environment.problems)
        result = makes.name if makes else UNKNOWN
    return Signature(declaration.name.name, tuple(parameters.items()), result)


def _uses(declaration: Defined, defined: dict[str, Defined]) -> list[str]:
    """The defined names that a definition mentions, in order, each once."""
    if isinstance(declaration, tree.EventDecl):
        bodies = [member.value for member in declaration.members if member.value is not None]
        own: set[str] = set()
    elif isinstance(declaration, tree.Assignment):
        bodies, own = [declaration.value], set()
    else:
        bodies, own = [declaration.body], {parameter.name.name for parameter in declaration.parameters}
    found: dict[str, None] = {}
    for body in bodies:
        for part in tree.walk(body):
            match part:
                case tree.Call(name=name) if isinstance(defined.get(name), tree.PredicateDecl | tree.FunctionDecl):
                    found[name] = None
                case tree.Name(name=name) | tree.MemberOf(variable=name) if name not in own and isinstance(
                    defined.get(name), tree.Assignment | tree.EventDecl
                ):
                    found[name] = None
    return list(found)


def _function(declaration: tree.PredicateDecl | tree.FunctionDecl, environment: Environment) -> Function:
    signature = environment.signatures[declaration.name.name]
    checks = Elaboration(environment, Scope("body", dict(signature.parameters)))
    if isinstance(declaration, tree.PredicateDecl):
        body = checks.boolean(declaration.body, f"the predicate '{signature.name}'")
    else:
        what = f"the function '{signature.name}'"
        body = checks.check(declaration.body, signature.result)
        if UNKNOWN not in (signature.result, body.type):
            checks.passed(body, declaration.body, Variable(signature.result), what)
    parameters = tuple(Parameter(name, variable.type, variable.group) for name, variable in signature.parameters)
    return Function(signature.name, parameters, signature.result, body.expression)


def _calculated(value: Value, functions: dict[str, Function]) -> tuple[Value, str]:
    try:
        return evaluated(value, functions.values()), ""
    except EvaluationFailed as error:
        return NOTHING, f"has no value: {error}"


def _constant(declaration: tree.Assignment | tree.EventDecl, environment: Environment) -> Value:
    checks = Elaboration(environment, Scope("constant"))
    if isinstance(declaration, tree.Assignment):
        return checks.check(declaration.value)
    return _instance(declaration, checks)


def _instance(declaration: tree.EventDecl, checks: Elaboration) -> Value:
    environment = checks.environment
    kind = environment.types.look_up(declaration.name, environment.problems)
    given = []
    for member in declaration.members:
        if member.value is None:
            what = f"the instance's member '{member.name}' has no value: write {member.name} = ..."
            environment.problems.add(member.at, what)
            continue
        given.append(tree.Given(member.name, member.value, member.at))
        declared = kind.member(member.name) if kind else None
        if member.type is not None and declared is not None and member.type.name != declared.type:
            what = f"the member '{member.name}' of '{declaration.name.name}' is {in_words(declared.type)}"
            environment.problems.add(member.type.at, what)
    if kind is None or len(given) < len(declaration.members):
        return NOTHING
    if declaration.parent is not None and kind.parent != declaration.parent.name:
        what = f"'{kind.name}' is declared elsewhere, and does not extend '{declaration.parent.name}'"
        environment.problems.add(declaration.parent.at, what)
    return checks.made(kind, declaration.name.at, tuple(given))
