"""The commands of ``broker store``, their arguments and their help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

import broker
from broker.cli.completing import levels
from broker.cli.identity import Identity
from broker.cli.lazy import LazyGroup
from broker.cli.options import NEGATIVE, Parsed, always_json, count_option, json_option, reach_options

__all__ = ["COMMANDS", "store"]


def _level(text: str) -> broker.Level:
    from broker.cli.store.form import level_of

    return level_of(text)


def _position(text: str) -> broker.Position:
    return broker.Position.parse(text)


_level_option = click.option(
    "--level",
    metavar="LEVEL",
    type=Parsed("level", _level),
    default="durable",
    shell_complete=levels,
    show_default=True,
    help="Return when it is applied, durable or replicated:N, at N clones.",
)


@click.command("list", short_help="Show the stores, or the entries of one.")
@click.argument("store", required=False)
@click.argument("prefix", required=False)
@reach_options
@json_option
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
    from broker.cli.running import run
    from broker.cli.store.entries import List, Reach

    return run(List(Reach(connect, identity, timeout_s), store, prefix, as_json))


@click.command(context_settings=NEGATIVE, short_help="Print a value.")
@click.argument("store")
@click.argument("key")
@reach_options
@always_json
def get(store: str, key: str, connect: Sequence[str], identity: Identity, timeout_s: float) -> int:
    """Print the value of KEY, as its master has it, as JSON.

    Without an entry of that key the exit code is 1.
    """
    from broker.cli.running import run
    from broker.cli.store.entries import Get, Reach

    return run(Get(Reach(connect, identity, timeout_s), store, key))


# \b keeps click from filling the lines below it.
_PUT_HELP = """Set the entry KEY to VALUE, and print {"position": ...}: where that stands in the order of all changes.

\b
  broker store put hosts '"web-01"' '{"up": true}' --expires 30 --connect tcp://127.0.0.1:4040
"""


@click.command(help=_PUT_HELP, short_help="Set an entry.", context_settings=NEGATIVE)
@click.argument("store")
@click.argument("key")
@click.argument("value")
@reach_options
@click.option(
    "--expires",
    "expires_s",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    help="Let the entry expire so much later; by default it never does.",
)
@click.option("--unique", is_flag=True, help="Only if there is no entry of that key.")
@_level_option
@always_json
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
    from broker.cli.running import run
    from broker.cli.store.entries import Put, Reach

    return run(Put(Reach(connect, identity, timeout_s), store, key, value, expires_s, unique, level))


@click.command(context_settings=NEGATIVE, short_help="Erase an entry.")
@click.argument("store")
@click.argument("key")
@reach_options
@click.option("--missing-ok", is_flag=True, help="It is no failure if there is no such entry.")
@_level_option
@always_json
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
    from broker.cli.running import run
    from broker.cli.store.entries import Erase, Reach

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
@reach_options
@click.option("--key", metavar="KEY", help="Of this key alone, as JSON.")
@click.option("--since", metavar="POSITION", type=Parsed("position", _position), help="Go on behind a position.")
@count_option("changes")
@json_option
def watch(
    store: str,
    prefix: str | None,
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    key: str | None,
    since: broker.Position | None,
    count: int | None,
    as_json: bool,
) -> int:
    """Show the changes of a store as they come."""
    if prefix is not None and key is not None:
        raise click.UsageError("watch a PREFIX or a --key, not both")
    from broker.cli.running import run
    from broker.cli.store.entries import Reach
    from broker.cli.store.watch import Watch

    return run(Watch(Reach(connect, identity, timeout_s), store, prefix, key, since, count), as_json=as_json)


@click.command(short_help="Print all entries.")
@click.argument("store")
@reach_options
@always_json
def dump(store: str, connect: Sequence[str], identity: Identity, timeout_s: float) -> int:
    """Print all entries of STORE, as they were at one position, which standard error names.

    Each is a JSON object on a line: {"key": ..., "value": ..., "expires": null or a time}.
    """
    from broker.cli.running import run
    from broker.cli.store.dump import Dump
    from broker.cli.store.entries import Reach

    return run(Dump(Reach(connect, identity, timeout_s), store))


@click.command(short_help="Put the entries of a dump.")
@click.argument("store")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@reach_options
@_level_option
@click.option("--json", "as_json", is_flag=True, help="Tell at the end, as JSON, how many there were.")
def load(
    store: str,
    file: str,
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    level: broker.Level,
    as_json: bool,
) -> int:
    """Put the entries in FILE ('-': standard input), which are lines as 'broker store dump' prints them.

    They are put in order and in batches; entries that are there already and not in FILE stay.  What has expired
    meanwhile is left out.  With a line that is wrong it ends, with what stands before it put.
    """
    from broker.cli.running import run
    from broker.cli.store.dump import Load
    from broker.cli.store.entries import Reach

    return run(Load(Reach(connect, identity, timeout_s), store, file, level, as_json))


@click.command(short_help="Show who is its master, and how large it is.")
@click.argument("store")
@reach_options
@json_option
def info(store: str, connect: Sequence[str], identity: Identity, timeout_s: float, as_json: bool) -> int:
    """Show who is STORE's master, how many entries it has, and where it is in the order of its changes."""
    from broker.cli.running import run
    from broker.cli.store.entries import Info, Reach

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


@click.group(cls=LazyGroup, module=__name__)
def store() -> None:
    """Look into the stores of a mesh, change them, and watch them change.

    KEY and VALUE are JSON: a text has quotes ('"web-01"').  What JSON has no type for is an object such as
    {"$port": "53/udp"} (see 'broker help values').
    """
