"""``broker keys trust``, ``group``, ``revoke``, ``list`` and ``check``: whom an endpoint trusts, and with what."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.text import Text

from broker.cli.exits import FAILED
from broker.cli.jsonform import dumps
from broker.cli.keys.edit import Rules
from broker.cli.keys.files import read_problem
from broker.cli.keys.form import EMPTY, all_rights, entry_form, holder_of, rights_form, rights_text, state_of
from broker.cli.running import InputError, counted
from broker.cli.standard import note, printable
from broker.cli.tables import drawn, new_table
from broker.errors import AccessError
from broker.keyring import alone_at, read_access, read_key
from broker.net.address import parse_address
from broker.trust.access import Access, Trusted
from broker.trust.keys import PublicKey
from broker.trust.rights import Rights

__all__ = ["check", "define", "list_trusted", "revoke", "show_group", "show_trusted", "trust"]

Say = Callable[[str], None]
# Each endpoint goes by its own file: what only one of them says is refused by the others.
_COPY: Final = "where others go by the same rules, copy the file to them"


def trust(path: Path, text: str, name: str, given: Mapping[str, Any], rights: Mapping[str, Any], *, add: bool) -> int:
    """Trust a key by a name; what was given of the entry and of its rights takes the place of what there is."""
    key = PublicKey.parse(sys.stdin.readline() if text == "-" else text)
    for address in given.get("addresses", ()):
        parse_address(address, to_dial=True)
    with alone_at(path.parent):
        rules = Rules(path)
        entry = _entry_for(rules.access, key, name, add=add)
        entry = msgspec.structs.replace(entry, own=_with_rights(entry.own, rights), **given)
        missing = [group for group in entry.groups if group not in rules.access.groups]
        if missing:
            there = ", ".join(sorted(rules.access.groups)) or "none"
            raise InputError(
                f"{path}: there is no group {missing[0]!r} (there are: {there}): define it with "
                f"broker keys group {missing[0]} --publish PREFIX ..."
            )
        rules.trust(name, entry)
    if rules.is_new:
        note(f"wrote {path}, with the groups {', '.join(rules.access.groups)}")
    note(f"{path}: {name} is trusted with the key {key.short}...")
    may = all_rights(entry, rules.access.groups)
    if may == EMPTY:
        groups = ", ".join(rules.access.groups) or "none"
        note(
            f"{name} may do nothing yet: give it rights with --group GROUP (there are: {groups}), or rights of its own "
            f"with --publish, --subscribe, --store and --log"
        )
    else:
        note(f"{name} may: {rights_text(may)}")
    if state_of(entry, rules.access, datetime.now(UTC)) == "expired":
        note("but its trust has expired: --expires TIME says until when it is to be trusted")
    note(_COPY)
    return 0


def _entry_for(access: Access, key: PublicKey, name: str, *, add: bool) -> Trusted:
    holder = holder_of(access, key)
    if holder is not None and holder != name:
        raise InputError(f"{holder} has that key already: each name needs a key of its own")
    entry = access.trusted.get(name)
    if entry is None:
        return Trusted(keys=(key,))
    if entry.revoked:
        raise InputError(
            f"{name} has been revoked: take 'revoked' out of the file if that was wrong, or use another name"
        )
    if key in entry.keys:
        return entry
    if not add:
        shown = ", ".join(f"{one.short}..." for one in entry.keys)
        raise InputError(
            f"{name} is there with another key ({shown}): --add trusts this one beside it, while it is being "
            f"changed; if the other one was stolen, 'broker keys revoke {name}' and give this one another name"
        )
    return msgspec.structs.replace(entry, keys=(*entry.keys, key))


def define(path: Path, name: str, rights: Mapping[str, Any]) -> int:
    """Define a group, or change what was given of it."""
    with alone_at(path.parent):
        rules = Rules(path)
        rules.define(name, _with_rights(rules.access.groups.get(name, EMPTY), rights))
    members = [label for label, entry in rules.access.trusted.items() if name in entry.groups]
    note(f"{path}: each of the group {name} may: {rights_text(rules.access.groups[name])}")
    note(f"it has {counted(len(members), 'member')}{': ' if members else ''}{', '.join(members[:20])}")
    note(_COPY)
    return 0


def _with_rights(rights: Rights, given: Mapping[str, Any]) -> Rights:
    """Return rights with those given in their place; rights to stores and logs are kept by name."""
    given = dict(given)
    for kind in ("stores", "logs"):
        if kind in given:
            given[kind] = {**getattr(rights, kind), **given[kind]}
    return msgspec.structs.replace(rights, **given)


def revoke(path: Path, name: str) -> int:
    """Take all trust from an entry, which stays, so that its keys are told why."""
    read_access(path)
    with alone_at(path.parent):
        rules = Rules(path)
        entry = rules.access.trusted.get(name)
        if entry is None:
            raise InputError(f"{path}: there is no {name!r} (there are: {', '.join(rules.access.trusted) or 'none'})")
        if not entry.revoked:
            rules.trust(name, msgspec.structs.replace(entry, revoked=True))
    note(f"{path}: {name} is revoked: endpoints that use this file cut it off within a second")
    note(_COPY)
    return 0


# --- what there is -----------------------------------------------------------------------------------------------


def list_trusted(path: Path, say: Say, *, as_json: bool) -> int:
    """Show everybody who is trusted, or was."""
    access = read_access(path)
    now = datetime.now(UTC)
    if as_json:
        for label, entry in access.trusted.items():
            say(dumps(entry_form(label, entry, access, now)) + "\n")
        return 0
    if not access.trusted:
        note(f"{path}: nobody is trusted yet: broker keys trust KEY --name NAME")
        return 0
    table = new_table()
    for column in ("name", "state", "key", "groups", "may"):
        table.add_column(column, no_wrap=column != "may", overflow="ellipsis")
    for label, entry in access.trusted.items():
        state = state_of(entry, access, now)
        keys = " ".join(f"{key.short}..." for key in entry.keys)
        may = rights_text(all_rights(entry, access.groups))
        table.add_row(*(Text(printable(text)) for text in (label, state, keys, " ".join(entry.groups), may)))
    say(drawn(table))
    return 0


def show_trusted(path: Path, name: str, say: Say) -> None:
    """Print one entry, as JSON."""
    access = read_access(path)
    say(dumps(entry_form(name, access.trusted[name], access, datetime.now(UTC))) + "\n")


def show_group(path: Path, name: str, say: Say) -> None:
    """Print what each of a group may do, and who is of it, as JSON."""
    access = read_access(path)
    members = [label for label, entry in access.trusted.items() if name in entry.groups]
    say(dumps({"group": name, "members": members, **rights_form(access.groups[name])}) + "\n")


def check(path: Path, folder: Path, say: Say, *, as_json: bool) -> int:
    """Look at access rules and key files for what is wrong or was probably not meant; FAILED for the former."""
    problems, remarks = [], []
    access = None
    try:
        access = read_access(path)
    except AccessError as error:
        problems.append(str(error))
    else:
        remarks += _remarks(access, datetime.now(UTC))
    files = sorted(folder.glob("*.key")) if folder.is_dir() else []
    problems += [problem for file in files if (problem := read_problem(file))]
    if (
        folder.is_dir()
        and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        and not folder.stat().st_mode & stat.S_ISVTX
    ):
        problems.append(f"{folder}: others can put files there: chmod go-w {folder}")
    remarks += [f"{file}: a change of key has begun: finish it" for file in sorted(folder.glob("*.key.next"))]
    if access is not None:
        remarks += _unknown(access, [file for file in files if not read_problem(file)])
    trusted = len(access.trusted) if access else 0
    if as_json:
        form = {"access": os.fspath(path), "trusted": trusted, "key_files": len(files), "problems": problems}
        say(dumps(form | {"remarks": remarks}) + "\n")
    else:
        lines = [f"{path}: {counted(trusted, 'entry', 'entries')}; {folder}: {counted(len(files), 'key file')}"]
        lines += [f"problem: {problem}" for problem in problems] or ["no problem found"]
        lines += [f"remark: {remark}" for remark in remarks]
        say("".join(printable(line) + "\n" for line in lines))
    return FAILED if problems else 0


def _remarks(access: Access, now: datetime) -> list[str]:
    remarks = []
    if access.expires is not None and now >= access.expires:
        remarks.append(f"the rules have expired at {access.expires.isoformat()}: nobody is trusted")
    for label, entry in access.trusted.items():
        state = state_of(entry, access, now)
        if state != "trusted":
            remarks.append(f"{label} is {state}")
        elif all_rights(entry, access.groups) == EMPTY:
            remarks.append(f"{label} may do nothing: it has no rights, of its own or of a group")
        elif len(entry.keys) > 1:
            remarks.append(f"{label} may show {len(entry.keys)} keys: is its change of key over?")
    return remarks


def _unknown(access: Access, files: list[Path]) -> list[str]:
    known = {key for entry in access.trusted.values() for key in entry.keys}
    return [f"{file}: its key is not in the rules" for file in files if read_key(file).secret.public not in known]
