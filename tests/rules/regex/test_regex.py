r"""Regular expressions in linear time: the dialect of Rust's regex, and what is refused, with the reason.

Two engines that have nothing in common but the tree, RE2 and the machine for words, are held against each other, and
against Python's own where the three dialects agree.
"""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
import re2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from broker.errors import BadRegex
from broker.rules import regex
from broker.rules.regex.patterns import _finder
from broker.rules.regex.syntax import parse
from broker.rules.regex.words import machine


def found(pattern: str, text: str) -> list[str | None]:
    """What all matches are, as a whole."""
    return [match[0] for match in regex.compile(pattern).captures_all(text)]


def in_machine(pattern: str, text: str) -> list[tuple[str | None, ...]]:
    spans = machine(parse(pattern)).find_all(text)
    return [tuple(None if start < 0 else text[start:end] for start, end in each) for each in spans]


def reason(pattern: str) -> str:
    with pytest.raises(BadRegex) as caught:
        regex.compile(pattern)
    assert caught.value.pattern == pattern
    return caught.value.reason


# -- the dialect -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("", "äb", ["", "", ""]),
        ("a*", "aabaa", ["aa", "aa"]),
        ("a*?", "aa", ["", "", ""]),
        ("a|ab", "ab", ["a"]),
        (r"\w+", "äö_1 ⓐ-é", ["äö_1", "ⓐ", "é"]),
        (r"\W", "a-ä·", ["-", "·"]),
        (r"\d+", "1٣x", ["1٣"]),
        (r"\D+", "1٣x", ["x"]),
        (r"\s+", "a\u2003\x85b\x1c", ["\u2003\x85"]),
        (r"\S", "\u2003ä\n", ["ä"]),
        (r"(?-u:\w+\d\s)", "äab1 ", ["ab1 "]),
        (r"[\w--\d_]+", "ab1_ä", ["ab", "ä"]),
        (r"[a-z&&[^aeiou]]+", "hello", ["h", "ll"]),
        (r"[a-c~~b-d]", "abcd", ["a", "d"]),
        (r"[\p{Greek}&&\p{Lu}]", "αΩω", ["Ω"]),
        (r"[^\W\d]+", "a1ä", ["a", "ä"]),
        (r"[b[^a-y]]+", "bzaz", ["bz", "z"]),
        (r"[\s\S]", "a\n", ["a", "\n"]),
        (r"[[:alpha:][:^ascii:]]+", "a1ä", ["a", "ä"]),
        (r"[]a]+[^]b]", "]a]c", ["]a]c"]),
        (r"[-a-]+", "-a-b", ["-a-"]),
        (r"[a\-z]+", "a-zb", ["a-z"]),
        (r"[a&&b]|x", "abx", ["x"]),
        (r"[^\x00-\x{10FFFF}]|x", "x", ["x"]),
        (r"\pL\p{Lu}\p{greek}\P{L}", "aBα1", ["aBα1"]),
        (r"\p{Script=Old_Italic}|\p{sc!=Latin}|\p{gc:Uppercase_Letter}", "aA1", ["A", "1"]),
        (r"(?i)straße|K", "STRAßE \u212a", ["STRAßE", "\u212a"]),
        (r"(?i)[k&&[^x]]", "\u212a", ["\u212a"]),
        (r"(?i:a)b", "AbAB", ["Ab"]),
        (r"a(?i)b|c", "aBC", ["aB", "C"]),
        (r"(?x) a \  b # c" + "\n [ c d ]", "a bd", ["a bd"]),
        (r"(?U)a+b+?", "aabb", ["aabb"]),
        (r"(?s).(?-s).", "\n\nx", ["\nx"]),
        (r"(?m)^b$", "a\nb\nc", ["b"]),
        ("^b$", "a\nb", []),
        ("b$", "b\n", []),
        (r"\Aa|b\z", "aab", ["a", "b"]),
        (r"a{2,3}|b{2,}|c{2}", "aaaabbbccc", ["aaa", "bbb", "cc"]),
        ("a**", "aa", ["aa"]),
        ("(a+)+b", "aab", ["aab"]),
        ("^*a", "a", ["a"]),
        (r"\x41\u0042\U00000043\x{44}\u{e4}", "ABCDä", ["ABCDä"]),
        (r"\a\f\t\n\r\v\-\%\ \_", "\a\f\t\n\r\v-% _", ["\a\f\t\n\r\v-% _"]),
        ("]}", "]}", ["]}"]),
        (r"\bfoo\b", "a foo b", ["foo"]),
        (r"\bfoo\b", "äfoo foo", ["foo"]),
        (r"(?-u)\bfoo\b", "äfoo", ["foo"]),
        (r"\bfoo\b", "äfoo", []),
        (r"\Bo", "foo öo", ["o", "o", "o"]),
        (r"\b", "ä b", ["", "", "", ""]),
    ],
)
def test_the_dialect_is_that_of_rust(pattern: str, text: str, matches: list[str]) -> None:
    assert found(pattern, text) == matches
    assert regex.compile(pattern).search(text) == bool(matches)
    assert [each[0] for each in in_machine(pattern, text)] == matches


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=x)", "look-around is not supported: it cannot be had in linear time (at character 1)"),
        ("a(?<!x)", "look-around is not supported: it cannot be had in linear time (at character 2)"),
        (r"(a)\1", "back-references are not supported: they cannot be had in linear time (at character 4)"),
        ("(", "a ( that is not closed (at character 1)"),
        ("a)", "a ) that closes nothing (at character 2)"),
        ("[a", "a [ that is not closed (at character 1)"),
        ("[", "a [ that is not closed (at character 1)"),
        ("[]", "a [ that is not closed (at character 1)"),
        ("[a-", "a [ that is not closed (at character 1)"),
        ("[b-a]", "a range of characters that is none (at character 3)"),
        (r"[a-\d]", "a range of characters that is none (at character 3)"),
        (r"[\b]", r"\b is no escape (at character 2)"),
        ("*a", "* has nothing before it to repeat (at character 1)"),
        ("a|+", "+ has nothing before it to repeat (at character 3)"),
        ("(?i)*", "* has nothing before it to repeat (at character 5)"),
        ("a{,2}", r"a { that begins no {n}, {n,} or {n,m}; a brace itself is \{ (at character 2)"),
        ("a{2", r"a { that begins no {n}, {n,} or {n,m}; a brace itself is \{ (at character 2)"),
        ("a{3,2}", "at least 3 and at most 2 times (at character 2)"),
        ("a{99999999999}", "a number that is too large (at character 3)"),
        ("a{200000}", "it repeats something more than 1,000 times"),
        ("(a){2000}", "it repeats something more than 1,000 times"),
        ("(?:a{100}){100}", "repetitions of repetitions: more than 1,000 times in all"),
        (r"\w{900}", "it needs more than 8,388,608 bytes"),
        (r"\q", r"\q is no escape (at character 1)"),
        (r"\Qa\E", r"\Q is no escape (at character 1)"),
        (r"\<a", r"\< is no escape (at character 1)"),
        ("\\", "a \\ is not closed (at character 2)"),
        (r"\x4", "an escape that is no character's number (at character 1)"),
        (r"\x{d800}", "an escape that is no character's number (at character 1)"),
        (r"\x{110000}", "an escape that is no character's number (at character 1)"),
        (r"\pX", r"\p{X}: Unicode has no such category or script, or it is not supported (at character 1)"),
        (r"\p{Emoji}", r"\p{Emoji}: Unicode has no such category or script, or it is not supported (at character 1)"),
        (r"\p{^L}", r"\p{^L}: Unicode has no such category or script, or it is not supported (at character 1)"),
        (r"\p{L", "a { that is not closed (at character 1)"),
        ("(?P<a>x)(?<a>y)", "two groups of the name 'a' (at character 9)"),
        ("(?P<1>x)", "a group whose name is none (at character 1)"),
        ("(?P<a", "a group whose name is none (at character 1)"),
        ("(?P=a)", "(?P begins no group and no flags (at character 1)"),
        ("(?#a)", "(?# begins no group and no flags (at character 1)"),
        ("(?>a)", "(?> begins no group and no flags (at character 1)"),
        ("(?)", "flags that say nothing (at character 1)"),
        ("(?i-)", "flags that say nothing (at character 1)"),
        ("(?ii)", "(?ii begins no group and no flags (at character 1)"),
        ("(?R)a", r"the flag R (lines that end with \r\n) is not supported (at character 1)"),
        ("(?i-u)a", "the flags i and -u together are not supported (at character 1)"),
        (r"(?-u)\W", r"\W matches bytes that are no text where only ASCII is meant, (?-u) (at character 6)"),
        ("(?-u).", ". matches bytes that are no text where only ASCII is meant, (?-u) (at character 6)"),
        ("(?-u)ä", "'ä' where only ASCII is meant, (?-u) (at character 6)"),
        ("(?-u)[^a]", "a set that matches bytes that are no text where only ASCII is meant, (?-u) (at character 6)"),
        ("[a&&b]" * 1_000, "more than 30 sets within sets, intersections and differences (at character 181)"),
        ("[a[^b]]" * 1_000, "more than 30 sets within sets, intersections and differences (at character 213)"),
        ("(" * 1_000, "groups within groups, more than 100 deep (at character 102)"),
        ("[" * 1_000, "sets within sets, more than 100 deep (at character 101)"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(pattern: str, why: str) -> None:
    assert reason(pattern) == why


def test_a_pattern_of_a_megabyte_is_refused_before_it_is_read() -> None:
    started = time.perf_counter()

    assert reason("(a|" * 2**20) == "it has 3,145,728 characters, and may have 16,384"
    assert time.perf_counter() - started < 0.5


def test_the_text_of_the_error_shows_the_beginning_of_the_pattern() -> None:
    with pytest.raises(BadRegex) as caught:
        regex.compile("x" * 100 + "(")

    assert str(caught.value) == f"'{'x' * 77}...' is no regular expression: a ( that is not closed (at character 101)"


def test_what_re2_repeats_not_often_enough_is_repeated_beside_it() -> None:
    assert found("a{1200}", "a" * 1_300) == ["a" * 1_200]
    assert found("(?:ab){1,2100}c", "ab" * 2_000 + "c") == ["ab" * 2_000 + "c"]
    assert found("(?:ab){1500,}?", "ab" * 1_501) == ["ab" * 1_500]
    assert found("a{0,1001}", "a" * 1_500) == ["a" * 1_001, "a" * 499]


# -- what is taken ---------------------------------------------------------------------------------------------------


def test_groups_are_taken_by_number_and_by_name() -> None:
    pattern = regex.compile(r"(?P<user>\w+)(@)?(?<Host.0>\S+)?")

    assert (pattern.groups, pattern.names) == (3, (("user", 1), ("Host.0", 3)))
    assert pattern.captures("jürgen@wéb") == ("jürgen@wéb", "jürgen", "@", "wéb")
    assert pattern.captures("a ") == ("a", "a", None, None)
    assert pattern.captures("@") is None
    assert repr(pattern) == f"<Pattern {pattern.pattern!r}>"


@pytest.mark.parametrize(
    ("replacement", "made"),
    [
        ("$2 $1", "John Doe"), ("${f}x${l}", "JohnxDoe"), ("$fx$l", "Doe"), ("$$1", "$1"), ("$", "$"), ("${f", "${f"),
        ("$0!", "Doe, John!"), ("$9${nope}", ""), ("$é", "$é"), ("${1}$", "Doe$"), ("$01", "Doe"), ("ä", "ä"),
    ],
)  # fmt: skip
def test_groups_stand_in_replacements(replacement: str, made: str) -> None:
    pattern = regex.compile(r"(?P<l>[^,\s]+),\s+(?P<f>\S+)")

    assert pattern.replace_all("Doe, John", replacement) == made
    assert pattern.replace_all("ü Doe, John", replacement) == "ü " + made
    assert regex.compile(r"\b(?P<l>[^,\s]+),\s+(?P<f>\S+)").replace_all("ü Doe, John", replacement) == "ü " + made


def test_all_empty_matches_are_replaced_between_characters() -> None:
    assert regex.compile("").replace_all("äb", "-") == "-ä-b-"
    assert regex.compile("b*").replace_all("äbc", "-") == "-ä-c-"


def test_halves_of_surrogates_do_no_harm() -> None:
    assert regex.compile("a(.?)").captures("\ud800a") == ("a", "")
    assert regex.compile("a").replace_all("\ud800a", "b") == "\ud800b"
    assert regex.compile(r"\ba").search("\ud800a")


def test_where_re2_is_wrapped_otherwise_its_wrapper_is_asked() -> None:
    engine = re2.compile(rb"(a)|(b)")
    other = SimpleNamespace(search=engine.search, groups=engine.groups)

    for data in (b"xxb", b"a", b"", b"x"):
        for place in range(len(data) + 1):
            assert _finder(other)(data, place) == _finder(engine)(data, place)


# -- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(?:a?){500}a{400}b", r"(\w+\s?)*x", r"\b(a+)+\b$"])
def test_no_pattern_takes_longer_than_the_text_is_long(pattern: str) -> None:
    """Backtracking would take longer than anybody lives."""
    started = time.perf_counter()

    assert not regex.compile(pattern).search("a" * 20_000 + "!")
    assert not machine(parse(pattern)).find("ä" + "a" * 50 + "!", 0)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("pattern", ["[ab]{0,100000}c", "[ab]{0,1000}" * 20, "(?:a?){999}" * 9, "a?" * 5_000])
def test_no_pattern_takes_long_to_read(pattern: str) -> None:
    """Where RE2 takes the square of the pattern's length, as for the first of these (a minute), it is not asked."""
    started = time.perf_counter()

    assert reason(pattern) == "repetitions that may be left out: more than 4,000 in all"
    assert time.perf_counter() - started < 1


def test_boundaries_of_words_are_looked_for_only_where_there_may_be_a_match() -> None:
    text = "ä lorem ipsum " * 20_000
    started = time.perf_counter()

    assert not regex.compile(r"\berror\b").search(text)
    assert regex.compile(r"\berror\b").captures(text) is None
    assert time.perf_counter() - started < 0.5


def test_groups_cost_nothing_where_only_a_match_is_asked_for() -> None:
    pattern = regex.compile(r"\b" + "()" * 3_000 + "x")
    started = time.perf_counter()

    assert not pattern.search("ä" + "xx" * 10 + "äx" * 10)
    assert time.perf_counter() - started < 2


def test_a_program_for_words_that_is_too_long_is_refused_at_once() -> None:
    assert reason(r"\b[ab]{30000}") == (
        "with \\b and a text that is not ASCII it would need more than 20,000 instructions"
    )


# -- engines against each other --------------------------------------------------------------------------------------

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        ".",
        "[ab]",
        "[^a]",
        "[^ab\\n]",
        "^",
        "$",
        r"\A",
        r"\z",
        "(?:)",
        "ä",
        r"\d",
        "[a-c&&[^b]]",
        "(?i:B)",
        "(?m:^)",
        "(?m:$)",
    ]
)
WORDS = st.sampled_from([r"\b", r"\B", r"\w", r"\W", r"\s"])


def patterns(atoms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        atoms,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=4).map("".join)
            | st.lists(inner, min_size=2, max_size=3).map(lambda each: f"(?:{'|'.join(each)})")
            | inner.map(lambda each: f"({each})")
            | st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?"])).map(
                lambda each: f"(?:{each[0]}){each[1]}"
            )
        ),
        max_leaves=8,
    )


def loops_over_nothing(pattern: str) -> bool:
    """A repetition of what may be empty: which of the empty ways is taken is told differently by every engine."""
    return re.search(r"\)[*+{]", pattern) is not None and regex.compile(pattern).captures("") is not None


TEXTS = st.text("abcäÄ1 \n_", max_size=8)


@given(patterns(ATOMS | WORDS), TEXTS)
@example(r"\b(a|ä)", "ä aä")
@example("(?:(?:a)*?)*", "a")
@example("(?:a*?)+", "a")
@example("(?:|a)*", "a")
@example("(?:a|ab)(?:c|bcd)(d*)", "abcd")
def test_re2_and_the_machine_find_the_same(pattern: str, text: str) -> None:
    """Where RE2's boundaries of words are those of the text: elsewhere there is only the machine."""
    compiled = regex.compile(pattern)
    if not compiled._words or text.isascii():
        assert [each[0] for each in compiled.captures_all(text)] == [each[0] for each in in_machine(pattern, text)]
        if not loops_over_nothing(pattern):
            assert list(compiled.captures_all(text)) == in_machine(pattern, text)


@given(patterns(ATOMS.filter(lambda atom: atom not in ("$", r"\z", "[a-c&&[^b]]", "(?m:^)", "(?m:$)"))), TEXTS)
def test_pythons_own_engine_finds_the_same_first_match(pattern: str, text: str) -> None:
    assume(not loops_over_nothing(pattern))
    theirs: Any = re.search(pattern, text)
    ours = regex.compile(pattern).captures(text)

    assert ours == (None if theirs is None else (theirs[0], *theirs.groups()))


@given(st.text(max_size=30))
@example("[[:")
@example("(?P<")
@example("a{1,")
@example(r"[\p{")
def test_any_text_is_a_pattern_or_is_refused_as_one(pattern: str) -> None:
    try:
        compiled = regex.compile(pattern)
    except BadRegex:
        return
    compiled.search("some text")
    list(compiled.captures_all("änd another"))


@given(st.text(r"[]^-&~ab\dwWsS:pLx{}()|*+?.$ #imsUux<>P", max_size=14))
def test_texts_of_the_signs_of_patterns_are_read_alike_by_both_engines(pattern: str) -> None:
    try:
        compiled = regex.compile(pattern)
    except BadRegex:
        return
    for text in ("", "a", "ab-", "^]w"):
        assert [each[0] for each in compiled.captures_all(text)] == [each[0] for each in in_machine(pattern, text)]
