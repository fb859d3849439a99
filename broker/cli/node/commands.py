"""``broker node`` and ``broker config``: the commands, their arguments and their help."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from broker.cli.completing import addresses, key_names
from broker.cli.lazy import LazyGroup
from broker.cli.options import json_option

if TYPE_CHECKING:
    from broker.config.model import Config

__all__ = ["config", "node"]


def _overriding(command: Callable[..., Any]) -> Callable[..., Any]:
    """The file, and the options that come before what it says."""
    options = (
        click.argument("file", metavar="FILE", type=click.Path(dir_okay=False)),
        click.option("--endpoint", "--name", "name", metavar="NAME", help="Our name in the mesh."),
        click.option("--listen", metavar="ADDRESS", multiple=True, help="Listen there, not where the file says."),
        click.option(
            "--connect",
            "--peer",
            "peer",
            metavar="ADDRESS",
            multiple=True,
            shell_complete=addresses,
            help="Dial that, not what the file says.",
        ),
        click.option(
            "--keys", metavar="NAME|PATH", shell_complete=key_names, help="Our key, and encryption (see 'broker keys')."
        ),
        click.option("--access", metavar="FILE", type=click.Path(dir_okay=False), help="Whom we trust."),
        click.option("--insecure", is_flag=True, default=None, help="Do without keys on a network."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _loader(file: str, given: dict[str, Any]) -> Callable[[], Config]:
    from broker.config.overrides import from_arguments
    from broker.config_file import load_config

    said = {name: (list(value) or None) if isinstance(value, tuple) else value for name, value in given.items()}
    return lambda: load_config(file, overrides=from_arguments("--{}", said))


_NODE_HELP = """Run an endpoint that FILE says all of: a relay, the master of stores, a collector, or all of these.

\b
  broker node broker.toml
  broker node broker.toml --listen tcp://127.0.0.1:0 --json

It says on standard output what is open, each on a line, and at last that it is ready; with --json as objects:

\b
  {"status": "Listening", "address": ...}
  {"status": "StoreOpened", "store": ..., "role": ..., "path": ..., "entries": ...}
  {"status": "Collecting", "stream": ..., "name": ..., "file": ...}
  {"status": "Ready", "name": ..., "process": ...}    and Reloaded, Stopping

The log goes to standard error.  A part that fails is told there and tried again, while the others go on.  SIGTERM and
Ctrl-C end it with goodbyes, which gives 0.  SIGHUP has it read FILE again: peers, further addresses to listen on and
logging are taken up, and it says what needs a restart.  Access rules and keys are taken up by themselves.  systemd's
Type=notify is understood.

Options come before variables of the environment (BROKER_ENDPOINT__NAME, BROKER_LISTEN; 'broker config --help'), and
these before FILE.
"""


@click.command(help=_NODE_HELP, short_help="Run an endpoint that a file says all of.")
@_overriding
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def node(file: str, as_json: bool, **given: Any) -> int:
    """Run an endpoint that a file says all of."""
    from broker.cli.node.inspecting import preflight
    from broker.cli.node.program import run_node

    return run_node(_loader(file, given), preflight, as_json=as_json)


_CONFIG_HELP = """Look at the configuration of an endpoint, which 'broker node' and Endpoint.from_config() read.

Variables of the environment come before what FILE says, and options before both.  A variable is called as the path of
its key, with two underscores between parts:

\b
  BROKER_ENDPOINT__NAME=web-01          name in [endpoint]
  BROKER_LISTEN=tcp://*:9999            listen; several addresses with commas; so is BROKER_PEER
  BROKER_STORES__HOSTS__PATH=h.db       path in [stores.hosts], which FILE has to have
  BROKER_COLLECT__0__DIRECTORY=logs     directory in the first [[collect]]
"""


@click.command()
@_overriding
@json_option
def check(file: str, as_json: bool, **given: Any) -> int:
    """Say everything that is wrong in FILE, and in what it needs: keys, access rules, folders, packages.

    Each problem is a line; with --json, or in a pipe, an object {"source", "line", "key", "problem"}.  Exit codes: 0 it
    is fine; 2 something is wrong.
    """
    from broker.cli.node.inspecting import Check
    from broker.cli.running import run

    return run(Check(file, _loader(file, given)), as_json=as_json)


@click.command()
@_overriding
@json_option
def show(file: str, as_json: bool, **given: Any) -> int:
    """Show what holds, and where it was said: the file and its line, a variable, an option, or nowhere (a default).

    With --json, or in a pipe, each key is an object {"key", "value", "source"}; the source of a default is null.
    """
    from broker.cli.node.inspecting import Show
    from broker.cli.running import run

    return run(Show(_loader(file, given)), as_json=as_json)


COMMANDS: Final[dict[str, click.Command]] = {"check": check, "show": show}


@click.group(cls=LazyGroup, module=__name__, help=_CONFIG_HELP)
def config() -> None:
    """Look at the configuration of an endpoint."""
