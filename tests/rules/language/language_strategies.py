"""Programs made up by Hypothesis: some that only parse, in any layout, and expressions whose types fit."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["conditions", "programs", "values"]

NAMES = st.sampled_from(
    ["a", "b", "not", "in", "and", "last", "within", "per", "to", "do", "true", "count", "x_1", "_y"]
)
TYPES = st.sampled_from(["A", "Bcd", "E_2"])
TEXTS = st.sampled_from(['""', '"a b"', '"\\"\\\\ \\n"', '"// no /* comment */"', '"ä😀"'])
DURATIONS = st.sampled_from(["5s", "1h30m", "1.5ms", "7ns"])
NUMBERS = st.sampled_from(["0", "1", "2.50", "1e3", "18446744073709551616"])
# White space and comments: each may stand between any two tokens.
BETWEEN = st.sampled_from(
    [" "] * 8 + ["\n", "\n\n\n", "\t ", " /* c */", " // c\n", " /* two\n  lines */", " /* a *//* b */ // c\n", "\r\n"]
)

Tokens = st.SearchStrategy[list[str]]


def _joined(*parts: Tokens | str) -> Tokens:
    strategies = [st.just([part]) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map(lambda lists: [token for tokens in lists for token in tokens])


def _one(strategy: st.SearchStrategy[str]) -> Tokens:
    return strategy.map(lambda token: [token])


def _listed(item: Tokens, least: int = 1) -> Tokens:
    def with_commas(items: list[list[str]]) -> list[str]:
        return [token for place, tokens in enumerate(items) for token in ([","] if place else []) + tokens]

    return st.lists(item, min_size=least, max_size=3).map(with_commas)


def _maybe(*parts: Tokens | str) -> Tokens:
    return st.one_of(st.just([]), _joined(*parts))


def _larger(inner: Tokens) -> Tokens:
    operand = st.one_of(_joined("(", inner, ")"), _one(st.one_of(NUMBERS, TEXTS, DURATIONS)), _MEMBER)
    signs = _one(
        st.sampled_from(
            ["+", "-", "*", "/", "^", "==", "!=", "<", ">", "<=", ">=", "in", "contains", "matches", "and", "or"]
        )
    )
    return st.one_of(
        _joined(operand, signs, operand),
        _joined(operand, "and", operand, "and", operand, "and", operand),
        _joined("-", operand),
        _joined("not", "(", inner, ")"),
        _joined("not", _MEMBER),
        _joined("(", inner, ")"),
        _joined("[", _listed(inner), "]"),
        _joined("{", _listed(_joined(_one(NAMES), "=", inner)), "}"),
        _joined(_one(st.sampled_from(["f", "mean", "count"])), "(", _listed(inner, 0), ")"),
    )


_MEMBER = _joined(_one(st.sampled_from(["a", "b", "not"])), ".", _one(st.one_of(NAMES, TYPES)))
EXPRESSIONS = st.recursive(
    st.one_of(_one(st.one_of(NUMBERS, TEXTS, DURATIONS)), _MEMBER, _joined("(", _one(NAMES), ")")),
    _larger,
    max_leaves=8,
)
_PARAMETERS = _joined(
    "(", _listed(st.one_of(_joined(_one(TYPES), _one(NAMES)), _joined(_one(TYPES), "+", _one(NAMES)))), ")"
)
_STEP = _joined(_maybe("!"), _one(TYPES), _maybe("+"), _maybe(_one(NAMES)), _maybe("within", _one(DURATIONS)))
_MODIFIER = st.one_of(
    _joined("on", _listed(_one(TEXTS))),
    _joined("within", _one(DURATIONS)),
    _joined("per", _listed(_one(NAMES))),
    _joined("last", _one(st.one_of(NUMBERS, DURATIONS))),
    _joined("every", _one(DURATIONS)),
    _one(st.sampled_from(["each", "first", "last", "consume"])),
    _joined("limit", _one(NUMBERS), "per", _one(DURATIONS)),
)
_MODIFIERS = st.lists(_MODIFIER, max_size=4).map(lambda lists: [token for tokens in lists for token in tokens])
_RESULT = _joined(
    _one(NAMES),
    _maybe("(", _listed(EXPRESSIONS, 0), ")"),
    _maybe("to", EXPRESSIONS),
    _maybe("do", _listed(_one(NAMES))),
)
_MEMBERS = _joined("{", _listed(_joined(_one(NAMES), _maybe(":", "number"), _maybe("=", EXPRESSIONS))), "}")
DECLARATIONS = st.one_of(
    _joined("event", _one(TYPES), _maybe("extends", _one(TYPES)), _MEMBERS, _maybe(_one(NAMES))),
    _joined("predicate", _one(NAMES.filter(lambda name: name != "not")), _PARAMETERS, ":=", EXPRESSIONS),
    _joined(_one(TYPES), _one(NAMES.filter(lambda name: name != "not")), _PARAMETERS, ":=", EXPRESSIONS),
    _joined(_one(NAMES), "=", EXPRESSIONS),
    _joined(
        _one(TYPES), ":", "[", _listed(_STEP, 0), _maybe(":", _listed(EXPRESSIONS)), "]", _MODIFIERS, "->", _RESULT
    ),
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """The text of a program that parses, in any layout, with comments anywhere."""
    tokens = [token for tokens in draw(st.lists(DECLARATIONS, min_size=1, max_size=3)) for token in [*tokens, ";"]]
    gaps = draw(st.lists(BETWEEN, min_size=len(tokens), max_size=len(tokens)))
    end = draw(BETWEEN)
    return "".join(gap + token for gap, token in zip(gaps, tokens, strict=True)) + end


# -- of types that fit -------------------------------------------------------------------------------------------------

_LITERALS = {
    "number": ["1", "2.5", "-3", "1e300", "18446744073709551615"],
    "vector": ["[1]", "[1, -2.5, 3]"],
    "string": ['""', '"a\\n\\"\\\\\\u0001"', '"ä😀"'],
    "duration": ["5s", "1h30m", "-3us"],
    "boolean": ["true", "false"],
}
_MEMBERS_OF = {"number": "used", "vector": "v", "string": "host", "duration": "long", "boolean": "ok",
               "timestamp": "at", "address": "ip", "any": "what"}  # fmt: skip
_MADE = {
    "number": ["{number} + {number}", "{number} - {number}", "{number} * {number}", "{number} / {number}", "-{number}",
               "{number}^{number}", "{vector}^{number}", "abs({number})", "min({number}, {number})", "len({vector})",
               "len({string})", "{duration} / {duration}", "max({number}, {number}, {number})"],
    "vector": ["{vector} + {vector}", "{vector} - {vector}", "{number} * {vector}", "{vector} * {number}", "-{vector}",
               "[{number}, {number}]"],
    "string": ["{string} + {string}", "lower({string})", "topic(d)", "origin(d)"],
    "duration": ["{duration} + {duration}", "{duration} - {duration}", "{timestamp} - {timestamp}", "-{duration}",
                 "{number} * {duration}", "{duration} * {number}", "{duration} / {number}", "abs({duration})"],
    "timestamp": ["{timestamp} + {duration}", "{timestamp} - {duration}", "time(d)"],
    "boolean": ["{number} == {number}", "{vector} < {vector}", "{string} >= {string}", "{timestamp} != {timestamp}",
                "{duration} > {duration}", "{boolean} == {boolean}", "{any} != {number}", "{boolean} and {boolean}",
                "{boolean} or {boolean} or {boolean}", "not {boolean}", "{number} in {vector}",
                "{any} contains {string}", "{string} in {string}", '{string} in ["a", "b"]',
                "{vector} contains {number}", "big(d)", '{address} in "10.0.0.0/8"',
                '{address} == "::1"', "{string} contains {string}"],
}  # fmt: skip


@st.composite
def values(draw: st.DrawFn, kind: str, depth: int = 3) -> str:
    """An expression of a type, over an event ``d`` of type Disk."""
    plain = [*_LITERALS.get(kind, ()), f"d.{_MEMBERS_OF[kind]}"]
    if not depth or kind not in _MADE or draw(st.integers(0, 3)) == 0:
        return str(draw(st.sampled_from(plain)))
    text: str = draw(st.sampled_from(_MADE[kind]))
    for name in _MEMBERS_OF:
        while f"{{{name}}}" in text:
            inner = draw(values(name, depth - 1))
            text = text.replace(f"{{{name}}}", f"({inner})", 1)
    return text


def conditions() -> st.SearchStrategy[str]:
    """A condition on an event ``d`` of type Disk."""
    return values("boolean")
