"""Which of the model's operators a sign means between operands of certain types.

The model's table says it; what is added here are the signs that mean an operator with its operands turned round
(``vector * number``), and texts that stand for addresses and networks, which have no signs of their own.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

from broker.rules.language.scope import UNKNOWN, Value, in_words
from broker.rules.model import OPERATORS, Apply, Constant, Operator, Type
from broker.rules.model.types import PLAIN

__all__ = ["Misfit", "address", "binary", "negative"]


class Misfit(Exception):
    """Operands that an operator does not go with; the text is what to tell."""


_TABLE: Final[dict[tuple[str, tuple[Type, ...]], Operator]] = {
    (operator.text, operator.operands): operator for operator in OPERATORS.values() if operator.text != "[]"
}
# What is written the other way round: the operator with its operands exchanged.
_TURNED: Final[dict[tuple[str, Type, Type], str]] = {
    ("*", "vector", "number"): "vec.scale",
    ("*", "duration", "number"): "dur.scale",
    ("in", "string", "string"): "str.contains",
}
_EQUALITY: Final = ("==", "!=")


def _apply(operator: Operator, *operands: Value) -> Value:
    return Value(operator.result, Apply(operator.name, tuple(operand.expression for operand in operands)))


def binary(sign: str, left: Value, right: Value) -> Value:
    """``left sign right``.  Raises Misfit if there is no such operator."""
    if sign in ("in", *_EQUALITY):
        left, right = _with_addresses(sign, left, right)
    kinds = (left.type, right.type)
    found = _TABLE.get((sign, kinds))
    if found is not None:
        return _apply(found, left, right)
    turned = _TURNED.get((sign, *kinds))
    if turned is not None:
        return _apply(OPERATORS[turned], right, left)
    return _of_any(sign, left, right)


def _of_any(sign: str, left: Value, right: Value) -> Value:
    """Operators of values whose type is not known before they come."""
    kinds = (left.type, right.type)
    plain = all(kind in PLAIN for kind in kinds)
    if "any" in kinds and plain and sign in _EQUALITY:
        return _apply(OPERATORS["any.eq" if sign == "==" else "any.ne"], left, right)
    if plain and sign == "contains" and left.type == "any":
        return _apply(OPERATORS["any.contains"], left, right)
    if plain and sign == "in" and right.type == "any":
        return _apply(OPERATORS["any.contains"], right, left)
    hint = ": compare members" if any(kind[:1].isupper() for kind in kinds) else _hint(sign, left.type)
    raise Misfit(f"'{sign}' does not go with {in_words(left.type)} and {in_words(right.type)}{hint}")


def _with_addresses(sign: str, left: Value, right: Value) -> tuple[Value, Value]:
    """The operands, a text beside an address read as one, or behind ``in`` as a network."""
    if left.type == "address" and right.type == "string":
        return left, address(right, network=sign == "in")
    if right.type == "address" and left.type == "string" and sign != "in":
        return address(left), right
    return left, right


def address(text: Value, *, network: bool = False) -> Value:
    """The address, or the network, that a text stands for.  Raises Misfit if it is no constant, or stands for none."""
    if not isinstance(text.expression, Constant):
        what = "'in' takes a network" if network else "an address is compared with an address"
        raise Misfit(f"{what}: a text that stands for one has to be a constant")
    value = str(text.expression.value)
    try:
        read = ip_network(value) if network else ip_address(value)
    except ValueError as error:
        raise Misfit(f"{error}") from None
    return Value("network" if network else "address", Constant(read))


def _hint(sign: str, left: Type) -> str:
    fits = dict.fromkeys(
        in_words(kinds[1]) for text, kinds in _TABLE if text == sign and len(kinds) == 2 and kinds[0] == left
    )
    fits.update((in_words(kinds[2]), None) for kinds in _TURNED if kinds[:2] == (sign, left))
    fits.pop(in_words("network"), None)
    if not fits:
        first = dict.fromkeys(in_words(kinds[0]) for text, kinds in _TABLE if text == sign and len(kinds) == 2)
        return f": before it stands {_or(list(first))}"
    return f": behind {in_words(left)} it takes {_or(list(fits))}"


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def negative(operand: Value) -> Value:
    """``-operand``; a number's is folded.  Raises Misfit."""
    if operand.type == UNKNOWN:
        return operand
    folded = operand.expression
    if operand.type == "number" and isinstance(folded, Constant) and folded.value:
        value = folded.value
        assert isinstance(value, int | float)
        # Integers below -2**63 are not carried.
        return Value("number", Constant(-value if value <= 2**63 else -float(value)))
    found = _TABLE.get(("-", (operand.type,)))
    if found is None:
        raise Misfit(f"'-' does not go with {in_words(operand.type)}: it takes a number, a vector or a duration")
    return _apply(found, operand)
