"""Terms: what Python's operators make of the members of events.

``disk.used`` is a term, ``disk.used > 0.9`` a :class:`Predicate`, which is a term too.  Nothing is computed here: a
term holds an expression of the model.  What does not fit the table of operators is refused at once, with both types
named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, NoReturn

from broker.errors import RuleError
from broker.rules.model import OPERATORS, Apply, Constant, EventType, Expression, Where, names_in
from broker.rules.model.checking import check_where
from broker.rules.model.substitution import renamed
from broker.rules.model.typing import constant_type
from broker.rules.operations import to_double
from broker.values import Timestamp
from broker.values.timestamps import nanoseconds_of

__all__ = ["Operand", "Predicate", "Term", "Variable", "as_term", "shown_term", "term_of"]

_BY_SIGN: Final = {
    (operator.text, operator.operands): operator for operator in OPERATORS.values() if not operator.variadic
}
_EQUALITIES: Final = ("==", "!=")
_INSTEAD: Final = {
    "startswith": "matches(r'^web')",
    "endswith": "matches(r'[.]log$')",
    "upper": "lower()",
    "casefold": "lower()",
}


class Variable:
    """What a term knows of a variable: the type of its events, their class if there is one, whether it is a group.

    Terms call it by ``key``; how a rule calls it is decided when the rule is made.
    """

    __slots__ = ("absent", "cls", "group", "key", "name", "type", "within_ns")

    def __init__(
        self,
        key: str,
        event_type: EventType,
        cls: type | None,
        name: str,
        *,
        group: bool = False,
        absent: bool = False,
        within_ns: int | None = None,
    ) -> None:
        self.key = key
        self.type = event_type
        self.cls = cls
        self.name = name
        self.group = group
        self.absent = absent
        self.within_ns = within_ns


class Term:
    """An expression over the members of events, with Python's operators; made by asking a variable for a member.

    ``+ - * / **``, ``== != < > <= >=``, ``abs()``, and the methods below.  ``type`` is its type in rules.  It has no
    truth value, for it is not about any one event yet.
    """

    __slots__ = ("expression", "type", "variables")

    def __init__(self, expression: Expression, kind: str, variables: Mapping[str, Variable]) -> None:
        self.expression: Final = expression
        self.type: Final = kind
        self.variables: Final = dict(variables)

    # -- comparisons -------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Predicate:  # type: ignore[override]
        return _predicate("==", self, other)

    def __ne__(self, other: object) -> Predicate:  # type: ignore[override]
        return _predicate("!=", self, other)

    def __lt__(self, other: Operand) -> Predicate:
        return _predicate("<", self, other)

    def __gt__(self, other: Operand) -> Predicate:
        return _predicate(">", self, other)

    def __le__(self, other: Operand) -> Predicate:
        return _predicate("<=", self, other)

    def __ge__(self, other: Operand) -> Predicate:
        return _predicate(">=", self, other)

    __hash__ = None  # type: ignore[assignment]

    # -- arithmetic --------------------------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Term:
        return _binary("+", self, other)

    def __radd__(self, other: Operand) -> Term:
        return _binary("+", other, self)

    def __sub__(self, other: Operand) -> Term:
        return _binary("-", self, other)

    def __rsub__(self, other: Operand) -> Term:
        return _binary("-", other, self)

    def __mul__(self, other: Operand) -> Term:
        return _binary("*", self, other)

    def __rmul__(self, other: Operand) -> Term:
        return _binary("*", other, self)

    def __truediv__(self, other: Operand) -> Term:
        return _binary("/", self, other)

    def __rtruediv__(self, other: Operand) -> Term:
        return _binary("/", other, self)

    def __pow__(self, other: Operand) -> Term:
        return _binary("^", self, other)

    def __rpow__(self, other: Operand) -> Term:
        return _binary("^", other, self)

    def __neg__(self) -> Term:
        return _applied("-", "-", self)

    def __abs__(self) -> Term:
        return _applied("abs", "abs", self)

    # -- conditions --------------------------------------------------------------------------------------------------

    def __and__(self, other: Term | bool) -> Predicate:
        return _joined("bool.and", self, other)

    def __rand__(self, other: bool) -> Predicate:
        return _joined("bool.and", other, self)

    def __or__(self, other: Term | bool) -> Predicate:
        return _joined("bool.or", self, other)

    def __ror__(self, other: bool) -> Predicate:
        return _joined("bool.or", other, self)

    def __invert__(self) -> Predicate:
        return Predicate(Apply("bool.not", (_condition(self, "~").expression,)), self.variables)

    # -- and what has no operator in Python --------------------------------------------------------------------------

    def contains(self, item: Operand) -> Predicate:
        """A text has this text in it, a vector this number, any other container this value."""
        return _predicate("contains", self, item)

    def matches(self, pattern: str) -> Predicate:
        """A regular expression (in linear time: without look-around and back-references) is found in a text."""
        if not isinstance(pattern, str):
            raise TypeError(f"a regular expression is a str, not {type(pattern).__name__}")
        # Here, because the package of the regular expressions is an optional one.
        from broker.rules import regex

        regex.compile(pattern)
        return _predicate("matches", self, pattern)

    def is_in(self, items: Iterable[Any] | str | IPv4Network | IPv6Network | Term) -> Predicate:
        """It is one of these texts or numbers; in this text; an address of this network (``"10.0.0.0/8"``)."""
        if self.type == "string" and (isinstance(items, str) or (isinstance(items, Term) and items.type == "string")):
            return _predicate("contains", items, self)
        if self.type == "address" and isinstance(items, str):
            items = ip_network(items)
        if not isinstance(items, Term | str | IPv4Network | IPv6Network):
            items = tuple(items)
        if self.type == "string" and isinstance(items, tuple):
            texts = items
            if not all(isinstance(text, str) for text in texts):
                raise TypeError(f"string in {_constant_name(texts)}: expected texts alone")
            return _made("str.in", self, Term(Constant(texts), "strings", {}))
        return _predicate("in", self, items)

    def lower(self) -> Term:
        """A text in small letters."""
        return _applied("lower", "lower", self)

    # -- refusals ----------------------------------------------------------------------------------------------------

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{shown_term(self)} has no truth value before there is an event: "
            "write & | ~ for and, or, not, and (a > 1) & (a < 5) for 1 < a < 5"
        )

    def __contains__(self, item: object) -> NoReturn:
        raise TypeError(f"{shown_term(self)}: write .contains(...) or .is_in(...) for `in`")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{shown_term(self)} cannot be gone through: it is no value before there is an event")

    def __len__(self) -> NoReturn:
        raise TypeError(f"write len_({shown_term(self)}): len() can only give a number, and there is no event yet")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or name in Term.__slots__:  # what copying and pickling ask for
                raise AttributeError(name)
            instead = f": write .{_INSTEAD[name]}" if name in _INSTEAD else ""
            raise AttributeError(f"{shown_term(self)} is a {self.type}, for which rules have no {name!r}{instead}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {shown_term(self)}>"


class Predicate(Term):
    """A condition: combine it with others by ``& | ~``, call it on an event, subscribe with it.

    ``where`` is the predicate as data, if it is about one event of one class.
    """

    __slots__ = ("_asked",)

    def __init__(self, expression: Expression, variables: Mapping[str, Variable]) -> None:
        super().__init__(expression, "boolean", variables)
        self._asked: Callable[[Any], bool] | None = None

    @property
    def where(self) -> Where:
        """The predicate as data.  Raises RuleError if it is about anything but one event of one type."""
        variable = self._variable()
        where = Where(variable.type, renamed(self.expression, {variable.key: "event"}))
        problems = check_where(where)
        if problems:
            raise RuleError(problems)
        return where

    def _variable(self) -> Variable:
        if len(self.variables) != 1:
            names = ", ".join(variable.name for variable in self.variables.values()) or "none"
            raise RuleError.at("", f"{shown_term(self)}: a predicate is about one event, this one is about {names}")
        variable = next(iter(self.variables.values()))
        if variable.group:
            raise RuleError.at("", f"{shown_term(self)}: a predicate is about one event, not about a group")
        return variable

    def __call__(self, event: object) -> bool:
        """Whether it holds for an event.  False for an event of another class."""
        if self._asked is None:
            # Here: who only writes predicates down needs no compiler.
            from broker.rules.compiling import compile_where

            self._asked = compile_where(self.where, self._variable().cls)
        cls = self._variable().cls
        return (cls is None or isinstance(event, cls)) and self._asked(event)


Operand = Term | float | bool | str | timedelta | datetime | IPv4Address | IPv6Address | Sequence[Any]
"""What can stand beside a term: a term or a constant.  In Python an int is a float, too."""


# -- making ----------------------------------------------------------------------------------------------------------


def term_of(expression: Expression, kind: str, variables: Mapping[str, Variable]) -> Term:
    """A term; a predicate if it is boolean."""
    return Predicate(expression, variables) if kind == "boolean" else Term(expression, kind, variables)


def as_term(value: object) -> Term:
    """A term, or a constant as one.  Raises TypeError for what rules have no type for."""
    if isinstance(value, Term):
        return value
    if isinstance(value, datetime) and not isinstance(value, Timestamp) and value.tzinfo is not None:
        value = Timestamp.from_ns(nanoseconds_of(value))
    if isinstance(value, list | tuple):
        if any(isinstance(item, Term) for item in value):
            return _vector(value)
        if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
            raise TypeError(f"{_constant_name(value)} is no vector: expected numbers alone")
        return Term(Constant(tuple(map(to_double, value))), "vector", {})
    kind = constant_type(value)
    if not kind:
        raise TypeError(f"rules have no type for {_constant_name(value)}")
    constant: Any = value
    return term_of(Constant(constant), kind, {})


def _vector(items: Iterable[object]) -> Term:
    terms = [as_term(item) for item in items]
    for term in terms:
        if term.type != "number":
            raise TypeError(f"[{shown_term(term)}]: a vector is of numbers, not of a {term.type}")
    return Term(Apply("vec.of", tuple(term.expression for term in terms)), "vector", _variables(*terms))


def _constant_name(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _variables(*terms: Term) -> dict[str, Variable]:
    return {key: variable for term in terms for key, variable in term.variables.items()}


def shown_term(term: Term) -> str:
    """A term as the language writes it, for errors."""
    # Here: only errors and explanations show text, and the language is much to load for a predicate.
    from broker.rules.language.showing import show

    names = {name: term.variables[name].name if name in term.variables else name for name in names_in(term.expression)}
    return show(renamed(term.expression, names))


def _made(operator: str, *operands: Term) -> Predicate:
    return Predicate(Apply(operator, tuple(term.expression for term in operands)), _variables(*operands))


def _binary(sign: str, left: object, right: object) -> Term:
    a, b = _with_addresses(as_term(left), as_term(right))
    operator = _BY_SIGN.get((sign, (a.type, b.type)))
    if operator is None and sign == "*":
        operator = _BY_SIGN.get((sign, (b.type, a.type)))
        a, b = (b, a) if operator is not None else (a, b)
    if operator is None and "any" in (a.type, b.type) and sign in (*_EQUALITIES, "contains"):
        operator = _BY_SIGN[sign, ("any", "any")]
    if operator is None:
        raise TypeError(f"{shown_term(a)} {sign} {shown_term(b)}: there is no {a.type} {sign} {b.type}{_hint(sign, a)}")
    expression = Apply(operator.name, (a.expression, b.expression))
    return term_of(expression, operator.result, _variables(a, b))


def _with_addresses(a: Term, b: Term) -> tuple[Term, Term]:
    """A text beside an address is one, too."""
    if {a.type, b.type} != {"address", "string"}:
        return a, b
    return _as_address(a), _as_address(b)


def _as_address(term: Term) -> Term:
    match term.expression:
        case Constant(value=str() as text):
            return as_term(ip_address(text))
    return term


def _hint(sign: str, left: Term) -> str:
    others = {kinds[1] for text, kinds in _BY_SIGN if text == sign and len(kinds) == 2 and kinds[0] == left.type}
    return f"; {sign} takes a {left.type} and a {' or '.join(sorted(others))}" if others else ""


def _predicate(sign: str, left: object, right: object) -> Predicate:
    made = _binary(sign, left, right)
    assert isinstance(made, Predicate)
    return made


def _applied(sign: str, what: str, operand: Term) -> Term:
    operator = _BY_SIGN.get((sign, (operand.type,)))
    if operator is None:
        raise TypeError(f"{what}({shown_term(operand)}): there is no {what} of a {operand.type}")
    return term_of(Apply(operator.name, (operand.expression,)), operator.result, operand.variables)


def _joined(operator: str, left: object, right: object) -> Predicate:
    sign = {"bool.and": "&", "bool.or": "|"}[operator]
    sides = [_condition(as_term(each), sign) for each in (left, right)]
    operands: list[Expression] = []
    for side in sides:
        # One `and` of three rather than two of two: what peers get, and people read, is shorter.
        inner = side.expression
        operands += inner.operands if isinstance(inner, Apply) and inner.operator == operator else (inner,)
    return Predicate(Apply(operator, tuple(operands)), _variables(*sides))


def _condition(term: Term, sign: str) -> Predicate:
    if not isinstance(term, Predicate):
        raise TypeError(f"{shown_term(term)} is a {term.type}: {sign} takes conditions; brackets may be missing")
    return term


def length(term: Term) -> Term:
    """The number of characters of a text, or of components of a vector."""
    return _applied("len", "len_", as_term(term))
