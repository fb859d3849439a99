"""The commands, their arguments and their help."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import broker
from broker.cli.identity import Identity, identity_options
from broker.cli.options import import_all
from broker.cli.running import INPUT_WRONG, run
from broker.cli.standard import note
from broker.extras import needed_for

__all__ = ["app", "run_app"]

_COLUMNS = {"max_content_width": 100}


def run_app(arguments: Sequence[str]) -> int:
    """Run the command line with those arguments; returns the exit code."""
    try:
        code = app.main(list(arguments), prog_name="broker", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return INPUT_WRONG
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "broker"
        note(f"{where}: {' '.join(error.format_message().split())} (see {where} --help)")
        return INPUT_WRONG
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the help, with nobody to read it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(code or 0)


@click.group(context_settings=_COLUMNS)
@click.version_option(broker.__version__, prog_name="broker")
def app() -> None:
    """Typed events and shared stores between programs, with no server: use them and look around from the shell.

    Two endpoints exchange events when one listens and the other connects: it does not matter which of them publishes.
    An ADDRESS is tcp://HOST:PORT (port 0: any free one), ipc://PATH or inproc://NAME.

    Exit codes: 0 all is well; 1 the mesh or the machine said no (a peer that is not there, a port in use, events lost);
    2 the command line or its input is wrong; 130 stopped with Ctrl-C.
    """


class _LazyGroup(click.Group):
    """The commands of a group, in a module that is imported when one of them is asked for."""

    def __init__(self, *arguments: Any, module: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._module = module

    def _commands(self) -> dict[str, click.Command]:
        commands: dict[str, click.Command] = importlib.import_module(self._module).COMMANDS
        return commands

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self._commands())

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._commands().get(cmd_name)


@app.group(cls=_LazyGroup, module="broker.cli.storeapp")
def store() -> None:
    """Look into the stores of a mesh, change them, and watch them change.

    KEY and VALUE are JSON: a text has quotes ('"web-01"').  What JSON has no type for is an object such as
    {"$port": "53/udp"} (see 'broker sub --help').
    """


@app.group(cls=_LazyGroup, module="broker.cli.logapp")
def log() -> None:
    """Log streams: look at records as they come, collect them into files, write them, look into spools."""


# \b keeps click from filling the lines below it.
_KEYS_HELP = """Keys, and whose are trusted with what: what makes endpoints safe on a network.

Each endpoint has a key of its own, whose public half others trust.  Each end needs these two commands:

\b
  broker keys new web-01                                  makes its key, and prints the public half
  broker keys trust KEY --name manager --group operators  trusts the other's, with the rights of a group

Commands then take --keys web-01, and programs Endpoint(keys="web-01").
"""


@app.group(cls=_LazyGroup, module="broker.cli.keysapp", help=_KEYS_HELP)
def keys() -> None:
    """Keys, and whose are trusted with what."""


_timeout_option = click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="How long peers may take.",
)


def _endpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all commands with an endpoint of their own have."""
    options = (
        click.option("--connect", metavar="ADDRESS", multiple=True, help="Peer with the endpoint that listens there."),
        click.option("--listen", metavar="ADDRESS", multiple=True, help="Let others peer with us there."),
        identity_options(),
        _timeout_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _need_address(connect: Sequence[str], listen: Sequence[str]) -> None:
    if not connect and not listen:
        raise click.UsageError("nobody to exchange events with: say --connect ADDRESS or --listen ADDRESS")


@app.command()
@click.argument("prefixes", metavar="PREFIX...", nargs=-1, required=True)
@_endpoint_options
@click.option("--type", "event", metavar="NAME", help="Show events of this name alone.")
@click.option("--count", metavar="N", type=click.IntRange(1), help="End after so many messages.")
@click.option(
    "--import", "modules", metavar="MODULE", multiple=True, help="Import event classes: fields then have names."
)
def sub(
    prefixes: Sequence[str],
    connect: Sequence[str],
    listen: Sequence[str],
    identity: Identity,
    timeout_s: float,
    event: str | None,
    count: int | None,
    modules: Sequence[str],
) -> int:
    """Show the messages whose topic begins with PREFIX ('' shows all).

    In a terminal they are a table.  Elsewhere each is a JSON object on a line, which 'broker pub' takes as it is:
    topic, time, origin, event, and "args" (a list), or "fields" (an object) for event classes that were imported.  What
    JSON has no type for is an object such as {"$bytes": "AAE="} or {"$port": "53/udp"}.  Standard error tells of peers
    that come and go and of lost messages.
    """
    from broker.cli.sub import Sub

    _need_address(connect, listen)
    import_all(modules)
    return run(Sub(prefixes, connect, listen, identity, event, count, timeout_s))


# \b keeps click from filling the lines below it.
_PUB_HELP = """Publish an event to TOPIC whose arguments are the JSON_ARGs, or one event a line of standard input.

\b
  broker pub host/web-01/disk DiskUsage '"web-01"' '"/"' 0.91 --connect tcp://127.0.0.1:4040

A line is a list (an event's arguments), an object as 'broker sub' prints it (its own topic and event come before
those on the command line), or any other value (the only argument).  TOPIC and EVENT_NAME may be left out if all
lines have their own.  See 'broker sub --help' for values outside JSON.
"""


# What begins with a minus may be a negative number, which is JSON.
@app.command(help=_PUB_HELP, context_settings={"ignore_unknown_options": True})
@click.argument("topic", required=False)
@click.argument("event", metavar="[EVENT_NAME]", required=False)
@click.argument("args", metavar="[JSON_ARG]...", nargs=-1)
@_endpoint_options
@click.option(
    "--wait",
    metavar="N",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Before the first event, wait for so many subscribers of its topic.",
)
def pub(
    topic: str | None,
    event: str | None,
    args: Sequence[str],
    connect: Sequence[str],
    listen: Sequence[str],
    identity: Identity,
    timeout_s: float,
    wait: int,
) -> int:
    """Publish an event, or one a line of standard input."""
    from broker.cli.pub import Pub

    _need_address(connect, listen)
    return run(Pub(topic, event, args, connect, listen, identity, wait, timeout_s))


@app.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--topic", "topics", metavar="PREFIX", multiple=True, help="Show messages of these topics too.")
@identity_options()
def listen(addresses: Sequence[str], topics: Sequence[str], identity: Identity) -> int:
    """Listen at each ADDRESS; show which peers come and go, and messages.

    In a terminal these are lines and a table.  Elsewhere each is a JSON object on a line: a status event has "status",
    the first of them is {"status": "Listening", "address": ...} with the port that was given for 0.
    """
    from broker.cli.listen import Listen

    return run(Listen(addresses, topics, identity))


# \b keeps click from filling the lines below it.
_MESH_HELP = """Show who is in the mesh, who is linked with whom, and who subscribes to what.

Joins the mesh for that long at each ADDRESS, as an endpoint that forwards nothing.  In a terminal the links are drawn
as a tree from the endpoints at ADDRESS, by the shortest ways, with the links beside it below each endpoint; then comes
a table of subscriptions.  Endpoints that look alike are cut to a few and a number.

Elsewhere, or with --json, each endpoint and each link is a JSON object on a line:

\b
  {"endpoint": {"name": ..., "id": ..., "forward": true, "hops": 1,
                "subscriptions": [{"prefix": "host/", "events": null}]}}
  {"link": {"one": ID, "other": ID, "rtt_s": 0.0004, "interrupted": false}}

"hops" are the links between this command and the endpoint, null where there is no way to it now; "forward" is false
for a leaf, which passes nothing on; "events" are names, null for any; "rtt_s" is the last round trip in seconds or
null.  With --watch there is one object a change, a round trip alone being none:

\b
  {"time": ..., "endpoints": [{"name": ...}, ...], "links": [{"one": ...}, ...]}
"""


@app.command(help=_MESH_HELP)
@click.option("--connect", metavar="ADDRESS", multiple=True, required=True, help="An endpoint that listens there.")
@click.option("--json", "as_json", is_flag=True, help="JSON in a terminal too.")
@click.option("--watch", is_flag=True, help="Show it again whenever it has changed, until Ctrl-C.")
@click.option("--all", "everything", is_flag=True, help="Show this command's own endpoint too, and cut nothing.")
@identity_options()
@_timeout_option
def mesh(
    connect: Sequence[str], as_json: bool, watch: bool, everything: bool, identity: Identity, timeout_s: float
) -> int:
    """Show who is in the mesh, who is linked with whom, and who subscribes to what."""
    from broker.cli.mesh import Mesh

    return run(Mesh(connect, identity, as_json, watch, everything, timeout_s))


@app.command()
@click.option("--seconds", metavar="S", type=click.FloatRange(0, min_open=True), help="Stop after so long.")
@click.option(
    "--agents", metavar="N", type=click.IntRange(3, 50), default=3, show_default=True, help="How many agents."
)
@click.option("--json", "as_json", is_flag=True, help="JSON in a terminal too.")
@click.option(
    "--logs",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the agents' spools and the file of what they logged there.",
)
@click.option("--secure", is_flag=True, help="With keys and access rules, made for it; one agent breaks the rules.")
def demo(seconds: float | None, agents: int, as_json: bool, logs: Path | None, secure: bool) -> int:
    """Watch this machine: a manager and agents, as separate processes.

    The agents publish the machine's CPU, memory, disk and process figures as typed events, and once, at the end, a
    burst of them as fast as they can.  Each keeps an entry in the store "hosts", whose master is the manager: kill one,
    and its entry expires.  Which processes start and stop they write to the log stream "processes"; its collector is
    killed once, and the summary compares what is in its file with the agents' spools.  In a terminal the manager shows
    a live table; elsewhere each message is a JSON object on a line and the last line is {"summary": ...}.  It stops
    after the seconds given or with Ctrl-C, which is no failure here: the exit code is 1 if an event, a write or a
    record was lost or an agent died, else 0.

    With --secure all of it is encrypted, each process has a key and rules say what it may do.  One agent publishes in
    the name of another; both ends tell that it was refused.
    """
    with needed_for("the demo"):
        import psutil  # noqa: F401 - the agents need it, each in its own process: missing, it is told once

    from broker.cli.demo.run import Demo

    watch = Demo(seconds, agents, as_json, logs, secure)
    return run(watch, at_first_signal=watch.stop)


@app.group()
def journal() -> None:
    """Look at a journal's file: a store's or a log stream's, also while it is in use."""


@journal.command()
@click.argument("path", metavar="PATH")
def verify(path: str) -> int:
    """Check the journal in the file PATH: every record, row and page.

    In a terminal it tells in words what was found, elsewhere as a JSON object with "position", "records", "rows",
    "pages" and "problems".  Exit codes: 0 no problem; 1 problems; 2 it cannot be read, or is no journal.
    """
    from broker.cli.journal import Verify

    return run(Verify(path))


@journal.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--stream", metavar="NAME", help="Of which log stream it is, where the file no longer tells.")
def rescue(old: str, new: str, stream: str | None) -> int:
    """Save what is intact of the damaged spool OLD of a log stream in the new file NEW.

    OLD is read page by page, without trusting what holds it together, and not touched; nobody may have it open.  Move
    NEW to OLD's place: its writer and its collectors go on where they were.  It tells how many records were saved and
    which numbers are missing: in words in a terminal, elsewhere as a JSON object.  Exit codes: 0 nothing is missing; 1
    something is; 2 nothing could be saved.
    """
    from broker.cli.journal import Rescue

    return run(Rescue(old, new, stream))


# \b keeps click from filling the lines below it.
_DUMP_HELP = """Write out what is in the journal in the file PATH, each part as a JSON object on a line.

\b
  {"journal": NAME, "kind": ..., "role": ..., "position": ..., "first": ..., ...}    first of all
  {"record": SEQUENCE, "checksum": HEX, "body": ...}
  {"row": TABLE, "key": ..., "value": ...}

What is no value stands as hexadecimal digits: "body_hex", "key_hex", "value_hex".  A journal in use is copied first.
"""


@journal.command(name="dump", help=_DUMP_HELP)
@click.argument("path", metavar="PATH")
@click.option("--log", "only_log", is_flag=True, help="The records, without the rows.")
@click.option("--rows", "only_rows", is_flag=True, help="The rows, without the records.")
def dump_journal(path: str, only_log: bool, only_rows: bool) -> int:
    """Write out what is in the journal in the file PATH."""
    from broker.cli.journal import Dump

    if only_log and only_rows:
        raise click.UsageError("--log and --rows exclude each other; without either both are written")
    return run(Dump(path, not only_rows, not only_log))
