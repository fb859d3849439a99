"""Those to whom there is no unbroken way, in the order in which that came about: so the first of them are due first.

Who cannot be reached for ``Timing.resume_s`` is given up: what is for it is counted, not kept.  Who cannot for
:data:`FORGET_S` is forgotten, unless there is a way that is only broken: its end decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from broker.protocol.member import Member

__all__ = ["FAR", "FORGET_S", "Apart"]

FORGET_S: Final = 600.0
# The distance of those to whom there is no way at all.
FAR: Final = 1 << 30


class Apart:
    """The endpoints that are apart, and since when."""

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._hoped_for: dict[Member, None] = {}  # those of them who are not given up yet
        self._forget_at = float("inf")  # nobody is to be forgotten before

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member, now: float) -> None:
        """Take note that there is no unbroken way to it any more, or not yet."""
        member.apart_since = now
        self._members[member] = self._hoped_for[member] = None

    def discard(self, member: Member) -> None:
        """Take note that there is a way again, or that it is forgotten."""
        member.apart_since = None
        self._members.pop(member, None)
        self._hoped_for.pop(member, None)

    def look(self, passed: int = 0) -> None:
        """See anew who is to be forgotten first, but for the first ``passed``: ways have changed."""
        rest = islice(self._members, passed, None)
        far = (m.apart_since for m in rest if m.distance == FAR and m.apart_since is not None)
        self._forget_at = next(far, float("inf")) + FORGET_S

    def to_forget(self, now: float) -> list[Member]:
        """Return those who are to be forgotten."""
        if now < self._forget_at:
            return []
        overdue = _overdue(self._members, now, FORGET_S)
        self.look(len(overdue))
        return [member for member in overdue if member.distance == FAR]

    def to_give_up(self, now: float, patience_s: float) -> list[Member]:
        """Return those who have been apart for so long; each once."""
        if not self._hoped_for:
            return []
        overdue = _overdue(self._hoped_for, now, patience_s)
        for member in overdue:
            del self._hoped_for[member]
        return overdue

    def next_deadline(self, patience_s: float) -> float:
        """Return when somebody is to be given up or forgotten."""
        for member in self._hoped_for:  # the first one
            assert member.apart_since is not None
            return min(member.apart_since + patience_s, self._forget_at)
        return self._forget_at


def _overdue(apart: Iterable[Member], now: float, patience_s: float) -> list[Member]:
    return list(takewhile(lambda m: m.apart_since is not None and now >= m.apart_since + patience_s, apart))
