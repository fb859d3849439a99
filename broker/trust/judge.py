"""The judge: access rules made ready to be asked, as they stand at one moment.

It has no clock: :meth:`Judge.of` is told the time, and :attr:`Judge.until` says when to ask for another one.
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final, Self

from msgspec import Struct

from broker.trust.access import Access, Trusted
from broker.trust.keys import PublicKey, curve_of, text_of
from broker.trust.rights import ALL, Grants, Rights

__all__ = ["EVERYTHING", "NOTHING", "Holder", "Judge"]

EVERYTHING: Final = Grants((ALL,), "")
NOTHING: Final = Grants((), "")


class Holder(Struct, eq=False):
    """A trusted key: the name of its entry, and what it may do."""

    label: str
    key: bytes
    names: tuple[str, ...]
    _rights: tuple[Rights, ...]
    _grants: Grants | None = None

    @property
    def grants(self) -> Grants:
        """Its rights, made ready when they are first asked: of ten thousand keys few are there at once."""
        if self._grants is None:
            self._grants = Grants(self._rights, self.label)
        return self._grants

    def may_be_called(self, name: str) -> bool:
        """Whether an endpoint with this key may have that name."""
        return (
            name == self.label
            or name.startswith(f"{self.label}@")
            or any(fnmatchcase(name, pattern) for pattern in self.names)
        )


class Judge:
    """Who is trusted, by key; ``why_nobody`` is not empty when nobody is."""

    def __init__(self, holders: dict[bytes, Holder], refused: dict[bytes, str], access: Access) -> None:
        self._holders = holders
        self._refused = refused
        self._by_curve = {curve_of(key): key for key in (*holders, *refused)}
        self.access = access
        self.why_nobody = ""
        self.until: datetime | None = None

    @classmethod
    def of(cls, access: Access, now: datetime) -> Self:
        """Return the judge of these rules at that time."""
        holders: dict[bytes, Holder] = {}
        refused: dict[bytes, str] = {}
        ends = [access.expires] if access.expires else []
        for label, entry in access.trusted.items():
            why = _why_not(label, entry, now)
            if why:
                refused.update((key.raw, why) for key in entry.keys)
                continue
            if entry.expires:
                ends.append(entry.expires)
            rights = (entry.own, *(access.groups[group] for group in entry.groups))
            holders.update((key.raw, Holder(label, key.raw, entry.names, rights)) for key in entry.keys)
        why_nobody = ""
        if access.expires and now >= access.expires:
            when = f"{access.expires.isoformat()}, by the clock here"
            why_nobody = f"the access rules have expired at {when}: they have to be renewed"
            refused.update((key, why_nobody) for key in holders)
            holders = {}
        judge = cls(holders, refused, access)
        judge.why_nobody = why_nobody
        judge.until = min((end for end in ends if end > now), default=None)
        return judge

    def holder(self, key: bytes) -> Holder | None:
        """Return who has a key; None for one that is not trusted (any more)."""
        return self._holders.get(key)

    def keys_of(self, key: bytes) -> tuple[bytes, ...]:
        """Return all keys of the entry that has a trusted one."""
        holder = self._holders.get(key)
        return () if holder is None else tuple(key.raw for key in self.access.trusted[holder.label].keys)

    def why_not(self, key: bytes) -> str:
        """Say why a key is not trusted."""
        return self._refused.get(key) or self.why_nobody or f"the key {text_of(key)} is not trusted here"

    def key_of_curve(self, curve: bytes) -> bytes | None:
        """Return the key that shows itself so in CURVE, trusted or not any more; None for a stranger's."""
        return self._by_curve.get(curve)

    def keys_at(self, address: str) -> tuple[PublicKey, ...]:
        """Return the keys that are expected at an address: of the entry that has it."""
        entries = [e for e in self.access.trusted.values() if any(k.raw in self._holders for k in e.keys)]
        found = [entry for entry in entries if address in entry.addresses]
        return tuple(key for entry in found for key in entry.keys if key.raw in self._holders)

    def why_nobody_at(self, address: str) -> str:
        """Say why there are no keys of those who have an address; nothing when nobody has it."""
        return "; ".join(self.why_not(e.keys[0].raw) for e in self.access.trusted.values() if address in e.addresses)


def _why_not(label: str, entry: Trusted, now: datetime) -> str:
    if entry.revoked:
        return f"the key of {label} has been revoked"
    if entry.expires and now >= entry.expires:
        return f"the key of {label} has expired at {entry.expires.isoformat()}, by the clock here"
    return ""
