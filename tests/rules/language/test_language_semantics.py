"""Every semantic error, where it is told and how."""

from __future__ import annotations

import pytest
from language_programs import loaded, problems

from broker.errors import RuleError, RuleProblem
from broker.rules.language import load
from broker.rules.model import EventType, MemberType

EVENTS = [
    ("event A extends Nope { x };", 17, "there is no event type 'Nope'"),
    ("event A extends Dsk { x };", 17, "there is no event type 'Dsk'; did you mean 'Disk'?"),
    ("event Disk { z };", 7, "the event 'Disk' is declared already, in line 3"),
    ("event A extends Position { t };", 28, "'t' is a member of 'Position' already, which is extended"),
    ("event A { x, y, x };", 17, "the member 'x' is declared twice"),
    ("event A { x: strin };", 14, "'strin' is no type of a member; did you mean 'string'?"),
    (
        "event A { x: matrix };",
        14,
        "'matrix' is no type of a member: there are number, vector, boolean, string, address, timestamp, duration, any",
    ),
    ("event A { x: number = 3 };", 11, "'x' has a value, which only an instance has: name it behind the '}'"),
    ("event A extends B { x }; event B extends A { y };", 7, "an event cannot extend itself: A -> B -> A"),
    ("event A extends A { x };", 7, "an event cannot extend itself: A -> A"),
]

DEFINITIONS = [
    ("predicate big(Timed t) := t.t > [1];", 11, "the name 'big' is a predicate's already, declared in line 9"),
    ("alarm = 3;", 1, "the name 'alarm' is a function's already, declared in line 5"),
    ("x = 3; x = 4;", 8, "the name 'x' is a constant's already, declared in line 11"),
    ("predicate none() := 1 > 2;", 11, "the predicate 'none' has no parameters: it has to ask something of an event"),
    ("predicate p(Disk d) := d.used;", 24, "the predicate 'p': expected a boolean, found a number"),
    ("predicate p(Disk d) := d;", 24, "the predicate 'p': expected a boolean, found an event 'Disk'"),
    ("predicate p(Disk d, Disk d) := d.ok;", 26, "two parameters are named 'd'"),
    ("predicate p(Disc d) := d.ok;", 13, "there is no event type 'Disc'; did you mean 'Disk'?"),
    ("Alrm f(Disk d) := alarm(d);", 1, "there is no event type 'Alrm'; did you mean 'Alarm'?"),
    ("predicate p(Disk d) := d.usd > 3;", 26, "an event 'Disk' has no member 'usd'; did you mean 'used'?"),
    ("predicate p(Alarm a) := a.xyz > 3;", 27, "an event 'Alarm' has no member 'xyz': it has host"),
    ("predicate p(Disk disk) := dsk.ok;", 27, "there is nothing named 'dsk' here; did you mean 'disk'?"),
    ("predicate p(Disk d) := flag and d.ok;", 24, "there is nothing named 'flag' here"),
    ("predicate p(Disk d) := bigg(d);", 24, "there is no predicate or function 'bigg'; did you mean 'big'?"),
    ("predicate p(Disk d) := centile(d.used) > 3;", 24,
     "there is no predicate or function 'centile'; did you mean 'percentile'?"),
    ("predicate p(Disk d) := big;", 24, "'big' is a predicate: call it, such as big(...)"),
    ("predicate p(Disk d) := big(d, d);", 24, "'big' takes 1 event, and 2 are given"),
    ("predicate p(Disk d) := big();", 24, "'big' takes 1 event, and 0 are given"),
    ("predicate p(Alarm a) := big(a);", 29, "'d' of 'big': expected an event 'Disk', found an event 'Alarm'"),
    ("predicate p(Disk d) := big(3);", 28, "'d' of 'big': expected an event 'Disk', found a number"),
    ("predicate p(Disk d) := many(d);", 29, "'d' of 'many': expected a group of 'Disk', found an event 'Disk'"),
    ("x = 3; predicate p(Disk d) := x.y > 3;", 33, "'x' is a number, which has no members"),
    ("predicate p(Disk d) := p(d);", 11, "'p' is defined by itself: p -> p"),
    ("predicate p(Disk d) := q(d); predicate q(Disk d) := r(d); predicate r(Disk d) := p(d);", 11,
     "'p' is defined by itself: p -> q -> r -> p"),
    ("Alarm f(Disk d) := f(d);", 7, "'f' is defined by itself: f -> f"),
    ("a = b; b = [c]^1; c = a;", 1, "'a' is defined by itself: a -> b -> c -> a"),
]  # fmt: skip

LITERALS = [
    ('Alarm f(Disk d) := { hst = "x", host = "y" };', 22, "an event 'Alarm' has no member 'hst'; did you mean 'host'?"),
    ("Position f(Disk d) := { p = [1] };", 23, "an event 'Position' lacks its member 't'"),
    ("Disk f(Alarm a) := { host = a.host };", 20,
     "an event 'Disk' lacks its members 'used', 'ok', 'ip', 'at', 'long', 'what', 'v'"),
    ('Alarm f(Disk d) := { host = "x", host = "y" };', 34, "the member 'host' is given twice"),
    ("Alarm f(Disk d) := { host = 3 };", 29, "the member 'host' of 'Alarm': expected a string, found a number"),
    ("Timed f(Disk d) := { t = 3 };", 26, "the member 't' of 'Timed': expected a vector, found a number"),
    ("Alarm f(Disk d) := d;", 20, "the function 'f': expected an event 'Alarm', found an event 'Disk'"),
    ("Position f(Timed t) := t;", 24, "the function 'f': expected an event 'Position', found an event 'Timed'"),
    ("Alarm f(Disk d) := d.host;", 20, "the function 'f': expected an event 'Alarm', found a string"),
    ("Alarm f(Disk d) := big(d);", 20, "the function 'f': expected an event 'Alarm', found a boolean"),
    ("Disk f(Disk+ d) := d;", 20, ("the function 'f': expected an event 'Disk', found a group of 'Disk': "
     "give one of them, such as last(d), or write 'Disk+'")),
    ("predicate p(Disk d) := { host = d.host };", 24,
     "an event is made only where its type is known: in a function, or as an argument of one"),
    ("x = { a = 1 };", 5, "an event is made only where its type is known: in a function, or as an argument of one"),
    ("event Any { x: any }; Any f(Disk d) := { x = d };", 46,
     "the member 'x' of 'Any': expected a value, found an event 'Disk'"),
    ('event Ip { x: address }; Ip f(Disk d) := { x = "10.0.0" };', 48,
     "'10.0.0' does not appear to be an IPv4 or IPv6 address"),
    ("event Timed { t = [1] } x; event Timed { q = [1], t = [1] } y;", 42,
     "an event 'Timed' has no member 'q': it has t"),
    ("event Timed { t } x;", 15, "the instance's member 't' has no value: write t = ..."),
    ("event Timed { t: number = [3] } x;", 18, "the member 't' of 'Timed' is a vector"),
    ("event Timed extends Disk { t = [1] } x;", 21, "'Timed' is declared elsewhere, and does not extend 'Disk'"),
]  # fmt: skip

OPERANDS = [
    ("d.used + d.host > 3", 31, "'+' does not go with a number and a string: behind a number it takes a number"),
    ("d.v / 2 == d.v", 28, "'/' does not go with a vector and a number: before it stands a number or a duration"),
    ("2 / d.v == d.v", 26, "'/' does not go with a number and a vector: behind a number it takes a number"),
    ("d.v + 2 == d.v", 28, "'+' does not go with a vector and a number: behind a vector it takes a vector"),
    ("d.v * d.v == d.v", 28, "'*' does not go with a vector and a vector: behind a vector it takes a number"),
    ("d.v == 2", 28, "'==' does not go with a vector and a number: behind a vector it takes a vector"),
    ("d.v ^ d.v == 2", 28, "'^' does not go with a vector and a vector: behind a vector it takes a number"),
    ("d == d", 26, "'==' does not go with an event 'Disk' and an event 'Disk': compare members"),
    ("d.what == d", 31, "'==' does not go with a value of any type and an event 'Disk': compare members"),
    ("d.what contains d", 31, "'contains' does not go with a value of any type and an event 'Disk': compare members"),
    ("d.ok < d.ok", 29, ("'<' does not go with a boolean and a boolean: before it stands a number, a vector, a string, "
     "an address, a timestamp or a duration")),
    ("d.long > 5", 31, "'>' does not go with a duration and a number: behind a duration it takes a duration"),
    ("d.at + d.at == d.at", 29,
     "'+' does not go with a timestamp and a timestamp: behind a timestamp it takes a duration"),
    ("-d.host == d.host", 24, "'-' does not go with a string: it takes a number, a vector or a duration"),
    ("not d.used", 28, "'not' takes a condition: expected a boolean, found a number"),
    ("d.ok and d.used", 33, "'and' joins conditions: expected a boolean, found a number"),
    ("d.host or d.ok", 24, "'or' joins conditions: expected a boolean, found a string"),
    ('[1, "x"] == d.v', 28, "a component of a vector: expected a number, found a string"),
    ('d.host in ["a", 2]', 40, "a list behind 'in' is of texts alone, or of numbers alone"),
    ('["a"] == d.v', 25, "a component of a vector: expected a number, found a string"),
    ("d.used in d.host", 31, "'in' does not go with a number and a string: behind a number it takes a vector"),
    ('d.ip in "10.0.0.1/8"', 29, "10.0.0.1/8 has host bits set"),
    ("d.ip in d.host", 29, "'in' takes a network: a text that stands for one has to be a constant"),
    ('d.ip == "1.2.3"', 29, "'1.2.3' does not appear to be an IPv4 or IPv6 address"),
    ("d.ip == d.host", 29, "an address is compared with an address: a text that stands for one has to be a constant"),
    ("d.host contains 3", 31, "'contains' does not go with a string and a number: behind a string it takes a string"),
    ("d.host matches d.host", 39, "'matches' takes a regular expression that is a constant: it is compiled once"),
    ("d.used matches 3", 31, "'matches' does not go with a number and a number: before it stands a string"),
    ("5ns < d.long", 24, "in expressions durations are whole microseconds"),
    ("len(d.used) > 3", 24, "len() takes a vector or a string, found a number"),
    ("len(d.v, d.v) > 3", 24, "len() takes a vector or a string, and 2 arguments are given"),
    ("abs(d.host) > 3", 24, "abs() takes a number or a duration, found a string"),
    ("max(d.used) > 3", 24, "max() takes two numbers or more, or a member of a group"),
    ("max(d.used, d.v) > 3", 24, "max() takes numbers, found a vector"),
    ("lower(3) == d.host", 24, "lower() takes a string, found a number"),
    ("time(3) > d.at", 24, "time() takes an event that came in, by its name"),
    ("origin(d, d) == d.host", 24, "origin() takes an event that came in, by its name"),
    ("mean(d.used) > 3", 24, "an aggregate is of one group, as in mean(events.member); there is none in it"),
]  # fmt: skip

GROUPS = [
    ("d.used > 3", 1, "'d' is a group of events: say which is meant, such as last(d.used)"),
    ("time(d) > last(d.at)", 6, "'d' is a group of events: say which is meant, such as last(time(d))"),
    ("d == 3", 1, "'==' does not go with a group of 'Disk'"),
    ("lower(d) == last(d.host)", 7, "lower() does not go with a group of 'Disk'"),
    ("mean(d.host) > 3", 1, "mean() takes numbers, found a string"),
    ("mean(3) > 3", 1, "an aggregate is of one group, as in mean(events.member); there is none in it"),
    ("mean(d.used, 3) > 3", 1, "expected mean(events.member), found 2 arguments"),
    ("percentile(d.used) > 3", 1, "expected percentile(events.member, 95), found 1 argument"),
    ("percentile(d.used, 101) > 3", 1,
     "percentile() takes a number from 0 to 100 behind its member, such as percentile(d.used, 95)"),
    ("count(d.used) > 3", 1, "count() takes a group by its name: count(d)"),
    ("distinct(d) > 3", 1, "distinct() takes a member, such as distinct(d.member)"),
    ("mean(mean(d.used)) > 3", 6, "an aggregate cannot stand in another one, of 'd'"),
    ("mean(max(d.used)) > 3", 6, "an aggregate cannot stand in another one, of 'd'"),
    ("mean(d.used + e.used) > 3", 1,
     "an aggregate is of one group, as in mean(events.member); there are 'd' and 'e' in it"),
    ("mean(d.used - f.used) > 3", 15, "an aggregate is of one group: 'f' cannot be used beside 'd'"),
    ("big(d)", 5, ("'d' of 'big': expected an event 'Disk', found a group of 'Disk': give one of them, such as "
     "last(d), or write 'Disk+'")),
]  # fmt: skip

PATTERNS = [
    ("R: [] -> alarm;", 1, "the rule 'R' has an empty sequence: it has to name an event"),
    ("R: [ : big] -> alarm;", 1, "the rule 'R' has an empty sequence: it has to name an event"),
    ("R: [Disk] -> alarm; R: [Disk] -> alarm;", 21, "the rule 'R' is declared already, in line 11"),
    ("R: [Dsk] -> made();", 5, "there is no event type 'Dsk'; did you mean 'Disk'?"),
    ("R: [Disk d, Disk d] -> alarm(d);", 18, "two events of this rule are named 'd'"),
    ("R: [Disk, Disk : big] -> pair;", 18, "'big' takes 1 event, and the rule's sequence has 2"),
    ("R: [Disk, Disk] -> alarm;", 20, "'alarm' takes 1 event, and the rule's sequence has 2"),
    ("R: [Alarm : big] -> made();", 13, "'d' of 'big': expected an event 'Disk', found an event 'Alarm'"),
    ("R: [Timed] -> alarm;", 15, "'d' of 'alarm': expected an event 'Disk', found an event 'Timed'"),
    ("R: [Disk : bg] -> alarm;", 12, "there is no predicate 'bg'; did you mean 'big'?"),
    ("R: [Disk : unheard] -> alarm;", 12, "there is nothing named 'unheard' here"),
    ("R: [Disk : alarm] -> alarm;", 12, "'alarm' is a function, which makes an event: expected a predicate"),
    ("R: [Disk : 3] -> alarm;", 12, "a clause of a rule is a condition: expected a boolean, found a number"),
    ("R: [Disk d : d] -> alarm;", 14, "a clause of a rule is a condition: expected a boolean, found an event 'Disk'"),
    ("R: [Disk] -> big;", 14, "'big' is a predicate: expected a function, which makes an event"),
    ("R: [Disk] -> alrm;", 14, "there is no function 'alrm'; did you mean 'alarm'?"),
    ("R: [Disk d] -> alarm(d, d);", 16, "'alarm' takes 1 event, and 2 are given"),
    ("R: [!Disk d] within 5s -> made;", 5,
     "a pattern of absent events alone has no beginning: it has to name one that comes"),
    ("R: [!Disk d, Disk e] -> alarm;", 5,
     "an absent event at the beginning needs 'within' behind the ']': how far to look back"),
    ("R: [Disk d, !Disk e] -> alarm;", 13, "an absent event at the end needs 'within': how long to wait for it"),
    ("R: [Disk d within 5s] -> alarm;", 19,
     "'within' inside the '[ ]' is for an absent event at the end; that of the whole rule stands behind the ']'"),
    ("R: [Disk d, !Disk e within 5s, Disk f] -> pair;", 28,
     "'within' inside the '[ ]' is for an absent event at the end; that of the whole rule stands behind the ']'"),
    ("R: [Disk d, !Disk+ e within 5s] -> alarm;", 13, "'!' forbids every such event: leave the '+' out"),
    ("R: [Disk d, !Disk e within 5s] -> alarm(e);", 41, "'e' is absent: there is no such event to use"),
    ("R: [Disk d, !Disk e within 5s] -> alarm(d) to e.host;", 47, "'e' is absent: there is no such event to use"),
    ("R: [Disk+ d] -> alarm;", 17, ("'d' of 'alarm': expected an event 'Disk', found a group of 'Disk': give one of "
     "them, such as last(d), or write 'Disk+'")),
    ("R: [Disk+ d] -> alarms to d.host;", 27, "'d' is a group of events: say which is meant, such as last(d.host)"),
    ("R: [Disk+ d : d.used > mean(d.used)] -> alarms;", 15,
     "one clause cannot ask of each event of 'd' and of the whole group: write two"),
    ("R: [Disk+ d : d.ok and many(d)] -> alarms;", 15,
     "one clause cannot ask of each event of 'd' and of the whole group: write two"),
    ("R: [Disk+ d, Disk+ e : d.used > e.used] -> alarms(d);", 33,
     "one clause cannot ask of each event of two groups, 'd' and 'e': use an aggregate of one"),
    ("R: [Disk d, !Disk e, !Disk f : e.used == f.used] within 5s -> alarm;", 42,
     "one clause cannot ask of two absent events, 'e' and 'f'"),
    ("R: [Disk+ d, !Disk e : e.used == d.used] within 5s -> alarms;", 34,
     "one clause cannot ask of each event of 'd' and of the absent 'e': use an aggregate"),
]  # fmt: skip

MODIFIERS = [
    ("every 5s -> alarm", "every", "'every' needs a window: 'last' and a number of events or a duration"),
    ("last 5 within 5s -> alarms", "within", "'within' is for patterns, not for windows"),
    ("last 5 each -> alarms", "each", "'each' is for patterns, not for windows"),
    ("last 5 consume -> alarms", "consume", "'consume' is for patterns, not for windows"),
    ("last 0 -> alarms", "0", "'last' takes a whole number from 1 to 1,000,000"),
    ("last 1.5 -> alarms", "1.5", "'last' takes a whole number from 1 to 1,000,000"),
    ("last 1000001 -> alarms", "1000001", "'last' takes a whole number from 1 to 1,000,000"),
    ("last 0s -> alarms", "0s", "'last' takes a duration longer than nothing"),
    ("last 1s every 0s -> alarms", "0s", "'every' takes a duration longer than nothing"),
    ("limit 0 per 5s -> alarm", "0", "'limit' takes a whole number from 1 to 1,000,000"),
    ("limit 1 per 0s -> alarm", "0s", "'per' takes a duration longer than nothing"),
    ("per hst -> alarm", "hst", "'per' is for members that all events have: 'Disk' has no 'hst'; did you mean 'host'?"),
    ("per ok, host, ok -> alarm", "ok -", "'ok' stands here twice"),
    ('on "a", "b\\n" -> alarm', '"b', "a topic holds no control characters or line breaks: 'b\\n'"),
    ('on "a" on "b" -> alarm', 'on "b', "'on' stands here twice"),
    ("within 5s within 6s -> alarm", "within 6", "'within' stands here twice"),
    ("first last -> alarm", "last", "'last' stands here beside 'first': choose one"),
    ("first first -> alarm", "first -", "'first' stands here twice"),
    ('-> alarm to ""', '""', "a topic is not empty; name what the event is about, such as 'host/web-01/disk'"),
    ("-> alarm to 3", "3", "a topic: expected a string, found a number"),
    ("-> alarm do x, y, x", "x\n", "the action 'x' stands here twice"),
]


@pytest.mark.parametrize(("text", "column", "what"), EVENTS + DEFINITIONS + LITERALS + PATTERNS)
def test_what_is_wrong_is_told_with_its_place(text: str, column: int, what: str) -> None:
    assert problems(text) == [(1, column, what)]


@pytest.mark.parametrize(("text", "column", "what"), OPERANDS)
def test_operands_that_do_not_fit_are_told_with_what_would(text: str, column: int, what: str) -> None:
    assert problems(f"predicate p(Disk d) := {text};") == [(1, column, what)]


@pytest.mark.parametrize(("text", "column", "what"), GROUPS)
def test_in_predicates_a_group_is_used_through_aggregates(text: str, column: int, what: str) -> None:
    head = "predicate p(Disk+ d, Disk+ e, Disk f) := "
    assert problems(f"{head}{text};") == [(1, len(head) + column, what)]


@pytest.mark.parametrize(("text", "at", "what"), MODIFIERS)
def test_modifiers_that_do_not_fit_are_told(text: str, at: str, what: str) -> None:
    line = f"R: [Disk d] {text}\n"
    assert problems(line + ";") == [(1, line.index(at) + 1, what)]


def test_a_window_is_of_one_event() -> None:
    assert problems("R: [Disk d, Disk e] last 5 -> made();") == [
        (1, 13, "a window is of one event's type: leave 'last' out, or the other events")
    ]


def test_members_that_partition_are_of_all_events_and_of_one_type() -> None:
    text = "event Other { host: number }; R: [Disk d, Other o] per host -> alarm(d);"
    assert problems(text) == [(1, 56, "'host' is a string in 'Disk' and a number in 'Other'")]
    assert problems("R: [Disk d, Timed t] per host -> alarm(d);") == [
        (1, 26, "'per' is for members that all events have: 'Timed' has no 'host'")
    ]


def test_rules_that_see_what_they_make_are_told_as_the_chain() -> None:
    assert problems("Disk same(Disk d) := d; R: [Disk] -> same;") == [
        (1, 25, "the rule 'R' sees the events that it makes, and would go on for ever: R -> R")
    ]
    chain = """event A { x }; event B { x }; event C { x };
A a(C c) := { x = c.x }; B b(A a) := { x = a.x }; C c(B b) := { x = b.x };
First: [A] -> b;
Second: [B] -> c;
Third: [C] -> a;"""
    assert problems(chain) == [
        (3, 1, "these rules see each other's events, and would go on for ever: First -> Second -> Third -> First")
    ]


def test_a_rule_sees_what_extends_its_events() -> None:
    circle = "Position up(Timed t) := { t = t.t, p = t.t }; R: [Timed] -> up;"
    assert [what for _, _, what in problems(circle)] == [
        "the rule 'R' sees the events that it makes, and would go on for ever: R -> R"
    ]
    handed_on = "Timed same(Timed t) := t; R: [Position] -> same;"
    assert [what for _, _, what in problems(handed_on)] == [
        "the rule 'R' sees the events that it makes, and would go on for ever: R -> R"
    ]
    loaded("Timed down(Position p) := { t = p.t }; R: [Position] -> down;")


def test_an_absent_event_is_seen_too() -> None:
    circle = "R: [Disk d, !Alarm a] within 5s -> alarm;"
    assert [place for *place, _ in problems(circle)] == [[1, 1]]


def test_calls_that_would_take_for_ever_are_refused() -> None:
    first = "predicate p0(Disk d) := d.ok;\n"
    doubling = (f"predicate p{level + 1}(Disk d) := p{level}(d) or p{level}(d);\n" for level in range(20))
    assert problems(first + "".join(doubling))[0] == (12, 11, "'p11' takes more than 10,000 steps, with what it calls")
    chained = (f"predicate p{level + 1}(Disk d) := p{level}(d);\n" for level in range(2000))
    deep = "'p99' is nested more than 100 levels deep, with what it calls"
    assert problems(first + "".join(chained))[0] == (100, 11, deep)


def test_one_mistake_is_told_once() -> None:
    text = "x = nothing; y = x + 1; predicate p(Disk d) := d.used > y and d.nope + 1 > 2 and len(x) > 3;"
    assert problems(text) == [
        (1, 5, "there is nothing named 'nothing' here"),
        (1, 65, "an event 'Disk' has no member 'nope': it has host, used, ok, ip, at, long, what, v"),
    ]


def test_several_mistakes_are_told_in_the_order_of_the_text() -> None:
    text = (
        "R: [Disk : nothing] per hst -> alrm;\nevent A extends B { x };\npredicate p(Disk d) := d.used + d.ok > d.host;"
    )
    assert [(line, column) for line, column, _ in problems(text)] == [(1, 12), (1, 25), (1, 32), (2, 17), (3, 31)]


def test_types_of_the_surrounding_program_can_be_used() -> None:
    cpu = EventType("Cpu", (MemberType("host", "string"), MemberType("load", "number", optional=True)), known=True)
    text = 'event Hot extends Cpu { why: string }; Hot hot(Cpu c) := { host = c.host, load = c.load, why = "x" };'
    known = {"Cpu": cpu}
    for find in (known, known.get):
        program = load(text, find=find)
        assert program.types == (cpu, EventType("Hot", (*cpu.members, MemberType("why", "string")), "Cpu"))
    assert [problem.what for problem in _refused("predicate p(Cpuu c) := c.load > 1;", cpu)] == [
        "there is no event type 'Cpuu'; did you mean 'Cpu'?"
    ]


def test_a_class_may_be_declared_again_as_it_is() -> None:
    cpu = EventType("Cpu", (MemberType("load", "number", optional=True),), known=True)
    assert load("event Cpu { load: number };", find={"Cpu": cpu}).types == (cpu,)
    assert [problem.what for problem in _refused("event Cpu { load };", cpu)] == [
        "there is an event class 'Cpu' with other members: load: number; leave this declaration out"
    ]


def _refused(text: str, known: EventType) -> list[RuleProblem]:
    with pytest.raises(RuleError) as caught:
        load(text, find={known.name: known})
    return list(caught.value.problems)
