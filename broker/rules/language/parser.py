"""Tokens to declarations, going on behind each mistake: what is wrong in one does not hide what is wrong in the next.

A declaration that cannot be read is given up at its mistake; reading goes on behind the next ``;``, or where a
declaration seems to begin.  All words but three are names elsewhere, so each is looked for only where it can stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from broker.rules.language import tree
from broker.rules.language.expressions import ExpressionParser, Stop
from broker.rules.language.problems import Problems, suggestion
from broker.rules.language.tokens import TEXT_MAX, Kind, Token, Tokens, tokenize
from broker.rules.model.types import PLAIN

__all__ = ["Parsed", "parse", "read"]

MODIFIERS: Final = ("on", "within", "per", "last", "every", "each", "first", "consume", "limit")


class _Parser(ExpressionParser):
    # -- the program ---------------------------------------------------------------------------------------------------

    def unit(self) -> tuple[tree.Declaration, ...]:
        declarations: list[tree.Declaration] = []
        if self.token.kind is Kind.END and not self._problems:
            self._problems.add(self.token.at, "expected a declaration, found the end of the file")
        while self.token.kind is not Kind.END:
            start = self._index
            self._levels = 0
            self._heights.clear()
            try:
                declarations.append(self._declaration())
            except Stop:
                self._recover(start)
                continue
            self._semicolon()
        return tuple(declarations)

    def _semicolon(self) -> None:
        if self.accept(";"):
            return
        if self._index in self._damaged:
            self._recover(self._index)
            return
        before = self._tokens[self._index - 1]
        hint = "; '==' compares" if self.sees("=") else ""
        if self._begins() or self.token.kind is Kind.END:
            self._problems.add(before.end, f"expected ';' at the end of the declaration, found {self.token}")
            return
        self._problems.add(self.token.at, f"expected ';' at the end of the declaration, found {self.token}{hint}")
        self._recover(self._index)

    def _recover(self, start: int) -> None:
        """Go on behind the next ';', or where a declaration begins."""
        if self._index == start and not self._begins():
            self.take()
        while self.token.kind is not Kind.END:
            if self.accept(";"):
                return
            if self._begins():
                return
            self.take()

    def _begins(self) -> bool:
        """Whether a declaration seems to begin here: one of its words, or its shape at the beginning of a line."""
        token, following = self.token, self.ahead()
        if token.kind is Kind.RESERVED and following.kind is (Kind.TYPE if token.text == "event" else Kind.NAME):
            return token.text != "extends"
        if self._index and self._tokens[self._index - 1].at.line == token.at.line:
            return False
        if token.kind is Kind.TYPE:
            return following.text == ":" or (following.kind is Kind.NAME and self.ahead(2).text == "(")
        return False

    def _declaration(self) -> tree.Declaration:
        token, following = self.token, self.ahead()
        if token.kind is Kind.RESERVED and token.text == "event":
            return self._event()
        if token.kind is Kind.RESERVED and token.text == "predicate":
            return self._predicate()
        if token.kind is Kind.TYPE and following.kind is Kind.NAME:
            return self._function()
        if token.kind is Kind.TYPE:
            return self._rule()
        if token.kind is Kind.NAME and following.kind is Kind.SIGN and following.text == "=":
            name = self._word()
            self.take()
            return tree.Assignment(name, self.expression(f"the value of '{name.name}'"), name.at)
        hint = ""
        if token.kind is Kind.NAME and following.kind in (Kind.TYPE, Kind.NAME):
            hint = suggestion(token.text, ("event", "predicate"))
            if token.text in PLAIN:
                hint = "; a function makes an event, whose type begins with a capital"
        elif token.kind is Kind.NAME and following.text in ("(", ":"):
            kind = (
                "a function begins with the type that it makes"
                if following.text == "("
                else "a rule's name begins with a capital"
            )
            hint = f"; {kind}"
        return self.stop("expected a declaration: an event, a predicate, a function, a rule, or an assignment", hint)

    def _word(self) -> tree.Word:
        token = self.take()
        return tree.Word(token.text, token.at)

    def _name(self, what: str) -> tree.Word:
        hint = "; it begins with a small letter" if self.token.kind is Kind.TYPE else ""
        token = self.expect_kind(Kind.NAME, what, hint)
        return tree.Word(token.text, token.at)

    def _type(self, what: str) -> tree.Word:
        hint = "; a type's name begins with a capital" if self.token.kind is Kind.NAME else ""
        token = self.expect_kind(Kind.TYPE, what, hint)
        return tree.Word(token.text, token.at)

    # -- events --------------------------------------------------------------------------------------------------------

    def _event(self) -> tree.EventDecl:
        at = self.take().at
        name = self._type("the event's name")
        parent = None
        if self.token.kind is Kind.RESERVED and self.token.text == "extends":
            self.take()
            parent = self._type("the name of the event that it extends")
        hint = suggestion(self.token.text, ("extends",)) if self.token.kind is Kind.NAME else ""
        opening = self.expect("{", f"and the members of '{name.name}'", hint)
        members: list[tree.MemberDecl] = []
        if parent is None or not self.sees("}"):  # a kind of its parent may have nothing of its own
            members.append(self._member())
            while self.accept(","):
                members.append(self._member())
        self.close("}", opening)
        instance = self._word() if self.token.kind is Kind.NAME else None
        return tree.EventDecl(name, parent, tuple(members), instance, at)

    def _member(self) -> tree.MemberDecl:
        name = self._name("a member's name")
        kind = value = None
        if self.accept(":"):
            kind = self._name(f"the type of '{name.name}'")
        if self.accept("="):
            value = self.expression(f"the value of '{name.name}'")
        return tree.MemberDecl(name.name, kind, value, name.at)

    # -- predicates and functions --------------------------------------------------------------------------------------

    def _predicate(self) -> tree.PredicateDecl:
        at = self.take().at
        name = self._name("the predicate's name")
        parameters = self._parameters(name)
        self._defines(name)
        return tree.PredicateDecl(name, parameters, self.expression(f"what '{name.name}' says"), at)

    def _function(self) -> tree.FunctionDecl:
        makes = self._word()
        name = self._word()
        parameters = self._parameters(name)
        self._defines(name)
        return tree.FunctionDecl(makes, name, parameters, self.expression(f"what '{name.name}' makes"), makes.at)

    def _defines(self, name: tree.Word) -> None:
        hint = "; '=' needs a ':' before it here" if self.sees("=") else ""
        self.expect(":=", f"behind the parameters of '{name.name}'", hint)

    def _parameters(self, name: tree.Word) -> tuple[tree.Parameter, ...]:
        opening = self.expect("(", f"and the parameters of '{name.name}'")
        if self.accept(")"):
            return ()
        parameters = [self._parameter()]
        while self.accept(","):
            parameters.append(self._parameter())
        self.close(")", opening)
        return tuple(parameters)

    def _parameter(self) -> tree.Parameter:
        kind = self._type("a parameter's type")
        group = self.accept("+")
        return tree.Parameter(kind, group, self._name(f"the name of a parameter behind '{kind.name}'"))

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _rule(self) -> tree.RuleDecl:
        name = self._word()
        self.expect(":", f"behind the rule's name '{name.name}'")
        opening = self.expect("[", f"and the events of the rule '{name.name}'")
        steps, clauses = self._pattern(opening)
        modifiers = self._modifiers()
        return tree.RuleDecl(name, steps, clauses, modifiers, self._result(), name.at)

    def _pattern(self, opening: Token) -> tuple[tuple[tree.Step, ...], tuple[tree.Expression, ...]]:
        steps: list[tree.Step] = []
        clauses: list[tree.Expression] = []
        if not self.sees("]") and not self.sees(":"):
            steps.append(self._step())
            while self.accept(","):
                steps.append(self._step())
        if self.accept(":"):
            clauses.append(self.expression("a predicate or a condition"))
            while self.accept(","):
                clauses.append(self.expression("a predicate or a condition"))
        elif steps and not self.sees("]"):
            self.stop(
                f"expected ',', ':' or ']' to close the '[' of line {opening.at.line}, column {opening.at.column}"
            )
        self.close("]", opening)
        return tuple(steps), tuple(clauses)

    def _step(self) -> tree.Step:
        at = self.token.at
        absent = self.accept("!")
        kind = self._type("an event's type")
        group = self.accept("+")
        name = within = None
        if self.token.kind is Kind.NAME and not self._is_within():
            name = self._word()
        if self._is_within():
            self.word()
            within = self._duration("within")
        return tree.Step(kind, absent, group, name, within, at)

    def _is_within(self) -> bool:
        return self.sees_word("within") and self.ahead().kind in (Kind.DURATION, Kind.NUMBER)

    def _duration(self, word: str) -> tree.Duration:
        if self.token.kind is Kind.NUMBER:
            self.stop(f"expected a duration behind '{word}'", f"; say its unit, such as {self.token.text}s")
        token = self.expect_kind(Kind.DURATION, f"a duration behind '{word}'", ", such as 90s, 5m or 1h30m")
        return tree.Duration(int(token.value), token.at)

    def _count(self, word: str) -> tree.Number:
        token = self.expect_kind(Kind.NUMBER, f"a number behind '{word}'")
        assert not isinstance(token.value, str)
        return tree.Number(token.value, token.at)

    def _modifiers(self) -> tuple[tree.Modifier, ...]:
        modifiers: list[tree.Modifier] = []
        readers: dict[str, Callable[[Token], tree.Modifier]] = {
            "on": self._on,
            "within": lambda word: tree.Within(self._duration("within"), word.at),
            "per": lambda word: tree.Per(self._words("a member's name behind 'per'"), word.at),
            "last": self._last,
            "every": lambda word: tree.Every(self._duration("every"), word.at),
            "each": lambda word: tree.Select(word.text, word.at),
            "first": lambda word: tree.Select(word.text, word.at),
            "consume": lambda word: tree.Consume(word.at),
            "limit": self._limit,
        }
        while self.token.kind is Kind.NAME:
            if self.token.text not in readers:
                hint = suggestion(self.token.text, MODIFIERS)
                self.stop("expected '->' and what the rule makes, or one of " + ", ".join(MODIFIERS), hint)
            word = self.word()
            modifiers.append(readers[word.text](word))
        return tuple(modifiers)

    def _on(self, word: Token) -> tree.On:
        topics = []
        while True:
            token = self.expect_kind(Kind.TEXT, "the beginning of topics behind 'on', such as \"host/\"")
            topics.append(tree.Text(str(token.value), token.at))
            if not self.accept(","):
                return tree.On(tuple(topics), word.at)

    def _last(self, word: Token) -> tree.Last | tree.Select:
        if self.token.kind is Kind.NUMBER:
            return tree.Last(self._count("last"), word.at)
        if self.token.kind is Kind.DURATION:
            return tree.Last(self._duration("last"), word.at)
        return tree.Select("last", word.at)

    def _limit(self, word: Token) -> tree.Limit:
        count = self._count("limit")
        if not self.sees_word("per"):
            self.stop("expected 'per' and a duration behind 'limit' and its number")
        self.word()
        return tree.Limit(count, self._duration("per"), word.at)

    def _words(self, what: str) -> tuple[tree.Word, ...]:
        words = []
        while True:
            if self.token.kind not in (Kind.NAME, Kind.TYPE):
                self.stop(f"expected {what}")
            words.append(self._word())
            if not self.accept(","):
                return tuple(words)

    def _result(self) -> tree.Result:
        self.expect("->", "and what the rule makes")
        function = self._name("the name of a function behind '->'")
        arguments = topic = None
        actions: tuple[tree.Word, ...] = ()
        if self.sees("("):
            arguments = self.listed(")", self.take(), "an argument")
        if self.sees_word("to"):
            self.word()
            topic = self.expression("a topic behind 'to'")
        if self.sees_word("do"):
            self.word()
            actions = self._words("the name of an action behind 'do'")
        return tree.Result(function, arguments, topic, actions)


class Parsed:
    """A program that was read: its tree, and what the formatter needs to write it anew."""

    def __init__(self, text: str, file: str = "") -> None:
        self.problems = Problems(text, file)
        self.tokens = Tokens((), (), frozenset())
        self.words: set[int] = set()
        self.unit = tree.Unit((), file, text)
        if len(text) > TEXT_MAX:
            self.problems.add(TEXT_MAX, f"the program is longer than {TEXT_MAX:,} characters")
            return
        self.tokens = tokenize(self.problems)
        parser = _Parser(self.tokens, self.problems)
        self.unit = tree.Unit(parser.unit(), file, text)
        self.words = parser.words


def read(text: str, file: str = "") -> Parsed:
    """Read a program.  Raises RuleError with everything that is wrong with its grammar."""
    parsed = Parsed(text, file)
    parsed.problems.check()
    return parsed


def parse(text: str, file: str = "") -> tree.Unit:
    """The syntax tree of a program; ``file`` is what errors call it.

    Raises RuleError with everything that is wrong with its grammar.
    """
    return read(text, file).unit
