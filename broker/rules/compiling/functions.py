"""Compiled expressions: the function of an expression, made once per shape.

The source of a shape is compiled when it is first wanted and kept (:data:`SHAPES_MAX`); an expression of a shape that
is there costs a walk and a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs
import msgspec

from broker.errors import RuleError
from broker.events import Event
from broker.rules.compiling.classes import EventClasses, Misfit, members_of
from broker.rules.compiling.python import Source, expression_source, predicate_source, sweep_source
from broker.rules.compiling.shapes import Shape, shape_of
from broker.rules.event_types import event_type
from broker.rules.interpreter import EvaluationFailed, One, Variable, bind, evaluate
from broker.rules.model import Expression, Member, Program, Where, walk
from broker.rules.model.checking import check_where
from broker.rules.operations import AGGREGATES, OPERATIONS, between_ns
from broker.values import Timestamp

__all__ = ["SHAPES_MAX", "compile_expression", "compile_filter", "compile_sweep", "compile_where", "source_of"]

SHAPES_MAX: Final = 4_096
"""Compiled shapes that are kept: peers can send any number of them, programs hold on to those they use themselves."""

_EVENT: Final = (Variable("event", kind="event"),)
_SOURCE: Final = "__source__"


def _helper(name: str) -> Callable[..., Any]:
    kind, _, rest = name.partition(".")
    return AGGREGATES[rest] if kind == "aggregate" else OPERATIONS[name]


_FURTHER: Final = {
    "abs": abs,
    "enumerate": enumerate,
    "len": len,
    "timestamp": Timestamp.from_ns,
    "between_ns": between_ns,
}


def _built(source: Source) -> Any:
    """What the source says, with nothing in reach but what it names."""
    names: dict[str, Any] = {"__builtins__": {"Exception": Exception}, _SOURCE: source.text}
    for helper in source.helpers:
        names[helper.replace(".", "_")] = _FURTHER[helper] if helper in _FURTHER else _helper(helper)
    # The text is made of shapes, in which there is nothing from outside but checked names of members.
    exec(compile(source.text, "<broker rule>", "exec"), names)  # noqa: S102
    return names["bind"]


@lru_cache(maxsize=SHAPES_MAX)
def _expression_of(shape: Shape, passed: tuple[str, ...]) -> Any:
    return _built(expression_source(shape, passed))


@lru_cache(maxsize=SHAPES_MAX)
def _predicate_of(shape: Shape) -> Any:
    return _built(predicate_source(shape))


@lru_cache(maxsize=SHAPES_MAX)
def _sweep_of(shape: Shape, passed: str) -> Any:
    return _built(sweep_source(shape, passed))


def source_of(function: Callable[..., Any]) -> str:
    """The source of a compiled function, in which the constants are ``k0``, ``k1``, ..."""
    return str(getattr(function, "__globals__", {}).get(_SOURCE, ""))


def _shape(
    program: Program, expression: Expression, variables: tuple[Variable, ...], classes: EventClasses | None
) -> tuple[Shape, list[Any]]:
    return shape_of(
        expression,
        variables,
        {function.name: function for function in program.functions},
        {event_type.name: event_type for event_type in program.types},
        classes.maker if classes is not None else None,
    )


def compile_sweep(
    program: Program, expression: Expression, variable: Variable, classes: EventClasses | None = None
) -> Callable[[Sequence[Any]], list[int]]:
    """The places of those, among many events, for which a condition holds.

    The function raises an exception of any kind where one of them has to be asked by itself, by what
    :func:`compile_expression` gives, which tells what is wrong with it.
    """
    shape, table = _shape(program, expression, (variable,), classes)
    sweep: Callable[[Sequence[Any]], list[int]] = _sweep_of(shape, variable.kind)(table, None)
    return sweep


def compile_expression(
    program: Program,
    expression: Expression,
    variables: tuple[Variable, ...],
    classes: EventClasses | None = None,
) -> Callable[..., Any]:
    """The function of an expression, of the variables in their order.

    ``classes`` makes the events that the expression makes; without them, it may make none.  Raises RuleError for an
    expression that names what is not there (:func:`broker.rules.model.checking.check` tells of all that is wrong);
    the function raises EvaluationFailed, and nothing else, where the expression has no value.
    """
    shape, table = _shape(program, expression, variables, classes)

    def again(*values: Any) -> Any:
        make = (classes.make,) if classes is not None else ()
        return evaluate(program, expression, bind(variables, values), *make)

    function: Callable[..., Any] = _expression_of(shape, tuple(each.kind for each in variables))(table, again)
    return function


def _compiled_where(where: Where, cls: type | None) -> tuple[Callable[[Any], bool], Callable[[Any], list[Any]]]:
    problems = check_where(where)
    if problems:
        raise RuleError(problems)
    if cls is not None:
        _check_members(where, cls)
    variable = attrs.evolve(_EVENT[0], type=where.type.name)
    shape, table = shape_of(where.expression, (variable,), types={where.type.name: where.type})
    program = Program()

    def again(event: Any) -> bool:
        try:
            return evaluate(program, where.expression, {"event": One(event)}) is True
        except EvaluationFailed:
            return False

    found: tuple[Callable[[Any], bool], Callable[[Any], list[Any]]] = _predicate_of(shape)(table, again)
    return found


def _check_members(where: Where, cls: type) -> None:
    """Members are fields of the class, of the types that the predicate takes them for; nothing else of it is called."""
    fields = members_of(cls)
    here = event_type(cls) if fields and not issubclass(cls, msgspec.Struct) else where.type
    for part in walk(where.expression):
        if isinstance(part, Member):
            there, found = where.type.member(part.name), here.member(part.name)
            if part.name not in fields or there is None or found is None:
                raise RuleError.at("", f"{cls.__qualname__} has no member {part.name!r:.80}")
            if there.type != found.type:
                raise RuleError.at("", f"{cls.__qualname__}.{part.name}: expected {there.type}, it is {found.type}")


def compile_where(where: Where, cls: type | None = None) -> Callable[[Any], bool]:
    """The predicate as a function of an event, which says True or False and never raises.

    ``cls`` is the class of the events: only its fields can be asked for (without it, any attribute whose name does not
    begin with two underscores).  It may be :class:`broker.Event`: the predicate then takes events of that kind whose
    name is the type's and whose arguments fit it, others are False.

    Raises RuleError for a predicate that makes no sense, or takes a member for what it is not in ``cls``: one from a
    peer can be given as ``from_data`` has read it.
    """
    if cls is Event:
        predicate, _ = _compiled_where(where, None)
        accept = EventClasses(Program((attrs.evolve(where.type, parent=None, known=False),))).accept
        name = where.type.name

        def of_unknown(event: Any) -> bool:
            if event.__class__ is not Event or event.name != name:
                return False
            found = accept(event)
            return found.__class__ is not Misfit and predicate(found)

        return of_unknown
    return _compiled_where(where, cls)[0]


def compile_filter(where: Where, cls: type | None = None) -> Callable[[Sequence[Any]], list[Any]]:
    """The same for many events at once: those for which the predicate holds, in their order."""
    if cls is Event:
        predicate = compile_where(where, cls)
        return lambda events: [event for event in events if predicate(event)]
    return _compiled_where(where, cls)[1]
