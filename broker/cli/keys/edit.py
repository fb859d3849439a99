"""Changing access rules in their file, with all that people have written there left as it is.

What the changed text must say is worked out first, on the rules themselves; then the text is changed, statement by
statement, and must say just that.  If it does not, as in a table within braces, nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from broker.errors import AccessError
from broker.keyring import load_access, write_access
from broker.toml.layout import Statement, statements, value_end
from broker.toml.reading import key_text
from broker.trust.access import Access, Trusted
from broker.trust.rights import Rights
from broker.trust.toml import Value, format_entry, format_group, parse_access, value_text

__all__ = ["Rules"]

# What a new file begins with: three groups, so that a first key can be given rights by a word.
_NEW: Final = """\
# Whom this endpoint trusts, and with what.  It holds public keys only: the same file may go to all endpoints.
# What is not said here is not allowed.  {name} stands for the name of whoever has the right.
# Endpoints read the file again when it changes.

# Hosts that report of themselves and take commands.
[groups.agents]
publish = ["host/{name}/"]
subscribe = ["command/{name}/", "command/all/"]
stores."*" = ["read"]
logs."*" = ["write"]

# Programs and people that look on.
[groups.readers]
subscribe = [""]
stores."*" = ["read"]
logs."*" = ["collect"]

# Managers and relays: they may do everything, and what others say may come by way of them.
[groups.operators]
publish = [""]
subscribe = [""]
stores."*" = ["master"]
logs."*" = ["write", "collect"]
relay = true
"""


class Rules:
    """Access rules, their file and its text; a file that is not there yet has three groups and trusts nobody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not path.exists()
        if self.is_new:
            self._text = _NEW
            self.access = parse_access(_NEW)
        else:
            self.access, self._text = load_access(path)

    def trust(self, label: str, entry: Trusted) -> None:
        """Let an entry be so, a new one or one that is there, and write the file."""
        before = self.access.trusted.get(label)
        groups = [format_group(name, rights) for name, rights in self.access.groups.items()]
        _check([*groups, format_entry(label, entry)])
        wanted = msgspec.structs.replace(self.access, trusted={**self.access.trusted, label: entry})
        if before is None:
            text = self._with_table(format_entry(label, entry))
        else:
            text = _changed(self._text, ("keys", label), _fields(before), _fields(entry))
        self._write(wanted, text, format_entry(label, entry))

    def define(self, name: str, rights: Rights) -> None:
        """Let a group have these rights, a new one or one that is there, and write the file."""
        before = self.access.groups.get(name)
        _check([format_group(name, rights)])
        wanted = msgspec.structs.replace(self.access, groups={**self.access.groups, name: rights})
        if before is None:
            text = self._with_table(format_group(name, rights))
        else:
            text = _changed(self._text, ("groups", name), _rights_fields(before), _rights_fields(rights))
        self._write(wanted, text, format_group(name, rights))

    def _with_table(self, table: str) -> str:
        text = self._text.rstrip("\n")
        return f"{text}\n\n{table}" if text else table

    def _write(self, wanted: Access, text: str, table: str) -> None:
        try:
            self.access = write_access(self.path, text, wanted)
        except AccessError as error:
            if isinstance(error.__cause__, OSError):
                raise
            raise AccessError(
                f"{self.path}: its layout is beyond this command; nothing was changed. Write:\n{table}"
            ) from None
        self._text = text


def _check(tables: Sequence[str]) -> None:
    """Refuse what a file may not say, by its place there; it has no line yet."""
    try:
        parse_access("\n".join(tables))
    except AccessError as error:
        raise AccessError(re.sub(r"^line \d+: ", "", str(error))) from None


def _fields(entry: Trusted) -> dict[tuple[str, ...], Value]:
    keys = [str(key) for key in entry.keys]
    return {
        ("keys",): keys,
        ("groups",): entry.groups,
        ("names",): entry.names,
        ("addresses",): entry.addresses,
        ("expires",): entry.expires,
        ("revoked",): entry.revoked,
        **_rights_fields(entry.own),
    }


def _rights_fields(rights: Rights) -> dict[tuple[str, ...], Value]:
    return {
        ("publish",): rights.publish,
        ("subscribe",): rights.subscribe,
        **{("stores", store): given for store, given in rights.stores.items()},
        **{("logs", stream): given for stream, given in rights.logs.items()},
        ("relay",): rights.relay,
    }


def _changed(
    text: str, base: tuple[str, str], before: dict[tuple[str, ...], Value], after: dict[tuple[str, ...], Value]
) -> str:
    """Return the text with the values of one table that differ changed."""
    for name in (*after, *(name for name in before if name not in after)):
        value = after.get(name)
        if before.get(name) == value:
            continue
        if name == ("keys",):
            text = _with_keys(text, base, value)
        elif value:
            text = _with_value(text, base, name, value_text(value))
        else:
            text = _without(text, (*base, *name))
    return text


def _with_keys(text: str, base: tuple[str, str], value: Any) -> str:
    """Write one key as ``key``, several as ``keys``, in the place of what there is."""
    lines = text.split("\n")
    there = next((s for s in statements(lines) if s.path in ((*base, "key"), (*base, "keys"))), None)
    if there is None:
        return text
    name, written = ("key", value_text(value[0])) if len(value) == 1 else ("keys", value_text(value))
    old = "\n".join(lines[there.first : there.last])
    before = re.sub(r"keys?(?=['\"]?[ \t]*=[ \t]*$)", name, old[: there.value])
    lines[there.first : there.last] = [before + written + old[value_end(old) :]]
    return "\n".join(lines)


def _with_value(text: str, base: tuple[str, str], name: tuple[str, ...], value: str) -> str:
    lines = text.split("\n")
    found = list(statements(lines))
    there = _assignment(found, (*base, *name))
    if there is not None:
        old = "\n".join(lines[there.first : there.last])
        lines[there.first : there.last] = [old[: there.value] + value + old[value_end(old) :]]
        return "\n".join(lines)
    anchor = _anchor(found, base, name)
    if anchor is None:
        return text
    relative = (*base, *name)[len(anchor.table) :]
    lines.insert(anchor.last, f"{'.'.join(map(key_text, relative))} = {value}")
    return "\n".join(lines)


def _anchor(found: Sequence[Statement], base: tuple[str, str], name: tuple[str, ...]) -> Statement | None:
    """Return the statement behind which a new one belongs."""
    within = (*base, *name[:-1])
    for statement in found:
        if len(name) > 1 and statement.is_header and statement.path == within:
            return statement
    own = [s for s in found if s.path[:2] == base and len(s.table) <= len(base)]
    return own[-1] if own else None


def _without(text: str, path: tuple[str, ...]) -> str:
    lines = text.split("\n")
    there = _assignment(list(statements(lines)), path)
    if there is not None:
        del lines[there.first : there.last]
    return "\n".join(lines)


def _assignment(found: Sequence[Statement], path: tuple[str, ...]) -> Statement | None:
    return next((s for s in found if not s.is_header and s.path == path), None)
