"""The commands: where each is, and how what is wrong with a command line is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

import broker
from broker.cli.exits import INPUT_WRONG, STOPPED
from broker.cli.lazy import LazyGroup, Place

__all__ = ["app", "run_app"]

_MESSAGES: Final = "Messages"
_MESH: Final = "The mesh"
_STATE: Final = "Stores and log streams"
_RULES: Final = "Rules"
_SET_UP: Final = "Nodes, keys and files"
_SHELL: Final = "This command line"

_COMMANDS: Final[dict[str, Place]] = {
    "pub": Place("broker.cli.events.commands", "pub", _MESSAGES, "Publish events."),
    "sub": Place("broker.cli.events.commands", "sub", _MESSAGES, "Show the messages of topics."),
    "listen": Place("broker.cli.events.commands", "listen", _MESSAGES, "Listen; show which peers come and go."),
    "mesh": Place("broker.cli.mesh.commands", "mesh", _MESH, "Draw who is linked with whom, and who subscribes."),
    "peers": Place("broker.cli.mesh.commands", "peers", _MESH, "Show the links of one endpoint."),
    "top": Place("broker.cli.top.commands", "top", _MESH, "Watch rates, lags, losses and slow peers, live."),
    "doctor": Place("broker.cli.doctor.commands", "doctor", _MESH, "Find out why a peering does not come up."),
    "bench": Place("broker.cli.bench.commands", "bench", _MESH, "Measure rate and round trip, here or to an endpoint."),
    "store": Place("broker.cli.store.commands", "store", _STATE, "Look into stores, change them, watch them change."),
    "log": Place("broker.cli.log.commands", "log", _STATE, "Show, collect and write the records of log streams."),
    "rules": Place("broker.cli.rules.commands", "rules", _RULES, "Check rules, format them, run them on events."),
    "node": Place("broker.cli.node.commands", "node", _SET_UP, "Run an endpoint that a file says all of."),
    "config": Place("broker.cli.node.commands", "config", _SET_UP, "Check such a file, and show what holds by it."),
    "keys": Place("broker.cli.keys.commands", "keys", _SET_UP, "Make keys, and say whose are trusted with what."),
    "journal": Place(
        "broker.cli.journal.commands", "journal", _SET_UP, "Check a store's or a stream's file, and save it."
    ),
    "demo": Place("broker.cli.demo.commands", "demo", _SHELL, "Watch this machine: a manager and three agents."),
    "completion": Place("broker.cli.shell", "completion", _SHELL, "Print what makes a shell complete all this."),
    "help": Place("broker.cli.manual", "help_", _SHELL, "Tell of a command, of exit codes, of values as JSON."),
}


def run_app(arguments: Sequence[str]) -> int:
    """Run the command line with those arguments; returns the exit code."""
    try:
        code = app.main(list(arguments), prog_name="broker", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return INPUT_WRONG
    except click.ClickException as error:
        from broker.cli.standard import note

        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "broker"
        note(f"{where}: {' '.join(error.format_message().split())} (see {where} --help)")
        return INPUT_WRONG
    except (click.Abort, KeyboardInterrupt):
        return STOPPED
    except BrokenPipeError:  # the help, with nobody to read it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(code or 0)


@click.group(cls=LazyGroup, places=_COMMANDS, context_settings={"max_content_width": 100})
@click.version_option(broker.__version__, prog_name="broker")
def app() -> None:
    """Typed events and shared stores between programs, with no server: use them and look around from the shell.

    Two endpoints exchange events when one listens and the other connects: it does not matter which of them publishes.
    An ADDRESS is tcp://HOST:PORT (port 0: any free one), ipc://PATH or inproc://NAME.

    In a terminal commands show tables; in a pipe, or with --json, a JSON object on each line.  Exit codes: 0 all is
    well; 1 the mesh or the machine said no; 2 the command line or its input is wrong; 130 stopped with Ctrl-C ('broker
    help exit-codes').
    """
