"""Tornado's matcher: trees of filters, iterators and rulesets over events that are plain data.

    tree = tornado.load(config)            # plain data, as JSON gives it; RuleError has all that is wrong
    tree.process(event)                    # the result tree: statuses, extracted variables, actions
    tree.actions(event)                    # only what is to be done
    tree.explain(event)                    # why

- ``accessors``: ``${event.payload.name}`` in texts;
- ``reading``: configuration to model (``broker/rules/model/trees.py``); ``files``: a directory to configuration;
- ``values``, ``modifiers``: what comparisons and modifiers mean;
- ``compiling``, ``nodes``: model to functions, made once; an index finds rules by values that they ask for;
- ``explaining``: each clause with its values.
"""

from __future__ import annotations

from typing import Any

from broker.errors import RuleError
from broker.rules.model.trees import TreeNode
from broker.rules.tornado.explaining import explain
from broker.rules.tornado.files import Files, configuration
from broker.rules.tornado.nodes import Action, node
from broker.rules.tornado.reading import read

__all__ = ["Action", "Tree", "from_files", "load", "read"]


class Tree:
    """A tree, compiled: it has no state, and each event is processed for itself.

    ``node`` is the model that it was made of; ``Tree(from_data(data, FilterNode))`` makes one of what came from
    elsewhere.
    """

    def __init__(self, model: TreeNode, *, indexed: bool = True) -> None:
        self.node = model
        self._node = node(model, indexed=indexed)

    def __repr__(self) -> str:
        return f"<Tree {self.node.name!r}>"

    def process(self, event: dict[str, Any]) -> dict[str, Any]:
        """What each node and rule makes of an event, as plain data.

        Values of the event are not copied, and what is told of rules that did not match is the same object each time:
        read a result, and change a copy.
        """
        return self._node.process(_checked(event))

    def actions(self, event: dict[str, Any]) -> list[Action]:
        """The actions of the rules that matched, in the order of the tree: cheaper than the whole result."""
        found: list[Action] = []
        self._node.collect(_checked(event), found)
        return found

    def explain(self, event: dict[str, Any]) -> list[str]:
        """Why: lines of text, indented, for each node and rule, and each clause with its values."""
        return list(explain(self.node, _checked(event)))


def load(config: Any) -> Tree:
    """A tree of a configuration (plain data).  Raises :class:`~broker.errors.RuleError` with all that is wrong."""
    return Tree(read(config))


def from_files(files: Files) -> Tree:
    """A tree of a directory's files: contents by relative paths, such as ``{"0010_disk.json": b"{...}"}``.

    Raises :class:`~broker.errors.RuleError`, whose problems name the file and the path inside it.  The layouts are
    told by :mod:`broker.rules.tornado.files`.
    """
    origin = configuration(files)
    problems = list(origin.problems)
    try:
        model = read(origin.config)
    except RuleError as error:
        problems += [each for each in map(origin.located, error.problems) if not origin.unread(each)]
    if problems:
        raise RuleError(problems)
    return Tree(model)


def _checked(event: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise TypeError(f"an event is a dict with type, created_ms and payload, not {type(event).__name__}")
    return event
