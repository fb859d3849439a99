"""Access rules as a text, in TOML: what people write, review and copy to their machines.

::

    # access.toml: whom this endpoint trusts, and with what.  It holds public keys only.
    expires = 2027-06-30T00:00:00Z              # from then on nobody is trusted

    [keys.manager]
    key = "bk1..."                              # or keys = ["bk1...", "bk1..."] while a key is being changed
    groups = ["operators"]
    names = ["manager-*"]                       # it may be called so, too
    addresses = ["tcp://10.0.0.1:9999"]         # who dials it expects this key there
    expires = 2027-01-01T00:00:00Z
    revoked = false
    publish = ["alerts/"]                       # rights of its own

    [groups.agents]
    publish = ["host/{name}/"]                  # {name} is the name of whoever has the right
    subscribe = ["command/{name}/", "command/all/"]
    stores.hosts = ["read", "write"]            # or "host*" for all that begin so
    logs.conn = ["write"]
    relay = false

Only ``key`` (or ``keys``) has to be there; what is not said is not allowed.  Whatever makes no sense is an
:class:`~broker.errors.AccessError` that says where it is, what is wrong there, and what to do.  Nothing of a file is
taken when a part of it is wrong: an unknown word may be a right that was meant to be taken away.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from broker.errors import AccessError, BadKey, TopicError
from broker.toml.layout import statements
from broker.toml.reading import (
    Path,
    Wrong,
    as_flag,
    as_table,
    as_text,
    as_texts,
    dotted,
    expected,
    key_text,
    line_of,
    meant,
    not_toml,
    quoted,
    unknown,
)
from broker.topics import normalize_prefix
from broker.trust.access import Access, Trusted, is_label
from broker.trust.keys import PublicKey
from broker.trust.rights import LOG_RIGHTS, STORE_RIGHTS, Rights

__all__ = [
    "TEXT_MAX",
    "Value",
    "format_access",
    "format_entry",
    "format_group",
    "parse_access",
    "value_text",
]

# Room for some 50,000 keys with a line or two of rules each, which take seconds to read.
TEXT_MAX: Final = 8 << 20
_TRANSPORTS: Final = ("tcp://", "ipc://", "inproc://")
_RIGHTS: Final = ("publish", "subscribe", "stores", "logs", "relay")
_ENTRY: Final = ("key", "keys", "groups", "names", "addresses", "expires", "revoked", *_RIGHTS)
_TOP: Final = ("expires", "keys", "groups")
_NAME: Final = "{name}"

Value = str | bool | datetime | Sequence[str] | None
T = TypeVar("T")


def parse_access(text: str) -> Access:
    """Read access rules; raises :class:`~broker.errors.AccessError`."""
    if len(text) > TEXT_MAX:
        raise AccessError(f"access rules have at most {TEXT_MAX:,} characters, these have {len(text):,}")
    try:
        top = tomllib.loads(text)
    except RecursionError:
        raise AccessError("not access rules: nested too deep") from None
    except ValueError as error:
        raise AccessError(not_toml(error)) from None
    try:
        return _access(top)
    except Wrong as wrong:
        line = line_of(statements(text.split("\n")), wrong.path)
        where = f"{f'line {line}: ' if line else ''}{dotted(wrong.path) or 'access rules'}"
        raise AccessError(f"{where}: {wrong.what}") from None


# --- from tables to rules ----------------------------------------------------------------------------------------


def _access(top: dict[str, Any]) -> Access:
    _only(_TOP, (), top)
    groups = {name: _rights(path, table) for name, path, table in _tables("groups", top)}
    trusted = {label: _trusted(path, table, groups) for label, path, table in _tables("keys", top)}
    _check_filled(trusted, groups)
    return Access(trusted=trusted, groups=groups, expires=_if_there(_time, (), top, "expires", None))


def _trusted(path: Path, table: dict[str, Any], groups: Mapping[str, Rights]) -> Trusted:
    if not is_label(str(path[-1])):
        raise Wrong(path, "the name of a key has letters, digits and . _ - only, at most 100, and begins with no sign")
    _only(_ENTRY, path, table)
    named = _list_if_there(path, table, "groups")
    for at, group in named:
        if group not in groups:
            there = f"the groups are: {', '.join(sorted(groups))}" if groups else "there are no groups"
            raise Wrong(at, f"there is no group {group!r:.100}{meant(group, groups)}; {there}")
    addresses = _list_if_there(path, table, "addresses")
    for at, address in addresses:
        if not address.startswith(_TRANSPORTS):
            raise Wrong(at, f"{address!r:.100} is no address: write it as it is dialled, such as tcp://10.0.0.1:9999")
    return Trusted(
        keys=_keys(path, table),
        groups=_texts(named),
        own=_rights(path, {name: table[name] for name in _RIGHTS if name in table}),
        names=_texts(_list_if_there(path, table, "names")),
        addresses=_texts(addresses),
        expires=_if_there(_time, path, table, "expires", None),
        revoked=_if_there(as_flag, path, table, "revoked", False),
    )


def _keys(path: Path, table: dict[str, Any]) -> tuple[PublicKey, ...]:
    if "key" in table and "keys" in table:
        raise Wrong((*path, "keys"), "there is key, too: write all of them in keys, and leave key out")
    given = [((*path, "key"), as_text((*path, "key"), table["key"]))] if "key" in table else []
    given += _list_if_there(path, table, "keys")
    if not given:
        raise Wrong(path, 'it has no key: write key = "bk1...", as "broker keys show" prints it at its owner\'s')
    return tuple(_key(at, text) for at, text in given)


def _key(path: Path, text: str) -> PublicKey:
    try:
        return PublicKey.parse(text)
    except BadKey as error:
        raise Wrong(path, str(error)) from None


def _rights(path: Path, table: dict[str, Any]) -> Rights:
    _only(_RIGHTS, path, table)
    return Rights(
        publish=_texts(_prefixes(path, table, "publish")),
        subscribe=_texts(_prefixes(path, table, "subscribe")),
        stores=_by_name(path, table, "stores", STORE_RIGHTS),
        logs=_by_name(path, table, "logs", LOG_RIGHTS),
        relay=_if_there(as_flag, path, table, "relay", False),
    )


def _prefixes(path: Path, table: dict[str, Any], name: str) -> list[tuple[Path, str]]:
    prefixes = _list_if_there(path, table, name)
    for at, prefix in prefixes:
        _check_prefix(at, prefix)
    return prefixes


def _check_prefix(path: Path, prefix: str) -> None:
    try:
        normalize_prefix(prefix)
    except TopicError as error:
        raise Wrong(path, str(error)) from None
    if prefix.endswith("*"):
        shorter = prefix.rstrip("*")
        raise Wrong(path, f"all topics that begin with it are meant without a *, too: write {quoted(shorter)}")


def _check_filled(trusted: Mapping[str, Trusted], groups: Mapping[str, Rights]) -> None:
    """Look at prefixes once more, with the longest name that takes the place of ``{name}`` in them."""
    longest = dict.fromkeys(groups, "")
    for label, entry in trusted.items():
        _check_filled_in(("keys", label), entry.own, label)
        for group in entry.groups:
            longest[group] = max(longest[group], label, key=len)
    for group, label in longest.items():
        _check_filled_in(("groups", group), groups[group], label)


def _check_filled_in(path: Path, rights: Rights, label: str) -> None:
    for name, prefixes in (("publish", rights.publish), ("subscribe", rights.subscribe)):
        for index, prefix in enumerate(prefixes):
            if _NAME in prefix:
                _check_prefix((*path, name, index), prefix.replace(_NAME, label))


def _by_name(path: Path, table: dict[str, Any], name: str, rights: tuple[T, ...]) -> dict[str, tuple[T, ...]]:
    """Read rights to stores or to log streams."""
    given: dict[str, tuple[T, ...]] = {}
    path = (*path, name)
    for what, value in as_table(path, table.get(name, {})).items():
        at = (*path, what)
        if type(value) is dict:
            raise Wrong(at, f'expected a list such as ["{rights[0]}"]; a name with a dot is quoted: {name}."a.b"')
        if not what or "*" in what[:-1]:
            raise Wrong(at, "a name, or how it begins and a * at the end, is expected")
        given[what] = tuple(_one_of(rights, here, text) for here, text in as_texts(at, value))
    return given


def _one_of(rights: tuple[T, ...], path: Path, text: str) -> T:
    for right in rights:
        if right == text:
            return right
    names = [str(right) for right in rights]
    raise Wrong(path, f"{text!r:.100} is no such right{meant(text, names)}; the rights are: {', '.join(names)}")


# --- values of TOML ----------------------------------------------------------------------------------------------


def _only(known: tuple[str, ...], path: Path, found: dict[str, Any]) -> None:
    for name in found:
        if name not in known:
            raise Wrong((*path, name), unknown(name, known))


def _tables(name: str, top: dict[str, Any]) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for key, value in as_table((name,), top.get(name, {})).items():
        yield key, (name, key), as_table((name, key), value)


def _if_there(read: Callable[[Path, Any], T], path: Path, table: dict[str, Any], name: str, default: T) -> T:
    return read((*path, name), table[name]) if name in table else default


def _list_if_there(path: Path, table: dict[str, Any], name: str) -> list[tuple[Path, str]]:
    return _if_there(as_texts, path, table, name, [])


def _texts(listed: Iterable[tuple[Path, str]]) -> tuple[str, ...]:
    return tuple(text for _, text in listed)


def _time(path: Path, value: Any) -> datetime | None:
    if type(value) is datetime and value.tzinfo is not None:
        return value
    return expected("a day and time with its zone and without quotes, such as 2027-01-31T12:00:00Z", path, value)


# --- from rules to a text ----------------------------------------------------------------------------------------


def format_access(access: Access) -> str:
    """Write access rules as a text; :func:`parse_access` makes the same of it."""
    parts = [f"expires = {value_text(access.expires)}\n"] if access.expires else []
    parts += [format_group(name, rights) for name, rights in access.groups.items()]
    parts += [format_entry(label, entry) for label, entry in access.trusted.items()]
    return "\n".join(parts)


def format_entry(label: str, entry: Trusted) -> str:
    """Write the table of somebody who is trusted."""
    keys = [str(key) for key in entry.keys]
    values = {
        "key": keys[0] if len(keys) == 1 else "",
        "keys": keys if len(keys) != 1 else (),
        "groups": entry.groups,
        "names": entry.names,
        "addresses": entry.addresses,
        "expires": entry.expires,
        "revoked": entry.revoked,
    }
    return f"[keys.{key_text(label)}]\n{_values_text(values)}{_rights_text(entry.own)}"


def format_group(name: str, rights: Rights) -> str:
    """Write the table of a group."""
    return f"[groups.{key_text(name)}]\n{_rights_text(rights)}"


def _rights_text(rights: Rights) -> str:
    values: dict[str, Value] = {"publish": rights.publish, "subscribe": rights.subscribe}
    # A name without any right is not the same as none: it is written, too.
    named = [f"stores.{key_text(store)} = {value_text(given)}\n" for store, given in rights.stores.items()]
    named += [f"logs.{key_text(stream)} = {value_text(given)}\n" for stream, given in rights.logs.items()]
    return _values_text(values) + "".join(named) + _values_text({"relay": rights.relay})


def _values_text(values: Mapping[str, Value]) -> str:
    return "".join(f"{name} = {value_text(value)}\n" for name, value in values.items() if value)


def value_text(value: Value) -> str:
    """Write a value."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    return f"[{', '.join(map(quoted, value or ()))}]"
