"""Tokens to expressions: precedence climbing, with a bound on depth.

From loose to tight: ``or``, ``and``, ``not``, one comparison, ``+ -``, ``* /``, ``-``, ``^``, and what stands alone.
The words among them are names elsewhere: a name never follows a complete expression, so there it is an operator.  Only
``not`` needs a look ahead: it is a name before a sign, and before ``(`` if the program declares something so named.
"""

from __future__ import annotations

from typing import Final, NoReturn

from broker.rules.language import tree
from broker.rules.language.problems import Place, Problems
from broker.rules.language.tokens import Kind, Token, Tokens
from broker.rules.model import data as model

__all__ = ["DEPTH_MAX", "ExpressionParser", "Stop"]

DEPTH_MAX: Final = model.DEPTH_MAX
"""Levels of an expression, as many as the model has: what walks it recurses."""

COMPARISONS: Final = ("==", "!=", ">", "<", ">=", "<=", "in", "contains", "matches")

_OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT = range(1, 7)
_LEVELS: Final = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(COMPARISONS, _COMPARISON),
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
}


class Stop(Exception):
    """A declaration cannot be read further; why was added to the problems."""


class ExpressionParser:
    """A place in the tokens, and what reads an expression from there on.

    ``words`` are the indices of the names that were read as words of the language: the formatter needs to know.
    """

    def __init__(self, text: Tokens, problems: Problems) -> None:
        self._tokens = tokens = text.tokens
        self._damaged = text.damaged
        self._problems = problems
        self._index = 0
        self._levels = 0
        self._heights: dict[int, int] = {}
        self.words: set[int] = set()
        # "not (" is a call only if the program declares a predicate or a function of that name.
        self._not_declared = any(
            token.text == "not" and token.kind is Kind.NAME and self._declares(index)
            for index, token in enumerate(tokens)
        )

    def _declares(self, index: int) -> bool:
        before = self._tokens[index - 1] if index else None
        return before is not None and (
            before.text == "predicate" or (before.kind is Kind.TYPE and self._tokens[index + 1].text == "(")
        )

    # -- the place in the tokens ---------------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._index]

    def ahead(self, count: int = 1) -> Token:
        """The token so many behind the next one; the end is followed by itself."""
        return self._tokens[min(self._index + count, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token, which is behind us then."""
        token = self._tokens[self._index]
        if token.kind is not Kind.END:
            self._index += 1
        return token

    def word(self) -> Token:
        """The next token, taken as a word of the language."""
        self.words.add(self._index)
        return self.take()

    def sees(self, sign: str) -> bool:
        """Whether the next token is that sign."""
        return self.token.kind is Kind.SIGN and self.token.text == sign

    def sees_word(self, *words: str) -> bool:
        """Whether the next token is a name that is one of these words."""
        return self.token.kind is Kind.NAME and self.token.text in words

    def accept(self, sign: str) -> bool:
        """Whether the next token is that sign, which is taken then."""
        if not self.sees(sign):
            return False
        self.take()
        return True

    def expect(self, sign: str, where: str, hint: str = "") -> Token:
        """The next token, which has to be that sign."""
        if not self.sees(sign):
            self.stop(f"expected '{sign}' {where}", hint)
        return self.take()

    def expect_kind(self, kind: Kind, what: str, hint: str = "") -> Token:
        """The next token, which has to be of that kind."""
        if self.token.kind is not kind:
            if self.token.kind is Kind.RESERVED and kind is Kind.NAME:
                hint = f"; {self.token} is a reserved word"
            self.stop(f"expected {what}", hint)
        return self.take()

    def stop(self, what: str, hint: str = "") -> NoReturn:
        """Say what was expected and what is there, and give the declaration up.

        Behind what is no token nothing is said: that it is none was told.
        """
        if self._index in self._damaged:
            raise Stop
        self.stop_at(self.token.at, f"{what}, found {self.token}{hint}")

    def stop_at(self, at: Place, what: str) -> NoReturn:
        """Say what is wrong there, and give the declaration up."""
        self._problems.add(at, what)
        raise Stop

    # -- expressions ---------------------------------------------------------------------------------------------------

    def expression(self, what: str = "an expression") -> tree.Expression:
        """A whole expression; ``what`` is what it is called if there is none."""
        return self._climb(_OR, what)

    def _climb(self, floor: int, what: str) -> tree.Expression:
        self._levels += 1
        if self._levels > DEPTH_MAX:
            self.stop_at(self.token.at, f"this is nested more than {DEPTH_MAX} levels deep")
        left = self._operand(floor, what)
        while (level := self._level()) >= floor:
            left = self._logical(left, level) if level <= _AND else self._binary(left, level)
        self._levels -= 1
        return left

    def _level(self) -> int:
        """The level of the operator that comes next; 0 if there is none."""
        token = self.token
        return _LEVELS.get(token.text, 0) if token.kind in (Kind.SIGN, Kind.NAME) else 0

    def _logical(self, left: tree.Expression, level: int) -> tree.Expression:
        operands = [left]
        operator = self.token.text
        while self._level() == level:
            word = self.word()
            operands.append(self._climb(level + 1, f"an operand behind {word}"))
        return self._made(tree.Logical(operator, tuple(operands), left.at), *operands)

    def _binary(self, left: tree.Expression, level: int) -> tree.Expression:
        operator = self.word() if self.token.kind is Kind.NAME else self.take()
        right = self._climb(level + 1, f"an operand behind {operator}")
        if level == _COMPARISON and self._level() == _COMPARISON:
            self.stop_at(
                self.token.at, f"comparisons do not form chains: say 'a {operator.text} b and b {self.token.text} c'"
            )
        return self._made(tree.Binary(operator.text, left, right, left.at, operator.at), left, right)

    def _operand(self, floor: int, what: str) -> tree.Expression:
        at = self.token.at
        if floor <= _NOT and self._is_not():
            self.word()
            operand = self._climb(_NOT, "an operand behind 'not'")
            return self._made(tree.Not(operand, at), operand)
        if self.accept("-"):
            operand = self._climb(_PRODUCT + 1, "an operand behind '-'")
            return self._made(tree.Negative(operand, at), operand)
        left = self._primary(what)
        if not self.sees("^"):
            return left
        sign = self.take()
        if self.sees("-"):
            self.stop("expected an exponent behind '^'", "; put a negative one in parentheses: a^(-1)")
        right = self._primary("an exponent behind '^'")
        if self.sees("^"):
            self.stop_at(self.token.at, "'^' does not form chains: put one of them in parentheses")
        return self._made(tree.Binary("^", left, right, at, sign.at), left, right)

    def _is_not(self) -> bool:
        if not self.sees_word("not"):
            return False
        following = self.ahead()
        if following.kind is Kind.SIGN:
            return following.text == "[" or (following.text == "(" and not self._not_declared)
        return following.kind in (Kind.NAME, Kind.NUMBER, Kind.TEXT, Kind.DURATION)

    def _made(self, made: tree.Expression, *parts: tree.Expression) -> tree.Expression:
        """The node; raises Stop if it is too high: a long chain of operators is as deep as one in parentheses."""
        height = 1 + max((self._heights.get(id(part)) or _leaf_height(part) for part in parts), default=0)
        if height > DEPTH_MAX:
            self.stop_at(self.token.at, f"this is nested more than {DEPTH_MAX} levels deep")
        self._heights[id(made)] = height
        return made

    def _primary(self, what: str) -> tree.Expression:
        token = self.token
        match token.kind:
            case Kind.NUMBER:
                assert not isinstance(token.value, str)
                return tree.Number(token.value, self.take().at)
            case Kind.TEXT:
                return tree.Text(str(token.value), self.take().at)
            case Kind.DURATION:
                return tree.Duration(int(token.value), self.take().at)
            case Kind.NAME:
                return self._named(self.take())
            case Kind.SIGN if token.text == "(":
                self.take()
                inner = self.expression("an expression behind '('")
                self.expect(")", "to close the '(' of " + _place_in_words(token))
                return inner
            case Kind.SIGN if token.text == "[":
                self.take()
                items = self.listed("]", token, "a component of the vector")
                if not items:
                    self.stop_at(token.at, "a vector has at least one component")
                return self._made(tree.Vector(items, token.at), *items)
            case Kind.SIGN if token.text == "{":
                return self._literal()
            case Kind.TYPE:
                self.stop(f"expected {what}", "; a type is no value")
        return self.stop(f"expected {what}")

    def _named(self, name: Token) -> tree.Expression:
        if self.sees("."):
            self.take()
            member = self.token
            if member.kind not in (Kind.NAME, Kind.TYPE):
                self.stop("expected a member's name behind '.'")
            self.take()
            if self.sees("."):
                self.stop_at(self.token.at, "members have no members of their own")
            return tree.MemberOf(name.text, member.text, name.at, member.at)
        if self.sees("("):
            opening = self.take()
            arguments = self.listed(")", opening, "an argument")
            return self._made(tree.Call(name.text, arguments, name.at), *arguments)
        return tree.Name(name.text, name.at)

    def listed(self, closing: str, opening: Token, what: str) -> tuple[tree.Expression, ...]:
        """Expressions with commas between them, up to the closing sign, which is taken; maybe none."""
        items: list[tree.Expression] = []
        if self.accept(closing):
            return ()
        while True:
            items.append(self.expression(what))
            if not self.accept(","):
                break
        self.close(closing, opening)
        return tuple(items)

    def close(self, closing: str, opening: Token) -> None:
        """Take the closing sign, after something that a comma might have followed."""
        if not self.sees(closing):
            hint = "; '==' compares" if self.sees("=") else ""
            self.stop(f"expected ',' or '{closing}' to close the '{opening.text}' of {_place_in_words(opening)}", hint)
        self.take()

    def _literal(self) -> tree.Expression:
        opening = self.take()
        members: list[tree.Given] = []
        while True:
            name = self.token
            if name.kind not in (Kind.NAME, Kind.TYPE):
                self.stop("expected a member's name")
            self.take()
            self.expect("=", f"behind the member {name}")
            members.append(tree.Given(name.text, self.expression(f"the value of {name}"), name.at))
            if not self.accept(","):
                break
        self.close("}", opening)
        return self._made(tree.Literal(tuple(members), opening.at), *(given.value for given in members))


def _place_in_words(token: Token) -> str:
    return f"line {token.at.line}, column {token.at.column}"


def _leaf_height(part: tree.Expression) -> int:
    """The levels that what stands alone takes in the model: a member and its event, an instance and its members."""
    return 2 if isinstance(part, tree.Name | tree.MemberOf) else 1
