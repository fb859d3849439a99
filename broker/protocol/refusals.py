"""What access rules refuse, told at both ends: here by a status event, there by a DENIED frame, which leads to one.

Told at once, then at most once a second for each who, right and what; and of one who, what is beyond so many of those
is told together.  So a flood of refusals is none of words.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Tell
from broker.protocol.frames import Denied, Kind
from broker.protocol.member import Member
from broker.protocol.transit import Transit
from broker.status import AccessRefused, PeerRefused
from broker.trust.guard import Guard
from broker.trust.rights import LOG_RIGHTS, STORE_RIGHTS

__all__ = ["Refusals"]

_TELL_S: Final = 1.0
# Accounts that are kept apart; beyond them the oldest is told early and forgotten.
_ACCOUNTS_MAX: Final = 1000
# Of one who and one refuser: an endpoint that publishes to one wrong topic after the other.
_APART_MAX: Final = 50
_OTHERS: Final = "(others)"
_RIGHTS: Final = frozenset(
    {"publish", "subscribe", "relay", "speak for"}
    | {f"store {right}" for right in STORE_RIGHTS}
    | {f"log {right}" for right in LOG_RIGHTS}
)

# Strangers that are told of at once in a second; what more there are is counted, for so many reasons.
_AT_ONCE_MAX: Final = 16
_REASONS_MAX: Final = 16

_Key = tuple[str, str, str, str, str]
"""Who was refused: its name, and its key's; the right, what it was for, who refused it."""


class _Account(Struct, eq=False):
    """What was refused for one reason, not told yet; ``member`` is who is told besides us."""

    told_at: float
    member: Member | None
    count: int = 0


class Refusals:
    """Counts by who was refused, the right that was lacking, what it was for, and who refused it."""

    def __init__(self, name: str, guard: Guard, transit: Transit, act: Callable[[Action], None]) -> None:
        self._name = name
        self._guard = guard
        self._transit = transit
        self._act = act
        self._accounts: OrderedDict[_Key, _Account] = OrderedDict()
        self._apart: Counter[tuple[str, str]] = Counter()  # accounts by who and refuser
        self._due = float("inf")
        self._strangers: dict[tuple[str, str, str, str], int] = {}
        self._strangers_told = float("-inf")
        self._strangers_due = float("inf")
        self._refused_since = float("-inf")
        self._refused = 0  # since then
        self.count = 0

    def add(self, member: Member, right: str, what: str, count: int = 1) -> None:
        """Take note that we refused something to an endpoint."""
        self._add((member.name, self._guard.label(member.key), right, what, self._name), member, count)

    def refuse(self, name: str, address: str, code: str, reason: str, now: float) -> None:
        """Tell that somebody was turned away: at once, unless there are many; then they are counted, and told later."""
        if now >= self._refused_since + _TELL_S:
            self._refused_since, self._refused = now, 0
        self._refused += 1
        if self._refused <= _AT_ONCE_MAX:
            self._act(Tell(PeerRefused(name, address, code, reason)))
        else:
            self.add_stranger(address, code, reason)

    def add_stranger(self, address: str, code: str, reason: str, name: str = "unknown") -> None:
        """Take note that somebody was not let in who is no endpoint that we know."""
        stranger = (name, address, code, reason)
        if stranger not in self._strangers and len(self._strangers) >= _REASONS_MAX:
            stranger = ("unknown", "", code, "several others")
        self._strangers[stranger] = self._strangers.get(stranger, 0) + 1
        if self._strangers_due == float("inf"):
            self._strangers_due = self._strangers_told + _TELL_S
            self._act(Changed())

    def _tell_strangers(self, now: float) -> None:
        for (name, address, code, reason), count in self._strangers.items():
            times = f", {count} times" if count > 1 else ""
            self._act(Tell(PeerRefused(name, address, code, reason + times)))
        self._strangers.clear()
        self._strangers_due, self._strangers_told = float("inf"), now

    def take(self, member: Member, denied: Denied) -> None:
        """Take note that an endpoint refused something to us."""
        right, what = _plain(denied.right), _plain(denied.what)
        self._add((self._name, self._guard.label(self._guard.key), right, what, member.name), None, denied.count)

    def _add(self, key: _Key, member: Member | None, count: int) -> None:
        self.count += count
        if key not in self._accounts and self._apart[key[0], key[4]] >= _APART_MAX:
            key = (*key[:2], key[2] if key[2] in _RIGHTS else _OTHERS, _OTHERS, key[4])
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(float("-inf"), member)
            self._apart[key[0], key[4]] += 1
            if len(self._accounts) > _ACCOUNTS_MAX:
                oldest = next(iter(self._accounts))
                self._tell(oldest, self._accounts[oldest])
                self._close(oldest)
        if not account.count:
            self._due = min(self._due, account.told_at + _TELL_S)
            self._act(Changed())  # there is a deadline
        account.count += count

    def _close(self, key: _Key) -> None:
        del self._accounts[key]
        who = key[0], key[4]
        self._apart[who] -= 1
        if not self._apart[who]:
            del self._apart[who]

    def tick(self, now: float) -> None:
        """Tell what is due."""
        if now >= self._strangers_due:
            self._tell_strangers(now)
        if now < self._due:
            return
        self._due = float("inf")
        for key, account in list(self._accounts.items()):
            if now >= account.told_at + _TELL_S:
                if not account.count:
                    self._close(key)
                    continue
                self._tell(key, account)
                account.told_at = now
            self._due = min(self._due, account.told_at + _TELL_S)

    def _tell(self, key: _Key, account: _Account) -> None:
        if not account.count:
            return
        self._act(Tell(AccessRefused(*key, account.count)))
        if account.member is not None:
            body = frames.encode(Denied(key[2], key[3], account.count))
            self._transit.send(Kind.DENIED, body, ((account.member, 0, 0),))
        account.count = 0

    def next_deadline(self) -> float:
        """Return when there is something to tell."""
        return min(self._strangers_due, self._due)


def _plain(text: str) -> str:
    """Return what somebody else has said, so that it garbles no terminal."""
    return text if text.isprintable() else ascii(text)
