"""Options and kinds of arguments that several commands have: each is called and told the same everywhere.

Nothing here, nor in the ``commands`` modules, imports what takes long: help and completion stand on them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from broker.cli.completing import addresses
from broker.cli.identity import identity_options

__all__ = [
    "NEGATIVE",
    "Parsed",
    "addresses_of",
    "always_json",
    "connect_option",
    "count_option",
    "import_all",
    "import_option",
    "json_option",
    "link_options",
    "listen_option",
    "look_options",
    "reach_options",
    "timeout_option",
]

NEGATIVE = {"ignore_unknown_options": True}
"""The settings of a command with arguments of JSON: what begins with a minus may be a negative number."""


class Parsed(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """What a function makes of a text; its ValueError says what is wrong."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def import_all(modules: Sequence[str]) -> None:
    """Import modules by name, from the working directory too."""
    sys.path.insert(0, "")
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise click.UsageError(f"--import {module}: {type(error).__name__}: {error}") from error


json_option = click.option("--json", "as_json", is_flag=True, help="JSON in a terminal too.")
# Of commands whose output is JSON anyway: a script may say it to all.
always_json = click.option("--json", is_flag=True, expose_value=False, help="It is JSON anyway.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="How long peers may take.",
)
listen_option = click.option("--listen", metavar="ADDRESS", multiple=True, help="Let others peer with us there.")


def connect_option(*, required: bool = False) -> Callable[..., Any]:
    """``--connect ADDRESS``, as often as one likes."""
    return click.option(
        "--connect",
        metavar="ADDRESS",
        multiple=True,
        required=required,
        shell_complete=addresses,
        help="Peer with the endpoint that listens there.",
    )


def count_option(what: str) -> Callable[..., Any]:
    """``-n N``, ``--count N``: end after so many."""
    return click.option("-n", "--count", metavar="N", type=click.IntRange(1), help=f"End after so many {what}.")


def import_option(what: str) -> Callable[..., Any]:
    """``--import MODULE``: classes, so that what comes has fields with names."""
    return click.option(
        "--import", "modules", metavar="MODULE", multiple=True, help=f"Import {what} classes: fields then have names."
    )


def link_options(*, required: bool = False, name_taken: bool = False) -> Callable[..., Any]:
    """The options of commands that exchange something with others: they peer, and let others peer."""
    return _together(
        connect_option(required=required), listen_option, identity_options(name_taken=name_taken), timeout_option
    )


def look_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that look at what an endpoint tells: they peer, and are a leaf."""
    return _together(connect_option(), identity_options(), timeout_option)(command)


def reach_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that ask something of a mesh: they need somebody to peer with, and are a leaf."""
    return _together(connect_option(required=True), identity_options(), timeout_option)(command)


def addresses_of(arguments: Sequence[str], connect: Sequence[str]) -> tuple[str, ...]:
    """The addresses that a command looks at, as arguments or by ``--connect``; raises UsageError without any."""
    if not arguments and not connect:
        raise click.UsageError("look at which mesh? say the ADDRESS of an endpoint that listens, or --connect ADDRESS")
    return tuple(dict.fromkeys((*arguments, *connect)))


def _together(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
