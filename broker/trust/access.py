"""Access rules: whose keys are trusted, by which name they are known, and what each may do.

:class:`Access` is plain data, made in Python or read from a TOML file (:mod:`broker.trust.toml`).  It is judged
by a :class:`~broker.trust.judge.Judge`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from broker.errors import AccessError, TopicError
from broker.topics import normalize_prefix
from broker.trust.keys import PublicKey
from broker.trust.rights import LOG_RIGHTS, NAME, STORE_RIGHTS, Rights

__all__ = ["Access", "Trusted", "is_label"]

_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Trusted(Struct, frozen=True, kw_only=True):
    """Somebody who is trusted: the keys it may show (several while they are being changed), and its rights.

    Its rights are its ``own`` and those of its ``groups``.  An endpoint with one of its keys may be called as the entry
    is, or that with ``@`` and anything behind it, or as one of ``names``, where ``*`` stands for anything.
    ``addresses`` are where it listens: who dials one of them expects its keys there.  From ``expires`` on, and when it
    is ``revoked``, its keys are worth nothing.
    """

    keys: tuple[PublicKey, ...]
    groups: tuple[str, ...] = ()
    own: Rights = Rights()
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    expires: datetime | None = None
    revoked: bool = False


class Access(Struct, frozen=True, kw_only=True):
    """Everybody who is trusted, by name, and the rights of groups.  After ``expires`` nobody is.

    Raises :class:`~broker.errors.AccessError` for what makes no sense: a key in two entries, a group that is not there,
    a time without a time zone.
    """

    trusted: Mapping[str, Trusted] = field(default_factory=dict)
    groups: Mapping[str, Rights] = field(default_factory=dict)
    expires: datetime | None = None

    def __post_init__(self) -> None:
        holders: dict[bytes, str] = {}
        _check_time("expires", self.expires)
        longest = dict.fromkeys(self.groups, "")
        for label, entry in self.trusted.items():
            if not is_label(label):
                raise AccessError(
                    f"{label!r:.120} cannot be the name of a key: letters, digits and . _ - are used, at most 100"
                )
            _check_entry(label, entry)
            for key in entry.keys:
                holder = holders.setdefault(key.raw, label)
                if holder != label:
                    raise AccessError(f"{label} and {holder} have the same key {key}: each needs its own")
            for group in entry.groups:
                if group not in self.groups:
                    there = ", ".join(sorted(self.groups)) or "none"
                    raise AccessError(f"{label}: there is no group {group!r} (there are: {there})")
                longest[group] = max(longest[group], label, key=len)
        for group, label in longest.items():
            _check_rights(group, self.groups[group], label)


def is_label(text: str) -> bool:
    """Whether a text can be the name of a key."""
    return _LABEL.fullmatch(text) is not None


def _check_entry(label: str, entry: Trusted) -> None:
    keys: object = entry.keys
    if not isinstance(keys, tuple) or any(type(key) is not PublicKey for key in keys):
        raise AccessError(f"{label}: keys: a tuple of PublicKey is expected, such as (secret.public,)")
    if not entry.keys:
        raise AccessError(f"{label}: no key: give one, or leave the entry out")
    for name in ("groups", "names", "addresses"):
        _check_texts(f"{label}: {name}", getattr(entry, name))
    _check_time(f"{label}: expires", entry.expires)
    _check_rights(label, entry.own, label)


def _check_texts(where: str, given: object) -> None:
    """Raise AccessError for anything but a tuple of texts: a text alone would be taken for one of each letter."""
    if not isinstance(given, tuple) or any(type(text) is not str for text in given):
        raise AccessError(f"{where}: a tuple of texts is expected, such as ('x',), not {given!r:.100}")


def _check_rights(where: str, rights: Rights, label: str) -> None:
    """Raise AccessError for prefixes that no topic can have, with that name in them, and for rights that are none."""
    for right in ("publish", "subscribe"):
        _check_texts(f"{where}: {right}", getattr(rights, right))
        for prefix in getattr(rights, right):
            try:
                normalize_prefix(prefix)
                normalize_prefix(prefix.replace(NAME, label))
            except TopicError as error:
                raise AccessError(f"{where}: {right}: {error}") from error
    tables: tuple[tuple[str, Mapping[str, object], tuple[str, ...]], ...] = (
        ("stores", rights.stores, STORE_RIGHTS),
        ("logs", rights.logs, LOG_RIGHTS),
    )
    for kind, table, known in tables:
        for name, given in table.items():
            if not isinstance(given, tuple) or any(right not in known for right in given):
                raise AccessError(
                    f"{where}: {kind}.{name}: rights are a tuple of some of {', '.join(known)}, not {given!r:.100}"
                )


def _check_time(where: str, time: datetime | None) -> None:
    if time is not None and time.tzinfo is None:
        raise AccessError(f"{where}: a time needs its zone, such as 2027-01-31T12:00:00Z")
