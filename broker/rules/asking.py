"""Why a rule does or does not hold for events that somebody has: which of them its steps are, then clause by clause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.compiling import EventClasses
from broker.rules.compiling.classes import Misfit
from broker.rules.explaining import Explanation, explain
from broker.rules.model import Program, Rule

__all__ = ["explain_events", "rule_named"]


def rule_named(program: Program, name: str) -> Rule:
    """Return a program's rule; raises KeyError, which names what may have been meant."""
    for rule in program.rules:
        if rule.name == name:
            return rule
    names = [rule.name for rule in program.rules]
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names) or 'none'}"
    raise KeyError(f"there is no rule {name!r}: {hint}")


def explain_events(program: Program, name: str, messages: Iterable[Message]) -> Explanation:
    """Explain a rule for events in the order of the stream: a single step is the next one of its type.

    A group takes all of its type that leave one for each step behind it; an absent step takes none.  Raises KeyError
    for a rule that is not there, and RuleError for an event that is not what its type says.
    """
    rule, classes = rule_named(program, name), EventClasses(program)
    waiting = []
    for message in messages:
        instance = classes.accept(message.event)
        if isinstance(instance, Misfit):
            raise RuleError.at("", str(instance))
        waiting.append(Message(message.topic, instance, message.time_ns, message.origin))
    events: dict[str, Message | Sequence[Message]] = {}
    steps = [step for step in rule.steps if not step.absent]
    for index, step in enumerate(steps):
        types = classes.subtypes(step.type)
        fits = [place for place, message in enumerate(waiting) if classes.type_of(message.event) in types]
        if not fits:
            continue
        if step.group or rule.window is not None:
            behind = len(steps) - index - 1
            taken = [place for place in fits if place < len(waiting) - behind]
            events[step.name] = [waiting[place] for place in taken]
        else:
            taken = fits[:1]
            events[step.name] = waiting[taken[0]]
        if taken:
            del waiting[: taken[-1] + 1]
    return explain(program, rule, events)
