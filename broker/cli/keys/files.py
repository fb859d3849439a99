"""``broker keys new``, ``show`` and ``rotate``: an endpoint's own key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from broker.cli.jsonform import dumps
from broker.cli.keys.edit import Rules
from broker.cli.keys.form import holder_of
from broker.cli.running import InputError
from broker.cli.standard import note, printable
from broker.errors import KeyFileError
from broker.keyring import (
    KeyFile,
    access_beside,
    alone_at,
    directory,
    key_path,
    read_access,
    read_key,
    replace_key,
    write_key,
)
from broker.trust.access import is_label
from broker.trust.keys import PublicKey, SecretKey

__all__ = ["finish", "forget_old", "new", "prepare", "read_problem", "show"]

_NEXT: Final = ".next"
_OLD: Final = ".old"

Say = Callable[[str], None]


def new(name: str, folder: Path | None, say: Say, *, force: bool) -> int:
    """Make a key and print its public half, alone on its line: it can be piped to who is to trust it."""
    if not is_label(name):
        raise InputError(f"{name!r:.120} cannot be a key's name: letters, digits and . _ -, at most 100")
    path = (folder or directory()) / f"{name}.key"
    with alone_at(path.parent):
        if force and path.exists():
            _put_away(path)
        elif path.exists():
            raise InputError(
                f"{path}: is there already: 'broker keys rotate {name}' changes a key without an interruption, "
                f"--force makes another one and keeps this one as {path.name}{_OLD}"
            )
        key = write_key(path, name, SecretKey.generate())
    say(f"{key.secret.public}\n")
    shown = name if folder is None else str(path)
    note(f"wrote {path}, for you alone; the line above is its public key, for everybody")
    note(f"next, where it is to be trusted: broker keys trust {key.secret.public} --name {name} --group GROUP")
    note("GROUP says what it may do: agents, readers or operators at first, or one of your own ('broker keys group')")
    note(f"then use it: broker sub ... --keys {shown}, or Endpoint(keys={shown!r})")
    return 0


def _put_away(path: Path) -> None:
    old = path.with_name(path.name + _OLD)
    if old.exists():
        raise InputError(f"{old}: an earlier key is there: move it away, or remove it, before this one is put there")
    path.rename(old)
    note(f"the key that was there is {old} now; whoever trusts it has to trust the new one")


def show(keys: str | None, say: Say, *, as_json: bool, bare: bool) -> int:
    """Print public keys, of one key file or of all in the folder of keys; never a secret."""
    if keys is None:
        paths = sorted(directory().glob("*.key"))
        if not paths:
            raise InputError(f"there are no keys in {directory()}: make one with broker keys new NAME")
    else:
        paths = [key_path(keys)]
    for path in paths:
        key = read_key(path)
        if bare:
            say(f"{key.secret.public}\n")
        elif as_json:
            say(dumps(_form(key)) + "\n")
        else:
            say(printable(f"{key.name}  {key.secret.public}  {key.path}") + "\n")
    return 0


def _form(key: KeyFile) -> dict[str, Any]:
    return {
        "name": key.name,
        "key": str(key.secret.public),
        "path": str(key.path),
        "created": key.created.isoformat() if key.created else None,
    }


# --- another key, without an interruption ------------------------------------------------------------------------


def prepare(keys: str, access: Path | None, say: Say) -> int:
    """Make the key that is to come, in a file of its own, and trust it beside the one in use.

    What was begun and broken off is gone on with.
    """
    path = key_path(keys)
    aside = _next_of(path)
    rules_path = access or access_beside(path)
    if not path.exists() and rules_path.exists() and path.stem in read_access(rules_path).trusted:
        raise InputError(f"{path} is not here: a key is changed on the host that has its file, {path.stem}'s")
    with alone_at(path.parent):
        now = read_key(path)
        if aside.exists():
            coming = read_key(aside)
            note("it was begun already: this goes on with it")
        else:
            coming = write_key(aside, now.name, SecretKey.generate(), like=path)
    say(f"{coming.secret.public}\n")
    note(f"{aside} is the key to come, with the public key above")
    note(_trust_beside(rules_path, now.secret.public, coming.secret.public))
    note("next: copy the access rules to all who trust it; then: " + _command(keys, access, "--finish"))
    return 0


def _trust_beside(path: Path, now: PublicKey, coming: PublicKey) -> str:
    """Have a key trusted beside another; returns what is to be said of it."""
    label = None
    if path.exists():
        with alone_at(path.parent):
            rules = Rules(path)
            label = holder_of(rules.access, now)
            if label is not None:
                entry = rules.access.trusted[label]
                if coming not in entry.keys:
                    rules.trust(label, msgspec.structs.replace(entry, keys=(*entry.keys, coming)))
    if label is None:
        return f"{path}: lacks the key in use; say where it is trusted: broker keys trust {coming} --name NAME --add"
    return f"{path}: {label} may show either key now, the one in use and the one to come"


def finish(keys: str, access: Path | None, say: Say) -> int:
    """Put the key that was prepared in the place of the one in use, in one step: who runs with it takes it up."""
    path = key_path(keys)
    aside = _next_of(path)
    with alone_at(path.parent):
        before = read_key(path).secret.public
        if not aside.exists():
            raise InputError(f"{aside} is not there: nothing was prepared; begin with {_command(keys, access)}")
        coming = read_key(aside).secret.public
        rules_path = access or access_beside(path)
        if rules_path.exists():
            known = Rules(rules_path).access
            label = holder_of(known, before)
            if label is not None and coming not in known.trusted[label].keys:
                raise InputError(
                    f"{rules_path}: does not have the new key beside the old: say {_command(keys, access)}"
                )
        replace_key(aside, path)
    say(f"{coming}\n")
    note(
        f"{path} has the new key, with the public key above: endpoints that run with this file take it up by themselves"
    )
    note(f"when all have, and none has been started with the old key {before.short}..., take that one's trust away:")
    note(f"{_command(keys, access, '--forget-old')}; then copy the access rules to all who trust it")
    return 0


def forget_old(keys: str, access: Path | None, say: Say) -> int:
    """Let the entry of a key have no other keys any more."""
    path = key_path(keys)
    aside = _next_of(path)
    if aside.exists():
        raise InputError(f"{aside} is there: first {_command(keys, access, '--finish')}, or remove that file")
    now = read_key(path).secret.public
    rules_path = access or access_beside(path)
    with alone_at(rules_path.parent):
        rules = Rules(rules_path)
        label = holder_of(rules.access, now)
        if label is None:
            raise InputError(f"{rules_path}: does not have the key of {path}: {now}")
        entry = rules.access.trusted[label]
        gone = [key for key in entry.keys if key != now]
        if gone:
            rules.trust(label, msgspec.structs.replace(entry, keys=(now,)))
    say(f"{now}\n")
    note(f"{rules_path}: {label} has this key alone{', as before' if not gone else ''}")
    return 0


def _next_of(path: Path) -> Path:
    return path.with_name(path.name + _NEXT)


def _command(keys: str, access: Path | None, *more: str) -> str:
    where = ("--access", str(access)) if access else ()
    return " ".join(("broker keys rotate", keys, *more, *where))


def read_problem(path: Path) -> str:
    """Say what is wrong with a key file; nothing when it is well."""
    try:
        read_key(path)
    except KeyFileError as error:
        return str(error)
    return ""
