"""Keys and rights as they are typed and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from broker.trust.access import Access, Trusted
from broker.trust.keys import PublicKey
from broker.trust.rights import Rights

__all__ = [
    "EMPTY",
    "all_rights",
    "entry_form",
    "holder_of",
    "named_rights",
    "rights_form",
    "rights_text",
    "state_of",
    "time_of",
]

EMPTY: Final = Rights()


def named_rights(text: str) -> tuple[str, tuple[str, ...]]:
    """Read ``hosts=read,write``: rights to a store or a log stream; raises ValueError."""
    name, sign, rights = text.rpartition("=")
    if not sign or not name or not rights:
        raise ValueError(f"{text!r:.100} is not NAME=RIGHT, or NAME=RIGHT,RIGHT")
    return name, tuple(right.strip() for right in rights.split(","))


def time_of(text: str) -> datetime:
    """Read a time with its zone, or a day, which begins in UTC; raises ValueError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r:.100} is no time such as 2027-01-31T12:00:00Z, and no day") from None
    if time.tzinfo is None:
        if len(text) > len("2027-01-31"):
            raise ValueError(f"{text!r:.100} lacks its zone: add Z for UTC, or +01:00")
        time = time.replace(tzinfo=UTC)
    return time


def state_of(entry: Trusted, access: Access, now: datetime) -> str:
    """Say whether an entry counts: "trusted", "revoked" or "expired"."""
    if entry.revoked:
        return "revoked"
    ends = [end for end in (entry.expires, access.expires) if end is not None]
    return "expired" if ends and now >= min(ends) else "trusted"


def all_rights(entry: Trusted, groups: Mapping[str, Rights]) -> Rights:
    """Return the rights of an entry, its own and those of its groups, together."""
    each = [entry.own, *(groups[group] for group in entry.groups)]
    return Rights(
        publish=_merged(rights.publish for rights in each),
        subscribe=_merged(rights.subscribe for rights in each),
        stores=_merged_names([rights.stores for rights in each]),
        logs=_merged_names([rights.logs for rights in each]),
        relay=any(rights.relay for rights in each),
    )


def _merged(lists: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(one for each in lists for one in each))


def _merged_names(tables: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, tuple[Any, ...]]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: _merged(table.get(name, ()) for table in tables) for name in names}


def rights_text(rights: Rights) -> str:
    """Say in short what rights there are; "none" for none."""
    parts = []
    for verb, prefixes in (("publish", rights.publish), ("subscribe", rights.subscribe)):
        if prefixes:
            parts.append(f"{verb} {' '.join(prefix or 'everything' for prefix in prefixes)}")
    for kind, named in (("store", rights.stores), ("log", rights.logs)):
        parts += [f"{kind} {name}: {' '.join(given)}" for name, given in named.items() if given]
    if rights.relay:
        parts.append("relay")
    return ", ".join(parts) or "none"


def entry_form(label: str, entry: Trusted, access: Access, now: datetime) -> dict[str, Any]:
    """Return an entry as JSON has it, with the rights of its groups."""
    rights = all_rights(entry, access.groups)
    return {
        "name": label,
        "state": state_of(entry, access, now),
        "keys": [str(key) for key in entry.keys],
        "groups": list(entry.groups),
        "names": list(entry.names),
        "addresses": list(entry.addresses),
        "expires": entry.expires.isoformat() if entry.expires else None,
        **rights_form(rights),
    }


def rights_form(rights: Rights) -> dict[str, Any]:
    """Return rights as JSON has them."""
    return {
        "publish": list(rights.publish),
        "subscribe": list(rights.subscribe),
        "stores": {name: list(given) for name, given in rights.stores.items()},
        "logs": {name: list(given) for name, given in rights.logs.items()},
        "relay": rights.relay,
    }


def holder_of(access: Access, key: PublicKey) -> str | None:
    """Return the name of the entry that has a key."""
    return next((label for label, entry in access.trusted.items() if key in entry.keys), None)
