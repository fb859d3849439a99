"""Every production of the grammar, as the tree that it becomes."""

from __future__ import annotations

import pytest
from language_programs import SLIDES, syntax_problems

from broker.rules.language import load, parse, tree
from broker.rules.language.problems import Place

AT = Place(0, 1, 1)


def word(name: str) -> tree.Word:
    return tree.Word(name, AT)


def name(text: str) -> tree.Name:
    return tree.Name(text, AT)


def number(value: float) -> tree.Number:
    return tree.Number(value, AT)


def binary(left: tree.Expression, sign: str, right: tree.Expression) -> tree.Binary:
    return tree.Binary(sign, left, right, AT, AT)


def expression(text: str) -> tree.Expression:
    (declaration,) = parse(f"x = {text};").declarations
    assert isinstance(declaration, tree.Assignment)
    return declaration.value


def rule(text: str) -> tree.RuleDecl:
    (declaration,) = parse(f"R: {text};").declarations
    assert isinstance(declaration, tree.RuleDecl)
    return declaration


A, B, C = name("a"), name("b"), name("c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", number(1)),
        ("1.50", number(1.5)),
        ("1e3", number(1000.0)),
        ("2.5e-3", number(0.0025)),
        ("18446744073709551615", number(2**64 - 1)),
        ("18446744073709551616", number(2.0**64)),
        ("007", number(7)),
        ('"a \\"b\\" \\\\ \\n \\t \\u00e4 \\ud83d\\ude00 ä"', tree.Text('a "b" \\ \n \t ä 😀 ä', AT)),
        ("90s", tree.Duration(90_000_000_000, AT)),
        ("1d2h3m4s5ms6us7ns", tree.Duration(93_784_005_006_007, AT)),
        ("1.5h", tree.Duration(5_400_000_000_000, AT)),
        ("a", A),
        ("a.b", tree.MemberOf("a", "b", AT, AT)),
        ("a.Count", tree.MemberOf("a", "Count", AT, AT)),
        ("(a)", A),
        ("[1, a]", tree.Vector((number(1), A), AT)),
        ("{ b = 1, c = a }", tree.Literal((tree.Given("b", number(1), AT), tree.Given("c", A, AT)), AT)),
        ("f()", tree.Call("f", (), AT)),
        ("f(a, 1)", tree.Call("f", (A, number(1)), AT)),
        ("-a", tree.Negative(A, AT)),
        ("--a", tree.Negative(tree.Negative(A, AT), AT)),
        ("not a", tree.Not(A, AT)),
        ("not not (a)", tree.Not(tree.Not(A, AT), AT)),
        ("not [1] == a", tree.Not(binary(tree.Vector((number(1),), AT), "==", A), AT)),
        ("not - a", binary(name("not"), "-", A)),
        *((f"a {sign} b", binary(A, sign, B)) for sign in ("==", "!=", ">", "<", ">=", "<=", "+", "-", "*", "/", "^")),
        *((f"a {sign} b", binary(A, sign, B)) for sign in ("in", "contains", "matches")),
        ("a and b", tree.Logical("and", (A, B), AT)),
        ("a or b or c", tree.Logical("or", (A, B, C), AT)),
        ("(a or b) or c", tree.Logical("or", (tree.Logical("or", (A, B), AT), C), AT)),
    ],
)
def test_expressions(text: str, expected: tree.Expression) -> None:
    assert expression(text) == expected


@pytest.mark.parametrize(
    ("text", "explicit"),
    [
        ("a or b and c", "a or (b and c)"),
        ("not a and b", "(not a) and b"),
        ("not a == b", "not (a == b)"),
        ("a + b == c - b", "(a + b) == (c - b)"),
        ("a - b - c", "(a - b) - c"),
        ("a + b * c", "a + (b * c)"),
        ("a / b * c", "(a / b) * c"),
        ("-a * b", "(-a) * b"),
        ("-a^b", "-(a^b)"),
        ("a * b^c", "a * (b^c)"),
        ("-a + b", "(-a) + b"),
        ("a + -b", "a + (-b)"),
        ("a.b^(-1)", "(a.b)^(-1)"),
        ("a in b or a contains c", "(a in b) or (a contains c)"),
    ],
)
def test_operators_bind_from_loose_to_tight(text: str, explicit: str) -> None:
    assert expression(text) == expression(explicit)


def test_events() -> None:
    text = "event A extends B { x, y: number }; event C { x = [1], y: number = 2 } c;"
    assert parse(text).declarations == (
        tree.EventDecl(
            word("A"),
            word("B"),
            (tree.MemberDecl("x", None, None, AT), tree.MemberDecl("y", word("number"), None, AT)),
            None,
            AT,
        ),
        tree.EventDecl(
            word("C"),
            None,
            (
                tree.MemberDecl("x", None, tree.Vector((number(1),), AT), AT),
                tree.MemberDecl("y", word("number"), number(2), AT),
            ),
            word("c"),
            AT,
        ),
    )


def test_predicates_and_functions() -> None:
    parameters = (tree.Parameter(word("A"), False, word("a")), tree.Parameter(word("B"), True, word("b")))
    assert parse("predicate p(A a, B+ b) := c; E f(A a, B+ b) := c; E g() := c;").declarations == (
        tree.PredicateDecl(word("p"), parameters, C, AT),
        tree.FunctionDecl(word("E"), word("f"), parameters, C, AT),
        tree.FunctionDecl(word("E"), word("g"), (), C, AT),
    )


def test_steps() -> None:
    second = tree.Duration(1_000_000_000, AT)
    assert rule("[A, A a, A+ a, !A a, !A within 1s, !A a within 1s, A within] -> f").steps == (
        tree.Step(word("A"), False, False, None, None, AT),
        tree.Step(word("A"), False, False, word("a"), None, AT),
        tree.Step(word("A"), False, True, word("a"), None, AT),
        tree.Step(word("A"), True, False, word("a"), None, AT),
        tree.Step(word("A"), True, False, None, second, AT),
        tree.Step(word("A"), True, False, word("a"), second, AT),
        tree.Step(word("A"), False, False, word("within"), None, AT),
    )


def test_clauses() -> None:
    assert rule("[A a : b, a > c] -> f").clauses == (B, binary(A, ">", C))
    assert rule("[A a] -> f").clauses == ()
    assert rule("[] -> f").steps == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('on "a/", "b/"', tree.On((tree.Text("a/", AT), tree.Text("b/", AT)), AT)),
        ("within 1s", tree.Within(tree.Duration(10**9, AT), AT)),
        ("per host, mount", tree.Per((word("host"), word("mount")), AT)),
        ("last 100", tree.Last(number(100), AT)),
        ("last 1s", tree.Last(tree.Duration(10**9, AT), AT)),
        ("every 1s", tree.Every(tree.Duration(10**9, AT), AT)),
        ("each", tree.Select("each", AT)),
        ("first", tree.Select("first", AT)),
        ("last", tree.Select("last", AT)),
        ("consume", tree.Consume(AT)),
        ("limit 2 per 1s", tree.Limit(number(2), tree.Duration(10**9, AT), AT)),
    ],
)
def test_modifiers(text: str, expected: tree.Modifier) -> None:
    assert rule(f"[A] {text} -> f").modifiers == (expected,)


def test_modifiers_stand_in_any_order() -> None:
    one = rule("[A] last 5 last per x consume limit 1 per 5m within 1s -> f").modifiers
    other = rule("[A] within 1s limit 1 per 5m consume per x last last 5 -> f").modifiers
    assert len(one) == 6
    assert set(one) == set(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f", tree.Result(word("f"), None, None, ())),
        ("f()", tree.Result(word("f"), (), None, ())),
        ("f(a, b)", tree.Result(word("f"), (A, B), None, ())),
        ("f to a + b", tree.Result(word("f"), None, binary(A, "+", B), ())),
        ("f do b, c", tree.Result(word("f"), None, None, (word("b"), word("c")))),
        ("f(a) to b do c", tree.Result(word("f"), (A,), B, (word("c"),))),
    ],
)
def test_results(text: str, expected: tree.Result) -> None:
    assert rule(f"[A] -> {text}").result == expected


def test_the_published_program_parses() -> None:
    kinds = [type(declaration).__name__ for declaration in parse(SLIDES).declarations]
    assert kinds == ["EventDecl"] * 3 + ["FunctionDecl"] + ["PredicateDecl"] * 2 + ["RuleDecl"]


ADDED = [
    "on", "within", "per", "last", "every", "each", "first", "consume", "limit", "to", "do", "not", "and", "or", "in",
    "contains", "matches", "true", "false", "count", "sum", "mean", "min", "max", "percentile", "distinct", "slope",
    "len", "abs", "lower", "time", "topic", "origin", "number", "vector", "boolean", "string", "address", "any",
]  # fmt: skip


@pytest.mark.parametrize("added", ADDED)
def test_every_added_word_is_a_name_in_published_programs(added: str) -> None:
    text = f"""
event A {{ {added} }};
A f(A {added}) := {{ {added} = {added}.{added} + 2 * {added}.{added} }};
predicate {added}(A {added}) := {added}.{added} - {added}.{added} > -{added}.{added};
predicate other(A a, A {added}) := {added}(a) == {added}({added});
R: [A : {added}] -> f;
A {added}2(A a) := f(a);
"""
    assert len(parse(text).declarations) == 6


def test_comments_and_white_space_separate_tokens_only() -> None:
    text = "/* a ; \n event */predicate/**/p ( A\ta ) // b\r\n:= a . b//;\n> a./* ** / * */c ;\u00a0//"
    assert parse(text) == parse("predicate p(A a) := a.b > a.c;")
    assert parse("\ufeffx = 1;\n\ufeffy = 2;") == parse("x=1;y=2;")


def test_places_count_characters_and_lines_from_one() -> None:
    text = 'x = "ä😀" +\n\t\tnothing;'
    (declaration,) = parse(text).declarations
    assert isinstance(declaration, tree.Assignment)
    assert isinstance(declaration.value, tree.Binary)
    assert declaration.value.operator_at == Place(9, 1, 10)
    assert declaration.value.right.at == Place(13, 2, 3)


def test_trees_are_equal_if_they_say_the_same() -> None:
    assert parse("x = 1.0 + (2);") == parse("x\n=\n1.00 + 2;", "other.ev")
    assert hash(parse("x = 1;")) == hash(parse(" x = 1;"))
    assert parse("x = 1;") != parse("x = 2;")


def test_depth_is_bounded_in_parentheses_chains_and_signs() -> None:
    for deep in (
        "(" * 99 + "1" + ")" * 99,
        "-" * 99 + "1",
        "+".join(["1"] * 100),
        "not " * 99 + "1",
        "[" * 99 + "1" + "]" * 99,
    ):
        parse(f"x = {deep};")
    for text in (
        "(" * 9999,
        "-" * 9999 + "1",
        "+".join(["1"] * 101),
        "not " * 5000 + "1",
        "f(" * 5000,
        "[" * 5000,
    ):
        told = syntax_problems(f"x = {text};")
        assert [problem.what for problem in told] == ["this is nested more than 100 levels deep"], text[:10]
    assert len(parse(f"x = {' or '.join(['a'] * 5000)};").declarations) == 1


def test_a_program_is_of_bounded_length() -> None:
    (problem,) = syntax_problems(" " * 1_000_001)
    assert problem.what == "the program is longer than 1,000,000 characters"


def test_a_long_program_is_read() -> None:
    assert len(parse("predicate p(A a) := a.b > 1 and not a.c;\n" * 1000).declarations) == 1000


def test_a_comment_right_behind_a_division_is_a_comment_as_ever() -> None:
    program = "event E {{ v }}; event F {{ n: number }}; F f(E a) := {{ n = 6 {sign} 3 }};"
    assert load(program.format(sign="//* by */")) == load(program.format(sign="/"))


def test_a_kind_of_an_event_may_have_no_member_of_its_own() -> None:
    program = load("event Login { user: string }; event Failed extends Login { };")
    assert program.types[1].members == program.types[0].members
