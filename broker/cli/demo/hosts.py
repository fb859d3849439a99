"""The store ``hosts``: an entry for each agent that lives, which the agent renews and the manager, its master, counts.

An entry is over soon after its agent was last able to renew it, however the agent ended: nobody has to notice that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from broker import ABSENT, Change, StoreMaster, Timestamp

__all__ = ["EXPIRES_S", "RENEW_S", "STORE", "HostsTally"]

STORE: Final = "hosts"
RENEW_S: Final = 0.5
# Long enough for a machine that is busy, short enough to be seen.
EXPIRES_S: Final = 3.0


class HostsTally:
    """What the changes of the store add up to; ``expires`` is when each entry that is there will be over."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.expires: dict[str, Timestamp | None] = {}
        self.writes: Counter[str] = Counter()  # by the endpoint that asked for them
        self.puts: Counter[str] = Counter()  # by key
        self.expired: Counter[str] = Counter()  # by key

    def take(self, change: Change, store: StoreMaster) -> None:
        """Count a change."""
        if change.writer:
            self.writes[change.writer] += 1
        if change.new is ABSENT:
            self.values.pop(change.key, None)
            self.expires.pop(change.key, None)
            self.expired[change.key] += change.cause == "expire"
        else:
            self.puts[change.key] += 1
            self.values[change.key] = change.new
            self.expires[change.key] = store.expires(change.key) if change.key in store else None

    def summary(self, reported: Mapping[str, int], store: Mapping[Any, Any]) -> dict[str, Any]:
        """What there is to say at the end, for JSON.

        ``reported`` are the writes that agents say were acknowledged to them; ``unlike`` is by how much that differs
        from the changes of theirs that came, plus the entries in which changes and contents differ.
        """
        changed = {name: self.writes[name] for name in reported}
        unlike = sum(abs(changed[name] - count) for name, count in reported.items())
        unlike += sum(self.values.get(key) != store.get(key) for key in self.values.keys() | set(store))
        return {
            "entries": len(self.puts),
            "writes": sum(self.writes.values()),
            "acknowledged": sum(reported.values()),
            "expired": self.expired.total(),
            "left": len(store),
            "unlike": unlike,
        }
