"""A tree of Tornado's as an engine: each message is an event of its matcher, each action that it wants is called.

A message becomes an event so: ``type`` is the event's name, ``created_ms`` its time, ``payload`` its fields by their
names (where the event's class is known here), the dict that is its only argument, or ``{"args": [...]}``; ``metadata``
has ``topic`` and ``origin``, and what a second dict says.  Values that JSON has no type for are texts, as ``str`` has
them; a duration is a number of seconds.

An action's event is ``broker.Event(id, (payload,))``.  It has no state, and no time of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import attrs

from broker import events
from broker.events import Event
from broker.messages import Message
from broker.rules.engine import EngineFigures, Made, Outcome, Reloaded, Restored, RuleFigures
from broker.rules.model import identity
from broker.rules.model.trees import FilterNode, IteratorNode, RulesetNode, TreeNode
from broker.rules.tornado import Tree
from broker.values import unpack

__all__ = ["TreeEngine", "event_of", "rules_of"]


class TreeEngine:
    """Runs a tree as :class:`broker.rules.engine.Engine` runs a program."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._rules = dict(rules_of(tree.node))
        self._received = 0
        self._made: dict[str, int] = {}

    def receive(self, messages: Sequence[Message], now_ns: int) -> Outcome:  # noqa: ARG002 - an engine's
        """Look at messages."""
        made: list[Made] = []
        for message in messages:
            self._received += 1
            for action in self._tree.actions(event_of(message)):
                rule = f"{action.path}.{action.rule}"
                self._made[rule] = self._made.get(rule, 0) + 1
                event = Event(action.id, (action.payload,))
                made.append(Made(rule, event, None, message.time_ns, (action.id,), (message,)))
        return Outcome(made, [])

    def tick(self, now_ns: int) -> Outcome:  # noqa: ARG002 - an engine's
        """Nothing comes of time."""
        return Outcome([], [])

    def next_deadline(self, now_ns: int) -> int | None:  # noqa: ARG002 - an engine's
        """There is none."""
        return None

    def replace(self, tree: Tree) -> Reloaded:
        """Go on with another tree."""
        former, self._tree, self._rules = self._rules, tree, dict(rules_of(tree.node))
        kept = [name for name, told in self._rules.items() if former.get(name) == told]
        new = tuple(name for name in self._rules if name not in kept)
        return Reloaded(len(kept), new, tuple(name for name in former if name not in kept))

    def state(self) -> None:
        """There is none."""

    def restore(self, data: object) -> Restored:  # noqa: ARG002 - an engine's
        """There is none."""
        return Restored(len(self._rules), ())

    def figures(self) -> EngineFigures:
        """Return what it has done."""
        rules = {
            name: RuleFigures(matched=self._made.get(name, 0), made=self._made.get(name, 0)) for name in self._rules
        }
        return EngineFigures(self._received, 0, 0, 0, 0, 0, None, rules)


def rules_of(node: TreeNode, above: str = "") -> Iterator[tuple[str, str]]:
    """Give the rules of a tree, by the names that lead to them, each with its content hash."""
    path = f"{above}.{node.name}" if above else node.name
    if isinstance(node, RulesetNode):
        for rule in node.rules:
            yield f"{path}.{rule.name}", identity(rule)
    elif isinstance(node, FilterNode | IteratorNode):
        for child in node.nodes:
            yield from rules_of(child, path)


def event_of(message: Message) -> dict[str, Any]:
    """Return the event that Tornado's matcher takes."""
    event = message.event
    payload: dict[str, Any]
    metadata: dict[str, Any] = {}
    if type(event) is Event:
        name, args = event.name, event.args
        if len(args) in {1, 2} and all(type(argument) is dict for argument in args):
            payload, metadata = args[0], args[-1] if len(args) == 2 else {}
        else:
            payload = {"args": list(args)}
    else:
        name, data = events.encode(event, 0)
        fields = attrs.fields(type(event))
        payload = dict(zip([field.name for field in fields], unpack(data)[1:], strict=True))
    return {
        "type": name,
        "created_ms": message.time_ns // 1_000_000,
        "payload": _plain(payload),
        "metadata": {"topic": message.topic, "origin": message.origin, **_plain(metadata)},
    }


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in {bool, int, float, str}:
        return value
    if kind in {list, tuple, set, frozenset}:
        return [_plain(item) for item in value]
    if kind is dict:
        return {key if type(key) is str else str(key): _plain(item) for key, item in value.items()}
    return value.total_seconds() if kind is timedelta else str(value)
