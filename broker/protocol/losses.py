"""The books of what was lost: told at once, then at most once a second for each cause, so that a flood of losses is
none of status events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct, field

from broker.protocol.actions import Action, Changed, Tell
from broker.status import MessagesLost

__all__ = ["Cause", "Losses"]

Cause = Literal["slow", "remote", "refused", "unreachable", "away", "gone", "sender"]
"""What each means is told by :class:`broker.figures.LossFigures`."""

_TELL_S: Final = 1.0
# Topics named in one status event: enough to see what is concerned.
_TOPICS_MAX: Final = 16


class _Account(Struct, eq=False):
    """What was lost for one reason, not told yet."""

    count: int = 0
    topics: dict[str, None] = field(default_factory=dict)
    told_at: float = float("-inf")


class Losses:
    """Counts by peer, direction and reason."""

    def __init__(self, act: Callable[[Action], None]) -> None:
        self._act = act
        self._accounts: dict[tuple[str, str, str], _Account] = {}
        self.totals: Counter[tuple[str, Cause]] = Counter()  # by direction and cause, of all time

    def add(self, peer: str, direction: str, cause: Cause, reason: str, count: int, topics: Iterable[str] = ()) -> None:
        """Take note of a loss; direction is "in" or "out", ``reason`` is the cause in words."""
        if not count:
            return
        self.totals[direction, cause] += count
        account = self._accounts.setdefault((peer, direction, reason), _Account())
        if not account.count:
            self._act(Changed())  # there is a deadline
        account.count += count
        for topic in topics:
            if topic and len(account.topics) < _TOPICS_MAX:
                account.topics[topic] = None

    def tick(self, now: float) -> None:
        """Tell what is due."""
        for key, account in list(self._accounts.items()):
            if now < account.told_at + _TELL_S:
                continue
            if account.count:
                self._tell(key, account, now)
            else:
                del self._accounts[key]

    def tell_all(self) -> None:
        """Tell everything: the endpoint closes."""
        for key, account in self._accounts.items():
            if account.count:
                self._tell(key, account, account.told_at)
        self._accounts.clear()

    def _tell(self, key: tuple[str, str, str], account: _Account, now: float) -> None:
        peer, direction, reason = key
        self._act(Tell(MessagesLost(peer, account.count, direction, reason, tuple(account.topics))))
        account.count = 0
        account.topics.clear()
        account.told_at = now

    def next_deadline(self) -> float:
        """Return when there is something to tell."""
        if not self._accounts:
            return float("inf")
        return min(account.told_at + _TELL_S for account in self._accounts.values())
