"""A bare clone: follows a store's log, so that it can be watched, and has none of its contents.

It begins behind a position, or at the end of the log as it is when it first asks.  Where the log does not go back as
far, or is another one, it is **lost**: there is no snapshot that could stand for what it has missed.  No operation
takes place here; records are kept as they come, with their chain checked as any clone does.
"""

from __future__ import annotations

from broker.journaling import Swap
from broker.protocol.actions import StoreChanged
from broker.protocol.member import Member
from broker.stores.clone import Clone
from broker.stores.draft import Draft
from broker.stores.operations import decode_body
from broker.stores.wire import Followed

__all__ = ["BareClone"]


class BareClone(Clone):
    """The log of a store, without its disk and without the store."""

    bare = True
    lost = False  # records are missing that will not come
    entries: int | None = None  # that the master had when it last answered

    def _ask(self, now: float) -> None:
        if not self.lost:
            super()._ask(now)

    def _begin(self, followed: Followed, now: float) -> None:
        if self.following or self.lost:
            return
        if followed.snapshot:
            self._lose()
            return
        self.entries = followed.entries
        if self._asked_with is None:
            self.journal.carry_out(Swap(followed.start.position()))
            self._draft = Draft(self.journal)
            self._have = self._asked_with = self.journal.position
        super()._begin(followed, now)

    def _draft_record(self, draft: Draft, body: bytes) -> None:
        draft.append(body, decode_body(body).operations)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._lose()

    def _lose(self) -> None:
        self.lost = True
        self.following = False
        self._ask_at = float("inf")
        self._act(StoreChanged(self.name))

    @property
    def _asked(self) -> Member | None:
        return self.master if self.following or self.lost else None
