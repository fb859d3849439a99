"""A machine for regular expressions with boundaries of words in texts that are not ASCII.

It is Pike's: all ways through the pattern are followed at once, in the order in which they are to be preferred, each
with the places of its groups.  Time is at most the length of the text times that of the program: nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from broker.errors import BadRegex
from broker.extras import needed_for
from broker.rules.regex import sets
from broker.rules.regex.nodes import Alternatives, Assertion, Group, Node, Parsed, Repeat, Sequence, Set

with needed_for("regular expressions in rules"):
    import re2

__all__ = ["PROGRAM_MAX", "Machine", "machine"]

PROGRAM_MAX: Final = 20_000
"""Instructions of one program: what follows every character of a text."""

_CHAR, _SPLIT, _SAVE, _ASSERT, _MATCH = range(5)

Spans = list[tuple[int, int]]
Slots = tuple[int, ...]


@lru_cache(maxsize=10_000)
def _in_set(text: str, fold: bool, letter: str) -> bool:
    return _test(text, fold)(letter)


@lru_cache(maxsize=1_000)
def _test(text: str, fold: bool) -> Callable[[str], bool]:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not fold
    engine = re2.compile(f"[{text}]".encode(), options)
    return lambda letter: engine.search(letter.encode(errors="surrogatepass")) is not None


def _word(letter: str) -> bool:
    return _in_set(sets.WORD, False, letter)


def _ascii_word(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter == "_")


def _holds(kind: str, text: str, place: int) -> bool:
    """An assertion at a place between characters."""
    match kind:
        case "\\A":
            return place == 0
        case "\\z":
            return place == len(text)
        case "(?m:^)":
            return place == 0 or text[place - 1] == "\n"
        case "(?m:$)":
            return place == len(text) or text[place] == "\n"
    word = _ascii_word if kind.startswith("(?-u)") else _word
    before = place > 0 and word(text[place - 1])
    behind = place < len(text) and word(text[place])
    return (before != behind) == kind.endswith("b")


class Machine:
    """A program: instructions (what, first operand, second operand)."""

    def __init__(self, groups: int, pattern: str) -> None:
        self.pattern = pattern
        self.program: list[tuple[int, Any, Any]] = []
        self.groups = groups  # those that are taken
        self.slots = 2 * (groups + 1)

    def find_all(self, text: str) -> Iterator[Spans]:
        """Every match, from left to right; an empty match does not touch the one before it."""
        place, last = 0, -1
        while place <= len(text):
            found = self.find(text, place)
            if found is None:
                return
            start, end = found[0]
            if start == end == last:
                place = end + 1
                continue
            yield found
            place = last = end

    def find(self, text: str, place: int) -> Spans | None:
        """The first match from a place on: where it and each of its groups begin and end, -1 for none."""
        threads: list[tuple[int, Slots]] = []
        found: Slots | None = None
        empty = (-1,) * self.slots
        while True:
            follow: list[tuple[int, Slots]] = []
            seen: set[int] = set()
            for at, slots in threads:
                self._add(follow, seen, at, slots, text, place)
            if found is None:
                self._add(follow, seen, 0, empty, text, place)
            threads = []
            for at, slots in follow:
                what, first, second = self.program[at]
                if what == _MATCH:
                    found = slots
                    break
                if place < len(text) and _in_set(first, second, text[place]):
                    threads.append((at + 1, slots))
            place += 1
            if place > len(text) or (not threads and found is not None):
                break
        if found is None:
            return None
        return [
            (found[each], found[each + 1]) if found[each + 1] >= 0 else (-1, -1) for each in range(0, self.slots, 2)
        ]

    def _add(
        self, follow: list[tuple[int, Slots]], seen: set[int], at: int, slots: Slots, text: str, place: int
    ) -> None:
        """Go on to the instructions that take a character or are the end, the preferred first."""
        waiting = [(at, slots)]
        while waiting:
            at, slots = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            what, first, second = self.program[at]
            if what == _SPLIT:
                waiting += [(second, slots), (first, slots)]
            elif what == _SAVE:
                slot: int = first
                waiting.append((at + 1, (*slots[:slot], place, *slots[slot + 1 :])))
            elif what == _ASSERT:
                if _holds(first, text, place):
                    waiting.append((at + 1, slots))
            else:
                follow.append((at, slots))


def machine(parsed: Parsed, pattern: str = "", *, captures: bool = True) -> Machine:
    """The program of a pattern; without ``captures`` it takes the whole match alone, in less time.

    Raises BadRegex for one that is too long.
    """
    made = Machine(parsed.groups if captures else 0, pattern)
    _put(made, Group(0, parsed.node))
    made.program.append((_MATCH, None, None))
    return made


def _put(made: Machine, node: Node) -> None:
    program = made.program
    if len(program) > PROGRAM_MAX:
        raise BadRegex(
            made.pattern, f"with \\b and a text that is not ASCII it would need more than {PROGRAM_MAX:,} instructions"
        )
    match node:
        case Set(text=text, fold=fold):
            program.append((_CHAR, text, fold))
        case Assertion(kind=kind):
            program.append((_ASSERT, kind, None))
        case Group(number=number, node=inner) if number > made.groups:
            _put(made, inner)
        case Group(number=number, node=inner):
            program.append((_SAVE, 2 * number, None))
            _put(made, inner)
            program.append((_SAVE, 2 * number + 1, None))
        case Sequence(nodes=nodes):
            for each in nodes:
                _put(made, each)
        case Alternatives(nodes=nodes):
            _put_alternatives(made, nodes)
        case Repeat():
            _put_repeat(made, node)


def _put_alternatives(made: Machine, nodes: tuple[Node, ...]) -> None:
    program, ends = made.program, []
    for each in nodes[:-1]:
        split = len(program)
        program.append((_SPLIT, None, None))
        _put(made, each)
        ends.append(len(program))
        program.append((_SPLIT, None, None))
        program[split] = (_SPLIT, split + 1, len(program))
    _put(made, nodes[-1])
    for end in ends:
        program[end] = (_SPLIT, len(program), len(program))


def _put_repeat(made: Machine, node: Repeat) -> None:
    program = made.program
    for _ in range(node.least if node.most is not None else node.least - 1):
        _put(made, node.node)
    if node.most is None:
        _put_loop(made, node)
        return
    splits = []
    for _ in range(node.most - node.least):
        splits.append(len(program))
        program.append((_SPLIT, None, None))
        _put(made, node.node)
    for split in splits:
        program[split] = _branch(split + 1, len(program), node.greedy)


def _put_loop(made: Machine, node: Repeat) -> None:
    """Once or more; or, if it may also be never, that or nothing: else what is empty once would not be looked at."""
    program = made.program
    start = len(program)
    if node.least == 0:
        program.append((_SPLIT, None, None))
    inside = len(program)
    _put(made, node.node)
    program.append(_branch(inside, len(program) + 1, node.greedy))
    if node.least == 0:
        program[start] = _branch(inside, len(program), node.greedy)


def _branch(inside: int, outside: int, greedy: bool) -> tuple[int, Any, Any]:
    return (_SPLIT, inside, outside) if greedy else (_SPLIT, outside, inside)
