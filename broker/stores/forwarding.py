"""Writes of a clone on their way to the master: numbered, repeated until answered, given up in time.

The master's end, which takes each once, is in :mod:`broker.stores.writers`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from broker.errors import MasterUnavailable, OutcomeUnknown
from broker.protocol.actions import Action, Answered
from broker.protocol.member import Member
from broker.stores import wire
from broker.stores.followers import Sender
from broker.stores.requests import DURABLE, Request, error_of
from broker.stores.wire import Commands, Item, Outcomes, StoreKind

__all__ = ["QUEUE_BYTES", "REPEAT_S", "Forwarding"]

# What may be asked and not answered: enough to keep a master busy over a second's round trip.
WINDOW_REQUESTS: Final = 1024
WINDOW_BYTES: Final = 2 << 20
# What may wait behind that; then writers wait.
QUEUE_BYTES: Final = 4 << 20
# A frame of requests, and what it may have when the last of them is large.
_FRAME_BYTES: Final = 256 << 10
# What is not answered is asked for again after this.
REPEAT_S: Final = 1.0
# How much longer than its clones' patience a request waits for the master's word of it.
_SLACK_S: Final = 0.25


class Forwarding:
    """The requests of one clone."""

    def __init__(self, name: str, writer: bytes, sender: Sender, act: Callable[[Action], None]) -> None:
        self._name = name
        self._writer = writer
        self._sender = sender
        self._act = act
        self._waiting: deque[Request] = deque()
        self._waiting_bytes = 0
        self._asked: dict[int, Request] = {}  # by number, in order
        self._asked_bytes = 0
        self._number = 0
        self._repeat_at = float("inf")
        self._patience_at = float("inf")  # not before this has anybody waited too long

    @property
    def has_room(self) -> bool:
        """Whether requests are taken; else writers wait."""
        return self._waiting_bytes < QUEUE_BYTES

    @property
    def idle(self) -> bool:
        """Whether nothing waits for an answer."""
        return not self._waiting and not self._asked

    def submit(self, request: Request) -> None:
        """Take a request; :meth:`pump` sends it."""
        self._waiting.append(request)
        self._waiting_bytes += request.size
        self._patience_at = min(self._patience_at, request.deadline)

    def withdraw(self, request: Request) -> None:
        """Forget a request that nobody waits for any more, if it was not sent yet."""
        if not request.number and request in self._waiting:
            self._waiting.remove(request)
            self._waiting_bytes -= request.size

    def pump(self, master: Member | None, now: float) -> None:
        """Send what may be sent."""
        if master is None:
            return
        fresh: list[Request] = []
        while self._waiting and len(self._asked) < WINDOW_REQUESTS and self._asked_bytes < WINDOW_BYTES:
            request = self._waiting.popleft()
            self._waiting_bytes -= request.size
            self._number += 1
            request.number = self._number
            self._asked[request.number] = request
            self._asked_bytes += request.size
            fresh.append(request)
        if fresh:
            self._send(master, fresh, now)

    def _send(self, master: Member, requests: list[Request], now: float) -> None:
        self._repeat_at = now + REPEAT_S
        oldest = next(iter(self._asked))
        items: list[Item] = []
        size = 0
        for request in requests:
            if items and size + request.size > _FRAME_BYTES:
                self._send_items(master, oldest, items)
                items, size = [], 0
            patience_s = max(0.0, request.deadline - now) if request.replicas > DURABLE else 0.0
            patience_ms = round(min(patience_s, 1e9) * 1000)
            items.append(Item(request.number, request.replicas, patience_ms, request.commands))
            size += request.size
        self._send_items(master, oldest, items)

    def _send_items(self, master: Member, oldest: int, items: list[Item]) -> None:
        body = wire.encode(Commands(self._name, self._writer, oldest, tuple(items)))
        self._sender.send(StoreKind.COMMANDS, body, ((master, 0, 0),))

    def repeat(self, master: Member, now: float) -> None:
        """Ask again for all that is not answered: the master is another process, or the way is another."""
        if self._asked:
            self._send(master, list(self._asked.values()), now)

    def take(self, outcomes: Outcomes) -> None:
        """Take the master's answers."""
        if outcomes.writer != self._writer:
            return  # they are for a former clone of this endpoint, which used the same numbers
        for outcome in outcomes.items:
            request = self._asked.pop(outcome.number, None)
            if request is None:
                continue  # it was given up, or is answered twice
            self._asked_bytes -= request.size
            request.error = error_of(self._name, outcome)
            request.position = None if outcome.position is None else outcome.position.position()
            request.results = outcome.results
            self._answer(request)
        if not self._asked:
            self._repeat_at = float("inf")

    def _answer(self, request: Request) -> None:
        request.done = True
        self._act(Answered(request))

    # -- time ------------------------------------------------------------------------------------------------------

    def tick(self, master: Member | None, now: float) -> None:
        """Ask again; give up what has waited too long."""
        if now >= self._patience_at:
            self._give_up(now)
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_S if self._asked else float("inf")
            if master is not None:
                self.repeat(master, now)

    def _give_up(self, now: float) -> None:
        for request in [request for request in self._waiting if now >= request.deadline]:
            self.withdraw(request)
            request.error = MasterUnavailable(self._name, "no master could be reached in time; nothing was written")
            self._answer(request)
        for request in [request for request in self._asked.values() if now >= self._patience(request)]:
            del self._asked[request.number]
            self._asked_bytes -= request.size
            request.error = OutcomeUnknown(self._name, "the master did not answer in time: it may be written, or not")
            self._answer(request)
        waiting = [request.deadline for request in self._waiting]
        self._patience_at = min([float("inf"), *waiting, *map(self._patience, self._asked.values())])

    def _patience(self, request: Request) -> float:
        return request.deadline + (_SLACK_S if request.replicas > DURABLE else 0.0)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return min(self._repeat_at, self._patience_at)

    def close(self) -> None:
        """Answer who still waits."""
        for request in self._waiting:
            request.error = MasterUnavailable(self._name, "its clone was closed before a master was asked")
            self._answer(request)
        for request in self._asked.values():
            request.error = OutcomeUnknown(self._name, "its clone was closed before the master answered")
            self._answer(request)
        self._waiting.clear()
        self._asked.clear()
