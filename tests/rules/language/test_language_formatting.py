"""The canonical layout, and the model written out as text."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from language_programs import DECLARED, SLIDES, loaded, said
from language_strategies import conditions, programs

from broker.errors import RuleError
from broker.rules.language import format as formatted
from broker.rules.language import load, parse, show
from broker.rules.language.parser import read
from broker.rules.model import Apply, Constant, Expression, Make, Member, Name, Rule, Step
from broker.values import Timestamp

MESSY = """\
// What disks tell.
/* of
   hosts */
event   DiskUsage{host:string,mount:string,used:number,ip:address}; // trailing


event Cpu extends DiskUsage{ load /* of the cpu */ : number, // percent
 other:vector}; event Q{x=[1],y=-2}q;
x=-3+-(2)*- 2^(-1);v=[1,2 , -f];f=2;
predicate hot(Cpu a,Cpu b):=b.load>a.load and not(a.host matches "^web.*")and a.ip in "10.0.0.0/8" or \
a.host in["a","b"];
predicate not2(Cpu a):=not a.load>3 and(1>2 or 2>3);
Alarm alarm(Cpu a, Cpu+b):={host=a.host,level=max(b.load),mean=mean(b.load*100),p95=percentile(b.load,95), andYet = 3};
Alarm none ( ) := { host = "" };
Hot:[Cpu a,Cpu+b,!Reset c within 3s:hot,sameHost,burning(b),c.host==a.host]within 60s per host consume limit 1 per 5m->\
alarm(a,b)to "alarm/"+a.host do page,mail;
Short:[Cpu]->f;
Long:[DiskUsage diskUsageOfTheFirst,DiskUsage diskUsageOfTheSecond,!DiskUsage theThird:hot,sameHost,\
burning(theThird)]->f;
Made: [A, B // what
 : p, /* z */ q] // why
  last 5m // so
  -> f() /* the end */ ; // really
// bye
"""

CANONICAL = """\
// What disks tell.
/* of
   hosts */
event DiskUsage { host: string, mount: string, used: number, ip: address };  // trailing

event Cpu extends DiskUsage {
    load /* of the cpu */ : number, // percent
    other: vector
};
event Q { x = [1], y = -2 } q;
x = -3 + -(2) * -2^(-1);
v = [1, 2, -f];
f = 2;
predicate hot(Cpu a, Cpu b) :=
    b.load > a.load
    and not (a.host matches "^web.*")
    and a.ip in "10.0.0.0/8"
    or a.host in ["a", "b"];
predicate not2(Cpu a) := not a.load > 3 and (1 > 2 or 2 > 3);
Alarm alarm(Cpu a, Cpu+ b) := {
    host = a.host,
    level = max(b.load),
    mean = mean(b.load * 100),
    p95 = percentile(b.load, 95),
    andYet = 3
};
Alarm none() := { host = "" };
Hot: [Cpu a, Cpu+ b, !Reset c within 3s : hot, sameHost, burning(b), c.host == a.host]
    within 60s per host consume limit 1 per 5m
    -> alarm(a, b) to "alarm/" + a.host do page, mail;
Short: [Cpu] -> f;
Long: [
    DiskUsage diskUsageOfTheFirst, DiskUsage diskUsageOfTheSecond, !DiskUsage theThird
    : hot, sameHost, burning(theThird)
]
    -> f;
Made: [
    A, B // what
    : p, /* z */ q
] // why
    last 5m // so
    -> f() /* the end */ ;  // really
// bye
"""


def test_the_canonical_layout() -> None:
    assert formatted(MESSY) == CANONICAL
    assert formatted(CANONICAL) == CANONICAL


def test_what_does_not_parse_is_not_formatted() -> None:
    with pytest.raises(RuleError, match=r"it.ev: line 1, column 5: expected the value of 'x', found ';'"):
        formatted("x = ;", "it.ev")


@given(programs())
@settings(max_examples=150)
def test_formatting_keeps_the_meaning_and_the_comments_and_is_done_once(text: str) -> None:
    once = formatted(text)
    assert parse(once) == parse(text)
    assert formatted(once) == once
    assert _comments(once) == _comments(text)
    assert all(line == line.rstrip() for line in once.split("\n"))


def _comments(text: str) -> list[str]:
    return [comment.text.replace("\r", "") for comment in read(text).tokens.comments]


# -- the model as text -------------------------------------------------------------------------------------------------


def test_a_program_is_written_out() -> None:
    program = load(SLIDES)
    text = show(program)
    assert load(text) == program
    assert text.endswith(
        "VelocityRule: [PositionEvent event1, PositionEvent event2 : positionCheck, timeCheck]\n"
        "    -> calculateVelocity;\n"
    )


RULES = [
    "R: [Disk d : big] -> alarm;",
    'R: [Disk d : d.used > 1 and d.ok] on "a/", "b/" -> alarm to "x/" + d.host do page, mail;',
    (
        "R: [!Alarm x, Disk d, Disk+ e, !Disk f within 10s : f.host == d.host] within 1m per host last consume "
        "limit 2 per 1h -> ups(d);"
    ),
    "R: [Disk d : big, count(d) > 3] per host, ok last 100 -> ups(last(d));",
    "R: [Disk d] last 1h30m every 1m -> ups(last(d));",
    "R: [Disk a, Disk b : ordered] first -> pairs;",
]


@pytest.mark.parametrize("text", RULES)
def test_rules_are_written_out(text: str) -> None:
    more = (
        "event Up { host: string }; Up ups(Disk d) := { host = d.host }; Up pairs(Disk a, Disk b) := ups(b);"
        "predicate ordered(Disk a, Disk b) := a.used < b.used;"
    )
    program = loaded(more + text)
    assert load(show(program)) == program
    (rule,) = program.rules
    if "alarm" not in text:
        assert show(rule) + ";" == text


@given(conditions())
@settings(max_examples=150)
def test_what_is_shown_reads_back_as_the_same(text: str) -> None:
    body = said(text)
    assert said(show(body)) == body


D = Name("d")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (Constant(None), "None"),
        (Constant(b"\x00"), "b'\\x00'"),
        (Constant(True), "true"),
        (Constant(-1.5), "-1.5"),
        (Constant(float("inf")), "1 / 0"),
        (Constant(float("nan")), "0 / 0"),
        (Constant("\x00\u202e\t\ud83d\ude00"), '"\\u0000\\u202e\\t\\ud83d\\ude00"'),
        (Constant(timedelta(days=1, hours=2, microseconds=5)), "1d2h5us"),
        (Constant(-timedelta(seconds=5)), "-5s"),
        (Constant(timedelta()), "0s"),
        (Constant(ip_address("::1")), '"::1"'),
        (Constant(()), "[]"),
        (Constant(("a",)), '["a"]'),
        (Constant(Timestamp.from_ns(0)), '"1970-01-01 00:00:00+00:00"'),
        (Apply("unheard.of", (D, Constant(1))), "unheard.of(d, 1)"),
        (Apply("bool.and", (D,)), "and(d)"),
        (Member(Make("A", (("x", Constant(1)),)), "x"), "{ x = 1 }.x"),
        (Apply("num.sub", (Constant(1), Apply("num.sub", (Constant(2), Constant(-3))))), "1 - (2 - -3)"),
        (Apply("num.pow", (Constant(-2), Constant(-1))), "(-2)^(-1)"),
    ],
)
def test_what_only_other_spellings_say_is_shown_too(expression: Expression, text: str) -> None:
    assert show(expression) == text


def test_a_rule_that_makes_nothing() -> None:
    assert show(Rule("R", (Step("d", "Disk"),), actions=("page",))) == "R: [Disk d] -> nothing do page"


def test_what_was_declared_is_written_out() -> None:
    program = loaded("R: [Disk : big] -> alarm;")
    assert load(show(program)) == program
    assert formatted(DECLARED).count("\n") >= DECLARED.count("\n")
