"""What was asked of stores and what was answered, held against the truth about each.

The checks are those of linearisability with the order known: an answer names a position, and the log up to there says
what the answer has to be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import attrs
from simulated_world import Broken
from stored_history import History, Node
from stored_model import ask, same_results

from broker import errors
from broker.journaling import Position
from broker.stores.commands import Append, Command, Increment, PushLast, SetTo
from broker.stores.requests import APPLIED, DURABLE, Request

if TYPE_CHECKING:
    from stored_world import Life

__all__ = ["Asked", "Books"]

# What always leaves its number in the log, if it is done.
_RECOGNISED = {SetTo, Increment, Append, PushLast}

# Of these nobody can say whether they took place.
_EITHER = (errors.OutcomeUnknown, errors.NotReplicated)
# These say how the state was that they were decided on.
_DECIDED = (
    errors.KeyExists,
    errors.NoSuchElement,
    errors.NoSuchKey,
    errors.OutOfRange,
    errors.TypeClash,
    errors.ValueDiffers,
)


@attrs.define(eq=False)
class Asked:
    """A request, what was known when it was made, and its answer as it was given."""

    life: Life
    tag: int
    commands: tuple[Command, ...]
    replicas: int
    at_ns: int
    known: int  # how many positions
    tips: list[Node]  # where the masters were
    floors: dict[int, int]  # by generation: up to where others had been answered
    deadline: float
    answered: bool = False
    error: errors.StoreError | None = None
    results: list[bytes | None] = attrs.field(factory=list)
    position: Position | None = None


class Books:
    """The requests of one store."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.asked: dict[int, Asked] = {}
        self.reached: dict[str, list[Node]] = defaultdict(list)  # by endpoint: the last positions of its clones
        self.floors: dict[int, int] = {}
        self.counts: Counter[str] = Counter()
        self._ahead: list[Asked] = []  # answered as applied, to be looked up once it is committed
        self._never: set[int] = set()  # requests that must not take place any more

    def answer(self, asked: Asked, request: Request, now: float) -> None:
        """Take note of an answer and check it."""
        if asked.answered:
            raise Broken(f"{self._name(asked)} was answered twice")
        asked.answered = True
        asked.error, asked.results, asked.position = request.error, list(request.results), request.position
        self.counts[f"answer: {type(asked.error).__name__}" if asked.error else "answer: done"] += 1
        if asked.error is not None:
            self._refused(asked, asked.error, now)
        elif asked.position is None:
            raise Broken(f"{self._name(asked)} was done, nobody knows where")
        else:
            self._done(asked, asked.position)

    def _name(self, asked: Asked) -> str:
        return f"request {asked.tag} of {asked.life} ({asked.commands!r:.300}, level {asked.replicas})"

    # -- done ------------------------------------------------------------------------------------------------------

    def _done(self, asked: Asked, position: Position) -> None:
        node = self.history.find(position)
        if node is None and asked.replicas == APPLIED:
            self._ahead.append(asked)
            return
        if node is None:
            raise Broken(f"{self._name(asked)} was acknowledged at {position}, which nobody has committed")
        self._check(asked, node)
        if asked.replicas >= DURABLE:
            generation = node.generation
            self.floors[generation] = max(self.floors.get(generation, 0), node.sequence)
        if asked.replicas > DURABLE:
            have = [name for name in self.reached if self.has_reached(name, node)]
            self.counts["answer: replicated"] += 1
            if len(have) < asked.replicas:
                raise Broken(f"{self._name(asked)} was acknowledged at {node}, which only {have} have")

    def has_reached(self, name: str, node: Node) -> bool:
        return any(self.history.descends(place, node) for place in self.reached[name])

    def _check(self, asked: Asked, node: Node) -> None:
        """Check that an answer is what the log makes of the request."""
        made = None
        unchanged = ask(node.state, asked.commands, node.time_ns)
        fits = not unchanged.logged and unchanged.error is None and same_results(asked.results, unchanged.results)
        if not fits and node.parent is not None and node.claimed is None and node.writer == asked.life.name:
            made = ask(node.parent.state, asked.commands, node.time_ns)
            fits = made.logged and made.error is None and made.state == node.state and node.time_ns >= asked.at_ns
            fits = fits and same_results(asked.results, made.results)
            node.claimed = asked
        if not fits:
            raise Broken(f"{self._name(asked)} at {node} had {asked.results}, expected was {made or unchanged!r:.400}")
        if node.sequence < asked.floors.get(node.generation, 0):
            raise Broken(f"{self._name(asked)} was decided at {node}, before others that were answered before it")

    # -- refused ---------------------------------------------------------------------------------------------------

    def _refused(self, asked: Asked, error: errors.StoreError, now: float) -> None:
        early = now < asked.deadline and not asked.life.closing
        if early and isinstance(error, errors.OutcomeUnknown | errors.MasterUnavailable):
            raise Broken(f"{self._name(asked)} was given up before its time: {error}")
        if isinstance(error, _EITHER):
            return
        if isinstance(error, _DECIDED):
            self._check_refusal(asked, error)
        nodes = self.history.tagged.get(asked.tag, [])
        if isinstance(error, errors.MasterUnavailable):
            if nodes:
                raise Broken(f"{self._name(asked)} was not written, it says, and it is at {nodes[0]}: {error}")
            self._never.add(asked.tag)
        elif not self.history.mixed:
            if nodes:
                raise Broken(f"{self._name(asked)} was refused, and it is at {nodes[0]}: {error}")
            self._never.add(asked.tag)

    def _check_refusal(self, asked: Asked, error: errors.StoreError) -> None:
        """Check that there was a state, between question and answer, in which it had to fail so."""
        for node in [*asked.tips, *self.history.order[asked.known :]]:
            if ask(node.state, asked.commands, node.time_ns).error is type(error):
                return
        raise Broken(f"{self._name(asked)} failed, and never had to: {error!r}")

    # -- at every commit -------------------------------------------------------------------------------------------

    def committed(self, since: int) -> None:
        """Look at what a master has committed since so many positions were known."""
        for node in self.history.order[since:]:
            for tag in node.tags:
                if tag in self._never:
                    raise Broken(f"request {tag} had failed for good, and took place at {node}")
                if tag not in self.asked:
                    raise Broken(f"nobody has asked for what {node} does: {node.operations!r:.300}")
        ahead, self._ahead = self._ahead, []
        for asked in ahead:
            assert asked.position is not None
            node_ = self.history.find(asked.position)
            if node_ is None:
                self._ahead.append(asked)
            else:
                self._check(asked, node_)

    def lost_applied(self, life: Life, upto: int) -> int:
        """Return how many requests that a master answered as applied are not in its log, which has gone on.

        Where the disk has refused what came before it, a request may have been decided anew: then it is at another
        position, and only what can be recognised counts.
        """
        lost = 0
        for asked in self._ahead:
            if asked.life is life and asked.position is not None and asked.position.sequence <= upto:
                recognisable = any(type(command) in _RECOGNISED for command in asked.commands)
                lost += recognisable and asked.tag not in self.history.tagged
        return lost
