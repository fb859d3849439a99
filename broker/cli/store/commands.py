"""The commands of ``broker store``, their arguments and their help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

import broker
from broker.cli.identity import Identity, identity_options
from broker.cli.options import Parsed
from broker.cli.running import run
from broker.cli.store.dump import Dump, Load
from broker.cli.store.entries import Erase, Get, Info, List, Put, Reach
from broker.cli.store.form import level_of
from broker.cli.store.watch import Watch

__all__ = ["COMMANDS"]

# What begins with a minus may be a negative number, which is JSON.
_NEGATIVE: Final = {"ignore_unknown_options": True}


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all commands have: how to get to the mesh."""
    options = (
        click.option(
            "--connect", metavar="ADDRESS", multiple=True, required=True, help="An endpoint that listens there."
        ),
        identity_options(),
        click.option(
            "--timeout",
            "timeout_s",
            metavar="SECONDS",
            type=click.FloatRange(0, min_open=True),
            default=5.0,
            show_default=True,
            help="How long peers, and the store's master, may take.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_level_option = click.option(
    "--level",
    metavar="LEVEL",
    type=Parsed("level", level_of),
    default="durable",
    show_default=True,
    help="Return when it is applied, durable or replicated:N, at N clones.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="JSON in a terminal too.")


@click.command("list", short_help="Show the stores, or the entries of one.")
@click.argument("store", required=False)
@click.argument("prefix", required=False)
@_options
@_json_option
def _list(
    store: str | None,
    prefix: str | None,
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    as_json: bool,
) -> int:
    """Show the stores of the mesh, or the entries of STORE whose keys are a text that begins with PREFIX.

    In a terminal these are tables, with keys and values shortened.  Elsewhere each is a JSON object on a line:
    {"store": ..., "masters": [NAME], "entries": N}, two masters being a conflict, or entries as 'broker store dump'
    prints them.
    """
    return run(List(Reach(connect, identity, timeout_s), store, prefix, as_json))


@click.command(context_settings=_NEGATIVE, short_help="Print a value.")
@click.argument("store")
@click.argument("key")
@_options
def get(store: str, key: str, connect: Sequence[str], identity: Identity, timeout_s: float) -> int:
    """Print the value of KEY, as its master has it, as JSON.

    Without an entry of that key the exit code is 1.
    """
    return run(Get(Reach(connect, identity, timeout_s), store, key))


# \b keeps click from filling the lines below it.
_PUT_HELP = """Set the entry KEY to VALUE, and print {"position": ...}: where that stands in the order of all changes.

\b
  broker store put hosts '"web-01"' '{"up": true}' --expires 30 --connect tcp://127.0.0.1:4040
"""


@click.command(help=_PUT_HELP, short_help="Set an entry.", context_settings=_NEGATIVE)
@click.argument("store")
@click.argument("key")
@click.argument("value")
@_options
@click.option(
    "--expires",
    "expires_s",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    help="Let the entry expire so much later; by default it never does.",
)
@click.option("--unique", is_flag=True, help="Only if there is no entry of that key.")
@_level_option
def put(
    store: str,
    key: str,
    value: str,
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    expires_s: float | None,
    unique: bool,
    level: broker.Level,
) -> int:
    """Set the entry KEY to VALUE."""
    return run(Put(Reach(connect, identity, timeout_s), store, key, value, expires_s, unique, level))


@click.command(context_settings=_NEGATIVE, short_help="Erase an entry.")
@click.argument("store")
@click.argument("key")
@_options
@click.option("--missing-ok", is_flag=True, help="It is no failure if there is no such entry.")
@_level_option
def erase(
    store: str,
    key: str,
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    missing_ok: bool,
    level: broker.Level,
) -> int:
    """Erase the entry KEY, and print {"position": ...}: where that stands in the order of all changes."""
    return run(Erase(Reach(connect, identity, timeout_s), store, key, missing_ok, level))


_WATCH_HELP = """Show the changes of STORE as they come: of all keys, of those that begin with PREFIX, or of one.

In a terminal they are a table.  Elsewhere each is a JSON object on a line:

\b
  {"key": ..., "cause": "put", "old": ..., "new": ..., "writer": NAME, "time": ..., "position": ..., "final": true}

"cause" is put, erase, expire or clear (of all: there is no "key"); "old" and "new" are left out where there was or is
nothing, and {"$omitted": null} where a value was too large to be told; "element" is what changed within a list, dict or
set.  Those of one batch have one "position", and the last of them is "final".

--since goes on behind a position, with nothing left out and nothing twice: that of the last "final" change, the one
that standard error names at the end, or that of a dump.  Where the master's log does not go back as far the exit code
is 1.
"""


@click.command(help=_WATCH_HELP, short_help="Show changes as they come.")
@click.argument("store")
@click.argument("prefix", required=False)
@_options
@click.option("--key", metavar="KEY", help="Of this key alone, as JSON.")
@click.option(
    "--since", metavar="POSITION", type=Parsed("position", broker.Position.parse), help="Go on behind a position."
)
@click.option("--count", metavar="N", type=click.IntRange(1), help="End after so many changes.")
def watch(
    store: str,
    prefix: str | None,
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    key: str | None,
    since: broker.Position | None,
    count: int | None,
) -> int:
    """Show the changes of a store as they come."""
    if prefix is not None and key is not None:
        raise click.UsageError("watch a PREFIX or a --key, not both")
    return run(Watch(Reach(connect, identity, timeout_s), store, prefix, key, since, count))


@click.command(short_help="Print all entries.")
@click.argument("store")
@_options
def dump(store: str, connect: Sequence[str], identity: Identity, timeout_s: float) -> int:
    """Print all entries of STORE, as they were at one position, which standard error names.

    Each is a JSON object on a line: {"key": ..., "value": ..., "expires": null or a time}.
    """
    return run(Dump(Reach(connect, identity, timeout_s), store))


@click.command(short_help="Put the entries of a dump.")
@click.argument("store")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@_options
@_level_option
def load(
    store: str, file: str, connect: Sequence[str], identity: Identity, timeout_s: float, level: broker.Level
) -> int:
    """Put the entries in FILE ('-': standard input), which are lines as 'broker store dump' prints them.

    They are put in order and in batches; entries that are there already and not in FILE stay.  What has expired
    meanwhile is left out.  With a line that is wrong it ends, with what stands before it put.
    """
    return run(Load(Reach(connect, identity, timeout_s), store, file, level))


@click.command(short_help="Show who is its master, and how large it is.")
@click.argument("store")
@_options
@_json_option
def info(store: str, connect: Sequence[str], identity: Identity, timeout_s: float, as_json: bool) -> int:
    """Show who is STORE's master, how many entries it has, and where it is in the order of its changes."""
    return run(Info(Reach(connect, identity, timeout_s), store, as_json))


COMMANDS: Final[dict[str, click.Command]] = {
    "list": _list,
    "get": get,
    "put": put,
    "erase": erase,
    "watch": watch,
    "dump": dump,
    "load": load,
    "info": info,
}
