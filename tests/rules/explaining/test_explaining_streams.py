"""Why a rule does or does not hold for some events: the ones that come closest are shown."""

from __future__ import annotations

import pytest

from broker import Event, Message, RuleError
from broker.rules import language
from broker.rules.explaining import Explanation
from broker.rules.explaining.streams import explain_stream

LOGINS = """
event AskLogin { user: string, ok: boolean };
event AskGuessed { user: string };
AskGuessed guessed(AskLogin l) := { user = l.user };
Guessed: [AskLogin a, AskLogin b : not a.ok, b.ok] within 10s per user -> guessed(b);
Many: [AskLogin+ bad, AskLogin good : not bad.ok, good.ok, count(bad) >= 2] within 1m per user -> guessed(good);
Silent: [AskLogin l, !AskLogin next] within 10s per user -> guessed(l);
"""


def asked(rule: str, *logins: tuple[int, str, bool]) -> Explanation:
    messages = [Message("x", Event("AskLogin", (user, ok)), at * 1_000_000_000, "hub") for at, user, ok in logins]
    return explain_stream(language.load(LOGINS), rule, messages)


def told(explanation: Explanation) -> dict[str, bool | None]:
    return {clause.text: clause.holds for clause in explanation.clauses}


def test_the_events_that_fulfil_a_pattern_are_found_among_others() -> None:
    found = asked("Guessed", (0, "ada", True), (1, "ada", False), (2, "bob", False), (3, "cy", True), (4, "ada", True))
    assert found.holds
    assert told(found) == {"not a.ok": True, "b.ok": True, "per user": True, "within 10s": True}
    values = {part.text: part.value for clause in found.clauses for part in clause.parts}
    assert (values["a.user"], values["b.user"]) == ("ada", "ada")


def test_what_came_too_late_is_told_with_how_long_it_took() -> None:
    found = asked("Guessed", (0, "ada", False), (15, "ada", True))
    assert not found.holds
    assert told(found)["within 10s"] is False
    assert found.clauses[-1].why == "it took 15s"


def test_events_of_two_partitions_are_told_to_be_so() -> None:
    found = asked("Guessed", (0, "ada", False), (1, "bob", True))
    assert (found.holds, told(found)["per user"]) == (False, False)
    assert [part.value for part in found.clauses[2].parts] == ["ada", "bob"]


def test_a_group_has_all_that_it_can_be() -> None:
    few, many = ((0, "ada", False), (2, "ada", True)), ((0, "ada", False), (1, "ada", False), (2, "ada", True))
    assert told(asked("Many", *few))["count(bad) >= 2"] is False
    assert asked("Many", *many).holds


def test_an_absence_is_told_to_be_broken_kept_or_open() -> None:
    broken = asked("Silent", (0, "ada", True), (5, "ada", True), (12, "bob", True))
    assert [(clause.text, clause.holds) for clause in broken.clauses] == [
        ("per user", True),
        ("!AskLogin next", False),
    ]
    assert broken.clauses[-1].why == "there is one at 1970-01-01T00:00:05+00:00"
    kept = asked("Silent", (0, "ada", True), (12, "bob", True))
    assert kept.holds
    still_open = asked("Silent", (0, "ada", True), (5, "bob", True))
    assert not still_open.holds
    assert "until then one may come" in still_open.clauses[-1].why
    alone = asked("Silent", (0, "ada", True), (5, "ada", True))
    assert not alone.holds


def test_without_events_nothing_is_asked() -> None:
    assert set(told(asked("Guessed")).values()) == {None}


def test_a_rule_that_is_not_there_and_an_event_that_is_not_what_it_says_are_refused() -> None:
    with pytest.raises(KeyError, match="did you mean 'Guessed'"):
        asked("Gessed")
    with pytest.raises(RuleError, match=r"AskLogin\.ok: expected"):
        explain_stream(language.load(LOGINS), "Guessed", [Message("x", Event("AskLogin", ("ada", 1)), 0, "hub")])
