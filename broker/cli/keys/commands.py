"""The commands of ``broker keys``, their arguments and their help."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from broker.cli.completing import groups as known_groups
from broker.cli.completing import holders, key_names
from broker.cli.lazy import LazyGroup
from broker.cli.options import Parsed, json_option

__all__ = ["COMMANDS", "keys"]

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)

_access_option = click.option(
    "--access",
    metavar="FILE",
    type=_FILE,
    envvar="BROKER_ACCESS",
    show_envvar=True,
    help="The file of access rules; by default access.toml in the folder of keys.",
)


def _named_rights(text: str) -> tuple[str, tuple[str, ...]]:
    from broker.cli.keys.form import named_rights

    return named_rights(text)


def _time(text: str) -> datetime:
    from broker.cli.keys.form import time_of

    return time_of(text)


def _rights_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what may be done."""
    options = (
        click.option("--publish", metavar="PREFIX", multiple=True, help="It may publish on topics that begin so."),
        click.option("--subscribe", metavar="PREFIX", multiple=True, help="It may receive what begins so ('': all)."),
        click.option(
            "--store",
            "stores",
            metavar="NAME=RIGHTS",
            multiple=True,
            type=Parsed("rights", _named_rights),
            help="Of read,write,master at a store; NAME* is all that begin so.",
        ),
        click.option(
            "--log",
            "logs",
            metavar="NAME=RIGHTS",
            multiple=True,
            type=Parsed("rights", _named_rights),
            help="Of write,collect at a log stream.",
        ),
        click.option("--relay/--no-relay", default=None, help="What others say may come by way of it."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def _rights(
    publish: Sequence[str],
    subscribe: Sequence[str],
    stores: Sequence[tuple[str, Any]],
    logs: Sequence[tuple[str, Any]],
    relay: bool | None,
) -> dict[str, Any]:
    given = _given(publish=tuple(publish), subscribe=tuple(subscribe), relay=relay)
    if stores:
        given["stores"] = dict(stores)
    if logs:
        given["logs"] = dict(logs)
    return given


def _access_at(access: Path | None) -> Path:
    from broker.keyring import ACCESS_NAME, directory

    return access or directory() / ACCESS_NAME


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _key_said(as_json: bool) -> Callable[[str], None]:
    """How a public key is printed: alone on its line, or as JSON."""
    return (lambda text: _say(json.dumps({"key": text.strip()}) + "\n")) if as_json else _say


def _run(job: Callable[[], int], as_json: bool = False, then: Callable[[], None] | None = None) -> int:
    """Run what needs no loop; when all was well and JSON is wanted, show ``then`` what became of it."""
    from broker.cli.running import run_plain

    def both() -> int:
        code = job()
        if as_json and then is not None and not code:
            then()
        return code

    return run_plain(both)


def _as_json(asked: bool) -> bool:
    return asked or not os.isatty(1)


# \b keeps click from filling the lines below it.
_NEW_HELP: Final = """Make a key by that NAME, in the file NAME.key, and print its public key.

The folder of keys is $BROKER_KEYS, else $XDG_CONFIG_HOME/broker, else ~/.config/broker.  Standard output has the
public key alone:

\b
  broker keys new web-01 | ssh manager broker keys trust - --name web-01 --group agents
"""


@click.command("new", help=_NEW_HELP, short_help="Make a key.")
@click.argument("name")
@click.option(
    "--directory",
    "--dir",
    "folder",
    metavar="DIR",
    type=_FOLDER,
    help="Where its file is put; by default the folder of keys.",
)
@click.option("--force", is_flag=True, help="Make another one where one is; that one is kept as NAME.key.old.")
@click.option("--json", "as_json", is_flag=True, help='Print {"key": ...}.')
def _new(name: str, folder: Path | None, force: bool, as_json: bool) -> int:
    """Make a key by that NAME."""
    from broker.cli.keys.files import new

    return _run(lambda: new(name, folder, _key_said(as_json), force=force))


@click.command("show", short_help="Print public keys.")
@click.argument("keys", metavar="[NAME|PATH]", required=False, shell_complete=key_names)
@json_option
@click.option("--public", "bare", is_flag=True, help="The public key alone.")
def _show(keys: str | None, as_json: bool, bare: bool) -> int:
    """Print the public key of NAME or of the key file PATH, or of all in the folder of keys; never the secret ones.

    In a terminal with its name and path, elsewhere as {"name": ..., "key": ..., "path": ..., "created": ...}.
    """
    from broker.cli.keys.files import show

    return _run(lambda: show(keys, _say, as_json=_as_json(as_json), bare=bare))


@click.command("trust", short_help="Trust a key, and say with what.")
@click.argument("key")
@click.option("--name", required=True, help="By which name it is known here; its endpoints are called so.")
@click.option(
    "--group",
    "groups",
    metavar="GROUP",
    multiple=True,
    shell_complete=known_groups,
    help="It has the rights of that group.",
)
@click.option("--address", "addresses", metavar="ADDRESS", multiple=True, help="Who dials it expects this key there.")
@click.option("--alias", "names", metavar="PATTERN", multiple=True, help="Its endpoints may be called so, too.")
@_rights_options
@click.option("--expires", metavar="TIME", type=Parsed("time", _time), help="From then on it is not trusted.")
@click.option("--add", is_flag=True, help="Beside the key that the name has, while that one is being changed.")
@_access_option
@click.option("--json", "as_json", is_flag=True, help="Print what is there now, as JSON.")
def _trust(
    key: str,
    name: str,
    groups: Sequence[str],
    addresses: Sequence[str],
    names: Sequence[str],
    publish: Sequence[str],
    subscribe: Sequence[str],
    stores: Sequence[tuple[str, Any]],
    logs: Sequence[tuple[str, Any]],
    relay: bool | None,
    expires: datetime | None,
    add: bool,
    access: Path | None,
    as_json: bool,
) -> int:
    """Trust the public KEY ('-': read it from standard input) by a name.

    A new file of access rules has the groups agents, readers and operators, to begin with.  For a name that is there
    with this key, each option that is given takes the place of what was said before.
    """
    given = _given(groups=tuple(groups), addresses=tuple(addresses), names=tuple(names), expires=expires)
    rights = _rights(publish, subscribe, stores, logs, relay)
    from broker.cli.keys.access import show_trusted, trust

    path = _access_at(access)
    return _run(lambda: trust(path, key, name, given, rights, add=add), as_json, lambda: show_trusted(path, name, _say))


@click.command("group", short_help="Say what a group may do.")
@click.argument("name", shell_complete=known_groups)
@_rights_options
@_access_option
@click.option("--json", "as_json", is_flag=True, help="Print what is there now, as JSON.")
def _group(
    name: str,
    publish: Sequence[str],
    subscribe: Sequence[str],
    stores: Sequence[tuple[str, Any]],
    logs: Sequence[tuple[str, Any]],
    relay: bool | None,
    access: Path | None,
    as_json: bool,
) -> int:
    """Say what each of the group NAME may do.

    '{name}' stands for the name of each.  For a group that is there, each option that is given takes the place of what
    was said before.
    """
    rights = _rights(publish, subscribe, stores, logs, relay)
    from broker.cli.keys.access import define, show_group

    path = _access_at(access)
    return _run(lambda: define(path, name, rights), as_json, lambda: show_group(path, name, _say))


@click.command("revoke", short_help="Trust a key no more.")
@click.argument("name", shell_complete=holders)
@_access_option
@click.option("--json", "as_json", is_flag=True, help="Print what is there now, as JSON.")
def _revoke(name: str, access: Path | None, as_json: bool) -> int:
    """Trust NAME no more: running endpoints that use the file cut it off within a second."""
    from broker.cli.keys.access import revoke, show_trusted

    path = _access_at(access)
    return _run(lambda: revoke(path, name), as_json, lambda: show_trusted(path, name, _say))


_LIST_HELP: Final = """Show who is trusted, and with what: a table in a terminal, elsewhere a JSON object on a line.

\b
  {"name": ..., "state": "trusted", "keys": [...], "groups": [...], "names": [...], "addresses": [...],
   "expires": null, "publish": [...], "subscribe": [...], "stores": {...}, "logs": {...}, "relay": false}

"state" is trusted, revoked or expired; the rights are its own and those of its groups together.
"""


@click.command("list", help=_LIST_HELP, short_help="Show who is trusted, and with what.")
@json_option
@_access_option
def _list(as_json: bool, access: Path | None) -> int:
    """Show who is trusted, and with what."""
    from broker.cli.keys.access import list_trusted

    return _run(lambda: list_trusted(_access_at(access), _say, as_json=_as_json(as_json)))


@click.command("rotate", short_help="Change a key, in three steps.")
@click.argument("keys", metavar="NAME|PATH", shell_complete=key_names)
@click.option("--finish", "step", flag_value="finish", help="Use the key that was prepared.")
@click.option("--forget-old", "step", flag_value="forget", help="Trust the old key no more.")
@click.option(
    "--access",
    metavar="FILE",
    type=_FILE,
    envvar="BROKER_ACCESS",
    show_envvar=True,
    help="The rules; by default access.toml beside it.",
)
@click.option("--json", "as_json", is_flag=True, help='Print {"key": ...}.')
def _rotate(keys: str, step: str | None, access: Path | None, as_json: bool) -> int:
    """Change the key of NAME, or in the key file PATH, while its endpoints run.

    First, it makes another key in NAME.key.next, and trusts it beside the one in use.  When all others have the changed
    access rules, --finish puts it in NAME.key, where running endpoints take it up.  When they have, --forget-old ends
    the trust in the old one.  Each step prints the new public key, and says what comes next.
    """
    from broker.cli.keys.files import finish, forget_old, prepare

    steps = {None: prepare, "finish": finish, "forget": forget_old}
    return _run(lambda: steps[step](keys, access, _key_said(as_json)))


@click.command("check", short_help="Look for what is wrong.")
@click.option("--directory", "--dir", "folder", metavar="DIR", type=_FOLDER, help="The folder of keys.")
@json_option
@_access_option
def _check(folder: Path | None, as_json: bool, access: Path | None) -> int:
    """Check the access rules and the key files: whether they can be read, and whether others could have read them.

    In a terminal it says in words what was found, elsewhere as a JSON object with "problems", which have to be mended,
    and "remarks", which may be meant.  Exit codes: 0 no problem; 1 problems.
    """
    from broker.cli.keys.access import check
    from broker.keyring import ACCESS_NAME, directory

    there = folder or directory()
    return _run(lambda: check(access or there / ACCESS_NAME, there, _say, as_json=_as_json(as_json)))


COMMANDS: Final[dict[str, click.Command]] = {
    "new": _new,
    "show": _show,
    "trust": _trust,
    "list": _list,
    "group": _group,
    "revoke": _revoke,
    "rotate": _rotate,
    "check": _check,
}


# \b keeps click from filling the lines below it.
_KEYS_HELP: Final = """Keys, and whose are trusted with what: what makes endpoints safe on a network.

Each endpoint has a key of its own, whose public half others trust.  Each end needs these two commands:

\b
  broker keys new web-01                                  makes its key, and prints the public half
  broker keys trust KEY --name manager --group operators  trusts the other's, with the rights of a group

Commands then take --keys web-01, and programs Endpoint(keys="web-01").
"""


@click.group(cls=LazyGroup, module=__name__, help=_KEYS_HELP)
def keys() -> None:
    """Keys, and whose are trusted with what."""
