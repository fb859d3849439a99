"""From a shape to the source of a Python function.

Source is made of variables (``v0``, ``t1``), of the table's places (``k2``), of functions of
:mod:`broker.rules.operations`, and of members' names that were checked to be names: never of a value.  What Python's
own operators mean just as :mod:`broker.rules.operations` says is written in line; for an operand that is None they
raise, and then, as for every other error, ``again`` is asked: the interpreter.  Members that are declared as optional
are asked for None in line, so that they do not take that slow way; and so are operands of ``==`` and ``!=``, which do
not raise.

Expressions that would be nested too deep for Python's parser are cut by local variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import attrs

from broker.rules.compiling.shapes import Shape
from broker.rules.model import OPERATORS

__all__ = ["Source", "expression_source", "predicate_source", "sweep_source"]

LEVELS_MAX: Final = 30
"""Brackets inside brackets in one Python expression; its parser takes 200."""

_ARITHMETIC: Final = {"num.add": "+", "num.sub": "-", "num.mul": "*"}
_COMPARISONS: Final = (
    {f"{kind}.eq": "==" for kind in ("num", "str", "addr", "ts", "dur", "bool")}
    | {f"{kind}.ne": "!=" for kind in ("num", "str", "addr", "ts", "dur", "bool")}
    | {
        f"{kind}.{name}": sign
        for kind in ("num", "str", "ts", "dur")
        for name, sign in {"lt": "<", "gt": ">", "le": "<=", "ge": ">="}.items()
    }
)


class Code(NamedTuple):
    """An expression in Python.

    ``level``: how deep its brackets are nested.  ``double``: it is a float, if it is not None.  ``maybe_none``: it can
    be None.  ``guards``: conditions to be asked before it; where one does not hold, it stands for None.
    """

    text: str
    level: int = 0
    double: bool = False
    maybe_none: bool = False
    guards: tuple[str, ...] = ()


class Source(NamedTuple):
    """The text of ``bind(k, again)``, which makes the function (or functions) of a table, and the names it uses.

    ``helpers`` are operators, ``aggregate.`` and an aggregate, and the further functions of ``functions``; their names
    in the text have an underscore for the dot.
    """

    text: str
    helpers: frozenset[str]


@attrs.define
class _Shared:
    """What the functions of one source have in common: numbers for names, and what they call."""

    constants: int = 0
    locals: int = 0
    helpers: set[str] = attrs.field(factory=set)
    sets: set[str] = attrs.field(factory=set)

    def constant(self, how: str = "plain") -> str:
        name = f"k{self.constants}"
        self.constants += 1
        if how == "set":
            self.sets.add(name)
        return name

    def local(self) -> str:
        self.locals += 1
        return f"t{self.locals - 1}"

    def helper(self, name: str) -> str:
        self.helpers.add(name)
        return name.replace(".", "_")


def _level(*codes: Code) -> int:
    return 1 + max((code.level for code in codes), default=0)


def _guards(*codes: Code) -> tuple[str, ...]:
    return tuple(guard for code in codes for guard in code.guards)


class _Writer:
    """Writes the expression of one function, and the statements before it."""

    def __init__(self, shared: _Shared, passed: Sequence[str]) -> None:
        self._shared = shared
        self._passed = passed
        self._entries = [f"v{place}" for place in range(len(passed))]
        self._events = [f"v{place}.event" if how == "seen" else f"v{place}" for place, how in enumerate(passed)]
        self.statements: list[str] = []

    def settled(self, code: Code) -> Code:
        """The same without guards, and not too deep to stand inside others."""
        if code.guards:
            text = f"({code.text} if {' and '.join(code.guards)} else None)"
            code = Code(text, code.level + 1, code.double, maybe_none=True)
        if code.level < LEVELS_MAX:
            return code
        name = self._shared.local()
        self.statements.append(f"{name} = {code.text}")
        return code._replace(text=name, level=0)

    def _cut(self, code: Code) -> Code:
        return code if code.level < LEVELS_MAX else self.settled(code)

    def _named(self, code: Code) -> tuple[str, Code]:
        """What gives an operand a name, and the operand by that name, so that it can be mentioned twice."""
        if code.text.isidentifier():
            return code.text, code
        name = self._shared.local()
        return f"({name} := {code.text})", code._replace(text=name, level=0)

    def _condition(self, test: str, *operands: Code) -> Code:
        """A comparison: false where a guard of an operand does not hold."""
        return Code(f"({' and '.join([*_guards(*operands), test])})", _level(*operands))

    def _call(self, helper: str, *operands: Code, double: bool = False) -> Code:
        operands = tuple(map(self.settled, operands))
        text = f"{self._shared.helper(helper)}({', '.join(operand.text for operand in operands)})"
        return Code(text, _level(*operands), double, maybe_none=True)

    # -- what each shape is ------------------------------------------------------------------------------------------

    def value(self, shape: Shape) -> Code:
        """The value of an expression."""
        match shape:
            case ("none",):
                return Code("None", maybe_none=True)
            case ("constant", how):
                return Code(self._shared.constant(how), double=how == "double")
            case ("event", place):
                return Code(self._events[place])
            case ("member", place, name, optional):
                return self._member(f"{self._events[place]}.{name}", optional)
            case ("meta", place, "time"):
                return Code(f"{self._shared.helper('timestamp')}({self._entries[place]}.time_ns)", 1)
            case ("meta", place, field):
                return Code(f"{self._entries[place]}.{field}")
            case ("apply", "bool.and" | "bool.or" | "bool.not", _):
                return self.truth(shape)
            case ("apply", "ts.sub", (("meta", first, "time"), ("meta", second, "time"))):
                # The usual question of two events, ten times as quick as with two timestamps.
                times = f"{self._entries[first]}.time_ns, {self._entries[second]}.time_ns"
                return Code(f"{self._shared.helper('between_ns')}({times})", 1)
            case ("apply", operator, operands):
                return self._apply(operator, [self._cut(self.value(operand)) for operand in operands])
            case ("make", parts):
                maker = self._shared.constant()
                codes = [self.settled(self.value(part)) for part in parts]
                return Code(f"{maker}({', '.join(code.text for code in codes)})", _level(*codes))
            case ("aggregate", function, place, item):
                return self._aggregate(function, place, item)
        raise AssertionError(shape)

    def truth(self, shape: Shape) -> Code:
        """Whether an expression is true: True or False, and nothing else."""
        match shape:
            case ("apply", "bool.not", (operand,)):
                code = self._cut(self.truth(operand))
                return Code(f"(not {code.text})", _level(code))
            case ("apply", "bool.and" | "bool.or" as operator, operands):
                codes = [self._cut(self.truth(operand)) for operand in operands]
                sign = f" {operator.removeprefix('bool.')} "
                return Code(f"({sign.join(code.text for code in codes)})", _level(*codes))
        code = self.settled(self.value(shape))
        if shape[0] == "apply" and OPERATORS[shape[1]].result == "boolean":
            return code
        return Code(f"({code.text} is True)", _level(code))

    def _member(self, text: str, optional: bool) -> Code:
        if not optional:
            return Code(text, maybe_none=True)
        naming, named = self._named(Code(text))
        return named._replace(guards=(f"{naming} is not None",))

    def _apply(self, operator: str, operands: list[Code]) -> Code:
        shared = self._shared
        if any(operand.text == "None" for operand in operands):
            return self._call(operator, *operands)
        match operator, operands:
            case "num.eq" | "str.eq" | "addr.eq" | "ts.eq" | "dur.eq" | "bool.eq", [a, b]:
                # To Python two that are None are equal.
                return self._asked(a, b, "==", asked=(a,) if a.maybe_none and b.maybe_none else ())
            case "num.ne" | "str.ne" | "addr.ne" | "ts.ne" | "dur.ne" | "bool.ne", [a, b]:
                return self._asked(a, b, "!=", asked=tuple(code for code in (a, b) if code.maybe_none))
            case _, [a, b] if operator in _COMPARISONS:
                return self._condition(f"{a.text} {_COMPARISONS[operator]} {b.text}", a, b)
            case _, [a, b] if operator in _ARITHMETIC:
                # One of both as a double: Python then takes the other one as a double, too.
                left = a.text if a.double or b.double else f"1.0 * {a.text}"
                text = f"({left} {_ARITHMETIC[operator]} {b.text})"
                return Code(text, _level(a, b), double=True, guards=_guards(a, b))
            case "num.div", [a, b]:
                return self._divided(a, b)
            case "num.neg", [a]:
                return Code(f"(-1.0 * {a.text})", _level(a), double=True, guards=a.guards)
            case "num.abs", [a]:
                return Code(f"{shared.helper('abs')}(1.0 * {a.text})", _level(a), double=True, guards=a.guards)
            case ("num.in" | "str.in", [item, of]) | ("vec.contains", [of, item]) if of.text in shared.sets:
                return self._condition(f"{item.text} in {of.text}", item)
            case "str.contains", [a, b]:
                return self._condition(f"{b.text} in {a.text}", a, b)
            case "str.matches", [a, pattern]:
                return self._condition(f"{pattern.text}({a.text})", a)
        return self._call(operator, *operands, double=operator in ("num.pow", "vec.pow"))

    def _asked(self, a: Code, b: Code, sign: str, asked: tuple[Code, ...]) -> Code:
        """A comparison with operands of it asked for None before."""
        tests = []
        operands = []
        for code in (a, b):
            operand = code
            if any(code is each for each in asked):
                naming, operand = self._named(code)
                tests.append(f"{naming} is not None")
            operands.append(operand)
        left, right = operands
        return self._condition(" and ".join([*tests, f"{left.text} {sign} {right.text}"]), a, b)

    def _divided(self, a: Code, b: Code) -> Code:
        """In line, but for a divisor that is zero."""
        first, left = self._named(a)
        second, right = self._named(b)
        dividend = left.text if a.double or b.double else f"1.0 * {left.text}"
        asked = f"{first} is not None and {second}" if a.maybe_none or first != left.text else second
        text = (
            f"({dividend} / {right.text} if {asked} else {self._shared.helper('num.div')}({left.text}, {right.text}))"
        )
        return Code(text, _level(a, b) + 1, double=True, maybe_none=True, guards=_guards(a, b))

    def _aggregate(self, function: str, place: int, item: Shape) -> Code:
        group = f"v{place}"
        if function == "count" and item == ("event", place):
            return Code(f"{self._shared.helper('len')}({group})", 1)
        extra = f", {self._shared.constant()}" if function == "percentile" else ""
        inner = _Writer(self._shared, self._passed)
        entry = f"i{place}"
        inner._entries[place], inner._events[place] = entry, f"{entry}.event"
        code = inner.settled(inner.value(item))
        text = code.text
        if inner.statements:
            name = f"item_{self._shared.local()}"
            lines = [f"def {name}({entry}):", *_indented([*inner.statements, f"return {code.text}"])]
            self.statements.append("\n".join(lines))
            text = f"{name}({entry})"
        if function == "slope":
            extra = f", [{entry}.time_ns for {entry} in {group}]"
        called = f"{self._shared.helper('aggregate.' + function)}([{text} for {entry} in {group}]{extra})"
        return Code(called, code.level + 2, function in ("sum", "mean", "percentile", "slope"), maybe_none=True)


def _indented(lines: Sequence[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for text in lines for line in text.split("\n")]


def _source(shared: _Shared, body: list[str], result: str) -> Source:
    constants = "".join(f"k{number}, " for number in range(shared.constants))
    head = ["def bind(k, again):", *([f"    {constants}= k"] if constants else [])]
    return Source("\n".join([*head, *_indented(body), f"    return {result}", ""]), frozenset(shared.helpers))


def _function(name: str, parameters: str, statements: Sequence[str], result: str, otherwise: str) -> list[str]:
    return [
        f"def {name}({parameters}):",
        "    try:",
        *_indented([*statements, f"return {result}"], 2),
        "    except Exception:",
        f"        return {otherwise}",
    ]


def expression_source(shape: Shape, passed: tuple[str, ...]) -> Source:
    """The source for the value of an expression, from variables that are passed so."""
    shared = _Shared()
    writer = _Writer(shared, passed)
    code = writer.settled(writer.value(shape))
    parameters = ", ".join(f"v{place}" for place in range(len(passed)))
    body = _function("value", parameters, writer.statements, code.text, f"again({parameters})")
    return _source(shared, body, "value")


def predicate_source(shape: Shape) -> Source:
    """The source for a predicate of one event, and for the filter of many: ``bind`` gives both."""
    shared = _Shared()
    writer = _Writer(shared, ("event",))
    code = writer.truth(shape)
    body = _function("predicate", "v0", writer.statements, code.text, "again(v0)")
    one_by_one = "[v0 for v0 in events if predicate(v0)]"
    at_once = one_by_one if writer.statements else f"[v0 for v0 in events if {code.text}]"
    body += _function("keep", "events", (), at_once, one_by_one)
    return _source(shared, body, "predicate, keep")


def sweep_source(shape: Shape, passed: str) -> Source:
    """The source for the places, among many of what is passed so, of those for which a condition holds.

    The function raises where one of them has to be asked by itself.
    """
    shared = _Shared()
    writer = _Writer(shared, (passed,))
    test = writer.truth(shape).text
    body: list[str] = []
    if writer.statements:
        body += ["def holds(v0):", *_indented([*writer.statements, f"return {test}"])]
        test = "holds(v0)"
    body += ["def sweep(many):", f"    return [place for place, v0 in {shared.helper('enumerate')}(many) if {test}]"]
    return _source(shared, body, "sweep")
