r"""The syntax of regular expressions: that of Rust's ``regex``, read into a tree.

What RE2 writes otherwise, or has not, becomes the same thing in the tree: groups' names, ``(?x)``, ``(?U)``, Unicode's
``\w \d \s \b``, sets within sets.  What has no meaning in linear time (look-around, back-references) and what RE2
cannot say is told as an error, with the place where it stands.
"""

from __future__ import annotations

from typing import Final

from broker.rules.regex import sets
from broker.rules.regex.nodes import Alternatives, Assertion, Cursor, Flags, Group, Node, Parsed, Repeat, Sequence, Set

__all__ = ["DEPTH_MAX", "parse"]

DEPTH_MAX: Final = 100
"""Groups and sets within each other: who reads them may do so by recursion."""

COMPUTED_MAX: Final = 30
"""Sets that RE2 has not and that have to be computed, in one pattern: each takes milliseconds."""

_REPEATS_MAX: Final = 2**32 - 1


_LETTERS: Final = {"i": "fold", "m": "lines", "s": "dot_all", "U": "swap_greed", "u": "unicode", "x": "free"}
_CONTROLS: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}


def parse(pattern: str) -> Parsed:
    """Read a regular expression.  Raises SyntaxProblem."""
    parser = _Parser(pattern)
    node, _ = parser.alternatives(Flags(), 0)
    if parser.place < len(pattern):
        raise parser.problem("a ) that closes nothing")
    return Parsed(node, tuple(parser.names.items()), parser.groups)


class _Parser(Cursor):
    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self.groups = 0
        self.names: dict[str, int] = {}
        self.computed = 0

    # -- structure --

    def alternatives(self, flags: Flags, depth: int) -> tuple[Node, Flags]:
        """Up to the ) of the group around it, or the end."""
        if depth > DEPTH_MAX:
            raise self.problem(f"groups within groups, more than {DEPTH_MAX} deep")
        branches: list[Node] = []
        nodes: list[Node] = []
        while True:
            self.skip(flags)
            if self.place >= len(self.pattern) or self.peek(")"):
                branches.append(_sequence(nodes))
                return (branches[0] if len(branches) == 1 else Alternatives(tuple(branches))), flags
            if self.take("|"):
                branches.append(_sequence(nodes))
                nodes = []
            elif self.pattern[self.place] in "*+?{":
                self._repeat(nodes, flags)
            else:
                flags = self._atom(nodes, flags, depth)

    def _atom(self, nodes: list[Node], flags: Flags, depth: int) -> Flags:
        """One thing more in a sequence; or other flags for the rest of it."""
        letter = self.pattern[self.place]
        if letter == "(":
            group, flags = self._group(flags, depth)
            if group is not None:
                nodes.append(group)
            else:
                nodes.append(Sequence(()))  # flags alone: nothing that could be repeated
        elif letter == "[":
            self.place += 1
            nodes.append(Set(self._set(flags, depth + 1), flags.fold))
        elif letter == "\\":
            nodes.append(self._escape(flags))
        elif letter in ".^$":
            self.place += 1
            nodes.append(self._sign(letter, flags))
        else:
            self.place += 1
            nodes.append(self._letter(letter, flags))
        return flags

    def _letter(self, letter: str, flags: Flags) -> Node:
        if not flags.unicode and not letter.isascii():
            raise self.problem(f"{letter!r} where only ASCII is meant, (?-u)", self.place - 1)
        return Set(sets.char(ord(letter)), flags.fold)

    def _sign(self, sign: str, flags: Flags) -> Node:
        if sign == ".":
            if not flags.unicode:
                raise self.problem(". matches bytes that are no text where only ASCII is meant, (?-u)", self.place - 1)
            return Set(r"\x{0}-\x{10ffff}" if flags.dot_all else r"\x{0}-\t\x{b}-\x{10ffff}", fold=False)
        if sign == "^":
            return Assertion("(?m:^)" if flags.lines else r"\A")
        return Assertion("(?m:$)" if flags.lines else r"\z")

    def _repeat(self, nodes: list[Node], flags: Flags) -> None:
        start = self.place
        if not nodes or (self._were_flags and nodes[-1] == Sequence(())):
            raise self.problem(f"{self.pattern[start]} has nothing before it to repeat")
        sign = self.next("")
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign) or self._counts(flags, start)
        greedy = not self.take("?")
        nodes[-1] = Repeat(nodes[-1], least, most, greedy != flags.swap_greed)

    def _counts(self, flags: Flags, start: int) -> tuple[int, int | None]:
        """{n}, {n,} or {n,m}, behind its brace."""
        least = self._number(flags, start)
        most: int | None = least
        if self.take(","):
            self.skip(flags)
            most = None if self.peek("}") else self._number(flags, start)
        if not self.take("}"):
            raise self.problem("a { that begins no {n}, {n,} or {n,m}; a brace itself is \\{", start)
        if most is not None and least > most:
            raise self.problem(f"at least {least} and at most {most} times", start)
        return least, most

    def _number(self, flags: Flags, start: int) -> int:
        self.skip(flags)
        first = self.place
        while self.place < len(self.pattern) and self.pattern[self.place] in "0123456789":
            self.place += 1
        digits = self.pattern[first : self.place]
        if not digits:
            raise self.problem("a { that begins no {n}, {n,} or {n,m}; a brace itself is \\{", start)
        if len(digits) > 10 or int(digits) > _REPEATS_MAX:
            raise self.problem("a number that is too large", first)
        self.skip(flags)
        return int(digits)

    # -- groups --

    _were_flags = False

    def _group(self, flags: Flags, depth: int) -> tuple[Node | None, Flags]:
        start = self.place
        self.place += 1
        self._were_flags = False
        inner, number = flags, 0
        self.skip(flags)
        if self.take("?P<") or (self.peek("?<") and not self.peek("?<=") and not self.peek("?<!") and self.take("?<")):
            number = self._name(start)
        elif self.take("?"):
            inner = self._flags(flags, start)
            if self.take(")"):
                self._were_flags = True
                return None, inner
            self.place += 1  # the colon
        else:
            number = self._count_group()
        node, _ = self.alternatives(inner, depth + 1)
        if not self.take(")"):
            raise self.problem("a ( that is not closed", start)
        self._were_flags = False
        return (Group(number, node) if number else node), flags

    def _count_group(self) -> int:
        self.groups += 1
        return self.groups

    def _name(self, start: int) -> int:
        end = self.pattern.find(">", self.place)
        name = self.pattern[self.place : end] if end >= 0 else ""
        if not name or not (name[0] == "_" or name[0].isalpha()) or not all(c.isalnum() or c in "_.[]" for c in name):
            raise self.problem("a group whose name is none", start)
        if name in self.names:
            raise self.problem(f"two groups of the name {name!r}", start)
        self.place = end + 1
        self.names[name] = self._count_group()
        return self.names[name]

    def _flags(self, flags: Flags, start: int) -> Flags:
        """Up to the colon or the ) behind them."""
        for sign in ("=", "!", "<=", "<!"):
            if self.peek(sign):
                raise self.problem("look-around is not supported: it cannot be had in linear time", start)
        changed, on, first = dict[str, bool](), True, self.place
        while not (self.peek(":") or self.peek(")")):
            letter = self.next("a (")
            if letter == "-" and on:
                on = False
            elif letter in _LETTERS and _LETTERS[letter] not in changed:
                changed[_LETTERS[letter]] = on
            elif letter == "R":
                raise self.problem("the flag R (lines that end with \\r\\n) is not supported", start)
            else:
                raise self.problem(f"(?{self.pattern[first : self.place]} begins no group and no flags", start)
        if self.pattern[self.place - 1] == "-" or (self.place == first and self.peek(")")):
            raise self.problem("flags that say nothing", start)
        found = flags._replace(**changed)
        if found.fold and not found.unicode:
            raise self.problem("the flags i and -u together are not supported", start)
        return found

    # -- escapes --

    def _escape(self, flags: Flags) -> Node:
        start = self.place
        self.place += 1
        letter = self.next("a \\")
        if letter in "Az":
            return Assertion(f"\\{letter}")
        if letter in "bB":
            return Assertion(f"\\{letter}" if flags.unicode else f"(?-u)\\{letter}")
        if letter in "dDwWsS":
            return Set(self._perl(letter, flags, start), fold=False)
        if letter in "pP":
            return Set(self._property(letter, flags, start), flags.fold)
        return self._checked(self._code(letter, start), flags, start)

    def _checked(self, code: int, flags: Flags, start: int) -> Set:
        if not flags.unicode and code > 127:
            raise self.problem("a character where only ASCII is meant, (?-u)", start)
        return Set(sets.char(code), flags.fold)

    def _perl(self, letter: str, flags: Flags, start: int) -> str:
        if flags.unicode:
            return sets.PERL.get(letter) or sets.negate(sets.WORD, fold=False)
        if letter not in sets.ASCII_PERL:
            raise self.problem(f"\\{letter} matches bytes that are no text where only ASCII is meant, (?-u)", start)
        return sets.ASCII_PERL[letter]

    def _property(self, letter: str, flags: Flags, start: int) -> str:
        if not flags.unicode:
            raise self.problem("a class of Unicode where only ASCII is meant, (?-u)", start)
        name = self.next("\\p")
        if name == "{":
            end = self.pattern.find("}", self.place)
            if end < 0:
                raise self.problem("a { that is not closed", start)
            name = self.pattern[self.place : end]
            self.place = end + 1
        other = "!=" in name
        found = sets.property_set(name.replace("!=", "=")) if len(name) <= 100 else None
        if found is None:
            raise self.problem(
                f"\\p{{{name[:40]}}}: Unicode has no such category or script, or it is not supported", start
            )
        if (letter == "P") == other:
            return found
        if found.startswith(r"\p{") and found.count("{") == 1:
            return r"\P" + found[2:]
        return sets.negate(found, fold=flags.fold)

    def _code(self, letter: str, start: int) -> int:
        """The character that an escape means."""
        if letter in "0123456789":
            raise self.problem("back-references are not supported: they cannot be had in linear time", start)
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in "xuU":
            return self._hexadecimal({"x": 2, "u": 4, "U": 8}[letter], start)
        if letter.isascii() and not letter.isalnum() and letter not in "<>":
            return ord(letter)
        raise self.problem(f"\\{letter} is no escape", start)

    def _hexadecimal(self, length: int, start: int) -> int:
        if self.take("{"):
            end = self.pattern.find("}", self.place)
            digits = self.pattern[self.place : end] if end >= 0 else ""
            self.place = end + 1 if end >= 0 else self.place
        else:
            digits = self.pattern[self.place : self.place + length]
            self.place += length
            if len(digits) < length:
                digits = ""
        valid = 0 < len(digits) <= 8 and all(digit in "0123456789abcdefABCDEF" for digit in digits)
        code = int(digits, 16) if valid else -1
        if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise self.problem("an escape that is no character's number", start)
        return code

    # -- sets --

    def _set(self, flags: Flags, depth: int) -> str:
        """What stands in [ ], behind the first."""
        start = self.place - 1
        if depth > DEPTH_MAX:
            raise self.problem(f"sets within sets, more than {DEPTH_MAX} deep", start)
        self.skip(flags)
        negated = self.take("^")
        self.skip(flags)
        items: list[str] = []
        while self.take("-"):
            items.append(sets.char(ord("-")))
            self.skip(flags)
        if not items and self.take("]"):
            items.append(sets.char(ord("]")))
        found = self._union(items, flags, depth, start)
        while not self.take("]"):
            operator = self.pattern[self.place : self.place + 2]
            self.place += 2
            second = self._union([], flags, depth, start)
            self._count_computed(start)
            found = sets.combine(operator, found, second, fold=flags.fold)
        if negated and not flags.unicode:
            raise self.problem("a set that matches bytes that are no text where only ASCII is meant, (?-u)", start)
        return _negated(found) if negated else found

    def _union(self, items: list[str], flags: Flags, depth: int, start: int) -> str:
        """Up to the end of the set, or to an operator."""
        while True:
            self.skip(flags)
            if self.place >= len(self.pattern):
                raise self.problem("a [ that is not closed", start)
            if self.peek("]") or self.peek("&&") or self.peek("--") or self.peek("~~"):
                return _united(items)
            if self.peek("["):
                items.append(self._posix() or self._inner(flags, depth))
            else:
                items.append(self._range(flags, start))

    def _inner(self, flags: Flags, depth: int) -> str:
        """A set within a set: what it leaves out has to be written as what it has."""
        self.place += 1
        start = self.place - 1
        found = self._set(flags, depth + 1)
        if not found.startswith("^"):
            return found
        self._count_computed(start)
        return sets.negate(found[1:], fold=flags.fold)

    def _count_computed(self, start: int) -> None:
        self.computed += 1
        if self.computed > COMPUTED_MAX:
            raise self.problem(f"more than {COMPUTED_MAX} sets within sets, intersections and differences", start)

    def _posix(self) -> str:
        end = self.pattern.find(":]", self.place + 2)
        if not self.peek("[:") or end < 0:
            return ""
        found = sets.posix(self.pattern[self.place + 2 : end])
        if found is None:
            return ""
        self.place = end + 2
        return found

    def _range(self, flags: Flags, start: int) -> str:
        low = self._item(flags)
        self.skip(flags)
        if not self.peek("-") or self.peek("-]") or self.peek("--"):
            return sets.char(low) if isinstance(low, int) else low
        place = self.place
        self.place += 1
        self.skip(flags)
        if self.place >= len(self.pattern):
            raise self.problem("a [ that is not closed", start)
        if self.peek("]"):  # white space between
            self.place = place + 1
            return (sets.char(low) if isinstance(low, int) else low) + sets.char(ord("-"))
        high = self._item(flags)
        if not isinstance(low, int) or not isinstance(high, int) or low > high:
            raise self.problem("a range of characters that is none", place)
        return f"{sets.char(low)}-{sets.char(high)}"

    def _item(self, flags: Flags) -> int | str:
        """A character, by its number, or a class."""
        start = self.place
        letter = self.next("a [")
        if letter != "\\":
            code = ord(letter)
        else:
            letter = self.next("a \\")
            if letter in "dDwWsS":
                return self._perl(letter, flags, start)
            if letter in "pP":
                return self._property(letter, flags, start)
            code = self._code(letter, start)
        self._checked(code, flags, start)
        return code


def _sequence(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))


def _united(items: list[str]) -> str:
    """One set of several; that of no character adds nothing, and cannot stand beside others."""
    kept = [item for item in items if item != sets.text_of(())]
    return "".join(kept) if kept else sets.text_of(())


def _negated(found: str) -> str:
    """Every other character: ``^`` at the beginning, or no longer there."""
    return found[1:] if found.startswith("^") else f"^{found}"
