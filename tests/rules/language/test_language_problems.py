"""Syntax errors as people see them: the whole text, with the line and the caret; several in one run."""

from __future__ import annotations

from time import perf_counter

import pytest
from language_programs import syntax_problems

from broker.errors import RuleError
from broker.rules.language import load, parse

MISTAKEN = """\
evnt Cpu { load };
event Disk { used, };
event Host { name: string
predicate full(Disk d) = d.used > [0.9];
predicate hot(Cpu c) := c.load > ;
predicate both(Cpu c) := c.load > [1, 2 \N{EURO SIGN} 3];
Full: [Disk d : full] witin 5s -> alarm;
Hot: [Cpu c : hot] within 5 -> alarm
Both: [Cpu, ] -> alarm;
x = "abc;
y = 5s3;
z = 1 < 2 < 3;
"""

TOLD = """\
bad.ev: line 1, column 1: expected a declaration: an event, a predicate, a function, a rule, or an assignment, \
found 'evnt'; did you mean 'event'?
  1 | evnt Cpu { load };
    | ^
bad.ev: line 2, column 20: expected a member's name, found '}'
  2 | event Disk { used, };
    |                    ^
bad.ev: line 4, column 1: expected ',' or '}' to close the '{' of line 3, column 12, found 'predicate'
  4 | predicate full(Disk d) = d.used > [0.9];
    | ^
bad.ev: line 4, column 24: expected ':=' behind the parameters of 'full', found '='; '=' needs a ':' before it here
  4 | predicate full(Disk d) = d.used > [0.9];
    |                        ^
bad.ev: line 5, column 34: expected an operand behind '>', found ';'
  5 | predicate hot(Cpu c) := c.load > ;
    |                                  ^
bad.ev: line 6, column 41: '\N{EURO SIGN}' is no sign of the language
  6 | predicate both(Cpu c) := c.load > [1, 2 \N{EURO SIGN} 3];
    |                                         ^
bad.ev: line 7, column 23: expected '->' and what the rule makes, or one of on, within, per, last, every, each, first, \
consume, limit, found 'witin'; did you mean 'within'?
  7 | Full: [Disk d : full] witin 5s -> alarm;
    |                       ^
bad.ev: line 8, column 27: expected a duration behind 'within', found '5'; say its unit, such as 5s
  8 | Hot: [Cpu c : hot] within 5 -> alarm
    |                           ^
bad.ev: line 9, column 13: expected an event's type, found ']'
  9 | Both: [Cpu, ] -> alarm;
    |             ^
bad.ev: line 10, column 5: this text is not closed: '"' is missing at its end, on the same line
  10 | x = "abc;
     |     ^
bad.ev: line 11, column 5: '5s3' is no number and no duration: the units of durations are ns, us, ms, s, m, h, d
  11 | y = 5s3;
     |     ^
bad.ev: line 12, column 11: comparisons do not form chains: say 'a < b and b < c'
  12 | z = 1 < 2 < 3;
     |           ^"""


def test_everything_that_is_wrong_is_told_with_its_line_and_a_caret() -> None:
    with pytest.raises(RuleError) as caught:
        parse(MISTAKEN, "bad.ev")
    assert str(caught.value) == TOLD


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("", 1, "expected a declaration, found the end of the file"),
        ("  // nothing\n", 1, "expected a declaration, found the end of the file"),
        ("x = 1", 6, "expected ';' at the end of the declaration, found the end of the file"),
        ("x = 1 y", 7, "expected ';' at the end of the declaration, found 'y'"),
        ("x = a = b;", 7, "expected ';' at the end of the declaration, found '='; '==' compares"),
        ("x = ;", 5, "expected the value of 'x', found ';'"),
        ("x = (1;", 7, "expected ')' to close the '(' of line 1, column 5, found ';'"),
        ("x = f(1 2);", 9, "expected ',' or ')' to close the '(' of line 1, column 6, found '2'"),
        ("x = f(a = 2);", 9, "expected ',' or ')' to close the '(' of line 1, column 6, found '='; '==' compares"),
        ("x = [];", 5, "a vector has at least one component"),
        ("x = {};", 6, "expected a member's name, found '}'"),
        ("x = { a: 1 };", 8, "expected '=' behind the member 'a', found ':'"),
        ("x = a.;", 7, "expected a member's name behind '.', found ';'"),
        ("x = a.b.c;", 8, "members have no members of their own"),
        ("x = A;", 5, "expected the value of 'x', found 'A'; a type is no value"),
        ("x = 2^-1;", 7, "expected an exponent behind '^', found '-'; put a negative one in parentheses: a^(-1)"),
        ("x = 2^3^4;", 8, "'^' does not form chains: put one of them in parentheses"),
        ("x = 1 + * 2;", 9, "expected an operand behind '+', found '*'"),
        ("x = not 1 +;", 12, "expected an operand behind '+', found ';'"),
        ("x = (not) + -;", 14, "expected an operand behind '-', found ';'"),
        ("x = event;", 5, "expected the value of 'x', found 'event'"),
        ("x = 1m1h;", 5, "'1m1h': the units of a duration go from long to short, each once"),
        ("x = 0.5ns;", 5, "'0.5ns' is no whole number of nanoseconds"),
        ("x = 106752d;", 5, "this duration is out of range: the longest is 292 years (106751d)"),
        ("x = 1e999;", 5, "this number is out of range: the greatest is about 1.8e308"),
        ("x = 1.2.3;", 5, "'1.2.3' is no number and no duration: the units of durations are ns, us, ms, s, m, h, d"),
        ('x = "\\q";', 6,
         "'\\q' says nothing in a text: there are \\\" \\\\ \\n \\t and \\u with four hexadecimal digits"),
        ('x = "\\ud800";', 5, "this text holds half of a character (a lone surrogate), which cannot be sent"),
        ("x = 1; /* and", 8, "this comment is not closed: '*/' is missing"),
        ("x = 1; \x00\x1b;", 8, "'\\x00\\x1b' is no sign of the language"),
        ("event { a };", 7, "expected the event's name, found '{'"),
        ("event a { a };", 7, "expected the event's name, found 'a'; a type's name begins with a capital"),
        ("event A extend B { a };", 9, "expected '{' and the members of 'A', found 'extend'; did you mean 'extends'?"),
        ("event A extends { a };", 17, "expected the name of the event that it extends, found '{'"),
        ("event A {};", 10, "expected a member's name, found '}'"),
        ("event A { B };", 11, "expected a member's name, found 'B'; it begins with a small letter"),
        ("event A { event };", 11, "expected a member's name, found 'event'; 'event' is a reserved word"),
        ("event A { a: };", 14, "expected the type of 'a', found '}'"),
        ("event A { a b };", 13, "expected ',' or '}' to close the '{' of line 1, column 9, found 'b'"),
        ("predicate P(A a) := b;", 11, "expected the predicate's name, found 'P'; it begins with a small letter"),
        ("predicate p := b;", 13, "expected '(' and the parameters of 'p', found ':='"),
        ("predicate p(a) := b;", 13, "expected a parameter's type, found 'a'; a type's name begins with a capital"),
        ("predicate p(A) := b;", 14, "expected the name of a parameter behind 'A', found ')'"),
        ("predicate p(A a;", 16, "expected ',' or ')' to close the '(' of line 1, column 12, found ';'"),
        ("f(A a) := b;", 1, ("expected a declaration: an event, a predicate, a function, a rule, or an assignment, "
         "found 'f'; a function begins with the type that it makes")),
        ("r: [A] -> f;", 1, ("expected a declaration: an event, a predicate, a function, a rule, or an assignment, "
         "found 'r'; a rule's name begins with a capital")),
        ("R [A] -> f;", 3, "expected ':' behind the rule's name 'R', found '['"),
        ("R: A -> f;", 4, "expected '[' and the events of the rule 'R', found 'A'"),
        ("R: [a] -> f;", 5, "expected an event's type, found 'a'; a type's name begins with a capital"),
        ("R: [A a b] -> f;", 9, "expected ',', ':' or ']' to close the '[' of line 1, column 4, found 'b'"),
        ("R: [A : ] -> f;", 9, "expected a predicate or a condition, found ']'"),
        ("R: [A : b c] -> f;", 11, "expected ',' or ']' to close the '[' of line 1, column 4, found 'c'"),
        ("R: [A] f;", 8, ("expected '->' and what the rule makes, or one of on, within, per, last, every, each, first, "
         "consume, limit, found 'f'")),
        ("R: [A];", 7, "expected '->' and what the rule makes, found ';'"),
        ("R: [A] -> ;", 11, "expected the name of a function behind '->', found ';'"),
        ("R: [A] -> F;", 11, "expected the name of a function behind '->', found 'F'; it begins with a small letter"),
        ("R: [A] on host -> f;", 11,
         "expected the beginning of topics behind 'on', such as \"host/\", found 'host'"),
        ("R: [A] every -> f;", 14, "expected a duration behind 'every', found '->', such as 90s, 5m or 1h30m"),
        ("R: [A] limit -> f;", 14, "expected a number behind 'limit', found '->'"),
        ("R: [A] limit 5 -> f;", 16, "expected 'per' and a duration behind 'limit' and its number, found '->'"),
        ("R: [A] per -> f;", 12, "expected a member's name behind 'per', found '->'"),
        ("R: [A] -> f to;", 15, "expected a topic behind 'to', found ';'"),
        ("R: [A] -> f do;", 15, "expected the name of an action behind 'do', found ';'"),
    ],
)  # fmt: skip
def test_what_was_expected_is_told(text: str, column: int, what: str) -> None:
    told = syntax_problems(text)
    assert [(problem.column, problem.what) for problem in told] == [(column, what)]


def test_twenty_problems_are_told_and_the_others_counted() -> None:
    told = syntax_problems("event a;\n" * 50)
    assert len(told) == 21
    assert str(told[-1]) == "it.ev: and 30 more"


def test_a_missing_semicolon_does_not_hide_the_next_declaration() -> None:
    told = syntax_problems("x = 1\nevent A { a }\npredicate p(A a) := a.b >\nE f() := g()\nR: [A] -> f\ny = 1;")
    assert [(problem.line, problem.column) for problem in told] == [(1, 6), (2, 14), (4, 1), (4, 13), (6, 1)]


def _excerpt(text: str) -> list[str]:
    return syntax_problems(text)[0].excerpt.split("\n")


def test_the_caret_stands_below_its_place_with_tabs_and_broad_characters() -> None:
    assert _excerpt("\tx\t= ;") == ["  1 | \tx\t= ;", "    | \t \t  ^"]
    assert _excerpt('x = "界e\u0301" ;;') == ['  1 | x = "界e\u0301" ;;', "    | " + " " * 11 + "^"]


def test_a_long_line_is_shown_around_the_place() -> None:
    line, caret = _excerpt(f"x = {'1 + ' * 90};{' ' * 500}")
    assert len(line) < 140
    assert line.startswith("  1 | ...")
    assert line.endswith("...")
    assert line[caret.index("^")] == ";"


def test_a_line_cannot_lead_a_terminal_astray() -> None:
    line, caret = _excerpt('x = "\x1b[31m\u202e" ;;')
    assert line == '  1 | x = "\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}" ;;'
    assert line[caret.index("^")] == ";"


def test_messages_cannot_either() -> None:
    told = syntax_problems('x = a "\x1b[31m\ud800";\ny = "\\\x1b";')
    assert [problem.what for problem in told] == [
        "this text holds half of a character (a lone surrogate), which cannot be sent",
        "expected ';' at the end of the declaration, found \"\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}\"",
        (
            "'\\\N{REPLACEMENT CHARACTER}' says nothing in a text: "
            'there are \\" \\\\ \\n \\t and \\u with four hexadecimal digits'
        ),
    ]


def test_lines_end_as_on_any_system() -> None:
    (problem,) = syntax_problems("x = 1;\r\ny = ;\r\n")
    assert (problem.line, problem.column) == (2, 5)
    assert problem.excerpt == "  2 | y = ;\n    |     ^"


def test_problems_of_meaning_look_the_same() -> None:
    with pytest.raises(RuleError) as caught:
        load("event A { x: number };\npredicate p(A a) := a.y > 1;", "alerts.ev")
    assert str(caught.value) == (
        "alerts.ev: line 2, column 23: an event 'A' has no member 'y': it has x\n"
        "  2 | predicate p(A a) := a.y > 1;\n"
        "    |                       ^"
    )


def test_types_that_extend_each_other_have_an_end() -> None:
    levels = "".join(f"event E{level + 1} extends E{level} {{ m{level}: number }};\n" for level in range(3_000))
    started = perf_counter()
    with pytest.raises(RuleError) as caught:
        load("event E0 { x: number };\n" + levels)
    assert perf_counter() - started < 5
    assert caught.value.problems[0].what == "'E99' has 99 ancestors: nothing can extend it any more"
    assert caught.value.problems[0].line == 101


def test_a_pattern_of_too_many_events_is_told_at_the_first_of_those() -> None:
    steps = ",\n".join(f"A a{place}" for place in range(2_000))
    with pytest.raises(RuleError) as caught:
        load(
            f"event A {{ x: number }};\nevent Out {{ x: number }};\nOut f(A a) := {{ x = 1 }};\nR: [{steps}] -> f(a0);"
        )
    assert [(each.line, each.what) for each in caught.value.problems] == [(54, "a pattern of 2,000 events; at most 50")]


def test_a_member_of_no_type_is_told_where_it_is_declared_and_nowhere_else() -> None:
    text = "event A { k: strin };\nevent B { k: string };\nevent O { x };\nO f(A a, B b) := { x = [1] };\n"
    with pytest.raises(RuleError) as caught:
        load(text + "R: [A, B] per k -> f;")
    assert [each.line for each in caught.value.problems] == [1]


def test_many_members_of_per_take_no_time() -> None:
    started = perf_counter()
    with pytest.raises(RuleError, match="'x' stands here twice"):
        load(
            "event A { x: number };\nO f(A a) := { x = 1 };\nevent O { x: number };\nR: [A a] per "
            + "x, " * 30_000
            + "x -> f;"
        )
    assert perf_counter() - started < 3
