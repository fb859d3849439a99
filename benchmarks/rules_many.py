"""Many rules with equality conditions: through the engine, one by one, and as Tornado's rules; adding one at run time.

Rule n waits for the host of its number, with a full disk.  Every event is of a host that has a rule.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any

import attrs

from benchmarks.deciding import (
    BATCH,
    FULL,
    START_NS,
    Cost,
    Decide,
    Side,
    at_engine,
    costs,
    decoded,
    engine_for,
    made,
    recorded,
    sizes,
    used_by,
)
from benchmarks.harness import Options, Table
from benchmarks.ours import DiskUsage
from benchmarks.peers import OURS
from benchmarks.processes import BenchmarkFailed
from benchmarks.workload import MOUNT
from broker.rules import spelling, tornado
from broker.rules.compiling import compile_where
from broker.rules.model import Program, Rule

__all__ = ["run"]

COUNT = 200_000
# Of the sides that are slower.
COUNT_TORNADO = 20_000
RATE_MIN = 1_000_000
ADDING_MS_MAX = 1.0
MAIN = 1_000
# Predicates asked in a repetition, one by one; rules told of in Tornado's results.
ASKED = 4_000_000
TOLD = 2_000_000
# Events a second on one core with so many simple rules, as it was measured elsewhere: for orientation.
TORNADO = {1: 1_000_000, 100: 140_000, 1_000: 13_000}


def run(options: Options) -> Table:
    """Measure each number of rules, then what a further one costs."""
    rows: list[dict[str, str | float]] = []
    figures: dict[str, float] = {}
    limits: dict[str, float] = {}
    main = max(size for size in sizes(options) if size <= MAIN)
    for rules in sizes(options):
        found = costs(_sides(rules, options), options)
        adding, changing = _adding(rules, options.repeat)
        rows.append(_row(rules, found, adding, changing))
        if rules == main:
            figures[f"{rules:,} rules through the engine, ns/event"] = found["engine"].deciding
            limits[f"{rules:,} rules through the engine, ns/event"] = 1e9 / RATE_MIN
        figures[f"adding a rule to {rules:,}, ms"] = adding
        limits[f"adding a rule to {rules:,}, ms"] = ADDING_MS_MAX
    return Table(
        name="rules-many",
        title="rules with an equality condition each, one of a hundred events matches one of them",
        rows=tuple(rows),
        version=OURS.version(),
        figures=figures,
        limits=limits,
        notes=(
            "processor time of one process; rule n: host == 'web-n' and used > 0.985; every event's host has a rule",
            "one by one: broker's compiled predicates, each asked of each event",
            "Tornado's rules, ours: load(config).process(event), its whole result; actions: only what is to be done",
            "the dict that such an event is to it is made of each message on the clock",
            "Tornado, measured elsewhere: for orientation; another machine, in Rust",
            "adding: engine.replace with one rule more; changing: with another first rule; the others keep their state",
        ),
    )


def _row(rules: int, found: dict[str, Cost], adding: float, changing: float) -> dict[str, str | float]:
    return {
        "rules": rules,
        "engine, ns/event": found["engine"].deciding,
        "engine, events/s": found["engine"].rate,
        "one by one, ns/event": found["one by one"].deciding,
        "Tornado's rules, ours, events/s": found["tornado"].rate,
        "its actions alone, events/s": found["actions"].rate,
        "Tornado, elsewhere, events/s": TORNADO.get(rules, ""),
        "decoding, ns/event": found["engine"].decoding,
        "codec's share, %": found["engine"].share,
        "adding, ms": adding,
        "changing, ms": changing,
    }


def _host(number: int) -> str:
    return f"web-{number:05d}"


_DISK = spelling.of(DiskUsage)


def _full_at(number: int) -> spelling.Predicate:
    return (_DISK.host == _host(number)) & (_DISK.used > FULL)


def _program(rules: int) -> Program:
    return spelling.program(
        *(spelling.rule(f"full-{number}", _DISK).where(_full_at(number)).do("tell") for number in range(rules))
    )


def _sides(rules: int, options: Options) -> dict[str, Side]:
    count = options.count or COUNT
    asked = max(BATCH, min(count, ASKED // rules))
    told = max(BATCH, min(count, COUNT_TORNADO, TOLD // rules))

    def side(count: int, start: Decide, counting: Any) -> Side:
        runs = recorded(DiskUsage(_host(number % rules), MOUNT, used_by(number), number) for number in range(count))
        expected = sum(used_by(number) > FULL for number in range(count))
        return Side(lambda: start, counting, runs, expected)

    tests = [compile_where(_full_at(number).where, DiskUsage) for number in range(rules)]
    tree = tornado.load(_configuration(rules))

    def one_by_one(messages: list[Any]) -> list[Any]:
        return [message for message in messages for test in tests if test(message.event)]

    return {
        "engine": side(count, at_engine(engine_for(_program(rules))), made),
        "one by one": side(asked, one_by_one, len),
        "tornado": side(told, partial(_processed, tree), _matched),
        "actions": side(told, partial(_actions, tree), len),
    }


# --- Tornado's spelling ------------------------------------------------------------------------------------------


def _configuration(rules: int) -> dict[str, Any]:
    def rule(number: int) -> dict[str, Any]:
        host = {"type": "equals", "first": "${event.payload.host}", "second": _host(number)}
        full = {"type": "gt", "first": "${event.payload.used}", "second": FULL}
        return {
            "name": f"full_{number}",
            "description": "",
            "continue": True,
            "active": True,
            "constraint": {"WHERE": {"type": "AND", "operators": [host, full]}, "WITH": {}},
            "actions": [{"id": "tell", "payload": {}}],
        }

    return {"Ruleset": {"name": "disks", "rules": [rule(number) for number in range(rules)]}}


def _as_tornado_has_it(message: Any) -> dict[str, Any]:
    event = message.event
    payload = {"host": event.host, "mount": event.mount, "used": event.used, "sequence": event.sequence}
    return {"type": "disk", "created_ms": message.time_ns // 1_000_000, "payload": payload}


def _processed(tree: tornado.Tree, messages: list[Any]) -> list[Any]:
    return [tree.process(_as_tornado_has_it(message)) for message in messages]


def _matched(results: list[Any]) -> int:
    return sum(rule["status"] == "Matched" for result in results for rule in result["rules"])


def _actions(tree: tornado.Tree, messages: list[Any]) -> list[Any]:
    return [action for message in messages for action in tree.actions(_as_tornado_has_it(message))]


# --- at run time -------------------------------------------------------------------------------------------------


def _adding(rules: int, repeat: int) -> tuple[float, float]:
    """Milliseconds to add a rule to so many, and to change one of them: medians, each seen to be at work at once."""
    program = _program(rules + repeat)
    engine = engine_for(attrs.evolve(program, rules=program.rules[:rules]))
    adding, changing = [], []
    for number in range(rules, rules + repeat):
        adding.append(_milliseconds(partial(engine.replace, attrs.evolve(program, rules=program.rules[: number + 1]))))
        _see(engine, _host(number), [f"full-{number}"])
    (of_another,) = spelling.program(spelling.rule("full-0", _DISK).where(_DISK.host == "db-01")).rules
    for first in (of_another, program.rules[0], of_another):
        changed: tuple[Rule, ...] = (first, *program.rules[1:])
        changing.append(_milliseconds(partial(engine.replace, attrs.evolve(program, rules=changed))))
    _see(engine, _host(0), [])
    _see(engine, "db-01", ["full-0"])
    return statistics.median(adding), statistics.median(changing)


def _milliseconds(change: Any) -> float:
    start = time.process_time_ns()
    change()
    return (time.process_time_ns() - start) / 1e6


def _see(engine: Any, host: str, expected: list[str]) -> None:
    (messages,) = decoded(recorded([DiskUsage(host, MOUNT, 1.0, 0)]))
    found = [each.rule for each in engine.receive(messages, START_NS).made]
    if found != expected:
        raise BenchmarkFailed(f"{host}: expected {expected}, found {found}")
