"""How often a peer may tell of changes of the mesh: each is passed on to all, and costs all of them more than it.

A budget is a bucket of tokens: it holds so many at first, gets some a second and never holds more than at first.  An
endpoint keeps to the rates by itself, or nearly: it tells of its links ten times a second at most.  What it wants it
tells as often as its program subscribes; a program that does so tens of thousands of times in a row is cut off once,
and tells all of it anew in a few frames when it is linked again.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from broker.errors import Malformed

__all__ = ["CHANGE_COST", "INTERESTS_PACE", "MEMBER_PACE", "OTHERS_PACE", "Budget", "Pace"]


class Pace(Struct, frozen=True):
    """How many a second, and how many at once; ``what`` says of what, in the words of the reason."""

    per_s: float
    at_once: float
    what: str


# A peer's word of itself: five times what an endpoint says (members.ANNOUNCE_S).
MEMBER_PACE: Final = Pace(50.0, 200.0, "word of its links")
# What a peer wants: each change of one topic; what it tells when it is linked first is free.
INTERESTS_PACE: Final = Pace(10_000.0, 200_000.0, "changes of what it wants")
# A change costs everybody so much beyond its topics: it is passed on and answered by itself.
CHANGE_COST: Final = 10
# Word of others that it passes on: a mesh of ten thousand that starts at one moment, ten changes of each.
OTHERS_PACE: Final = Pace(5_000.0, 100_000.0, "word of others")


class Budget(Struct, eq=False):
    """One bucket."""

    pace: Pace
    _tokens: float = -1.0
    _at: float = 0.0

    def take(self, now: float, count: int = 1) -> None:
        """Take tokens; raises Malformed when there are not so many."""
        pace = self.pace
        if self._tokens < 0.0:
            self._tokens = pace.at_once
        else:
            self._tokens = min(pace.at_once, self._tokens + (now - self._at) * pace.per_s)
        self._at = now
        if self._tokens < count:
            raise Malformed(f"it floods us with {pace.what}: more than {pace.per_s:g} a second")
        self._tokens -= count
