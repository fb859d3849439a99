"""Groups whose commands are imported when they are asked for, and which know what was meant by one that is not there.

A group's help needs the names of its commands and a line on each, which stand in a table: trio, ZeroMQ and rich are not
loaded for it, nor for completion.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import attrs
import click

__all__ = ["LazyGroup", "Place"]


@attrs.frozen
class Place:
    """Where a command is: a module and its attribute, under which heading of the help, and what it does in a line."""

    module: str
    attribute: str
    section: str
    help: str


class LazyGroup(click.Group):
    """The commands of a table of :class:`Place`, or of a module's ``COMMANDS``."""

    def __init__(
        self, *arguments: Any, places: Mapping[str, Place] | None = None, module: str = "", **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._places = places or {}
        self._module = module

    def _commands(self) -> dict[str, click.Command]:
        return _imported(self._module, "COMMANDS") if self._module else {}

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return [*self._places, *self._commands()]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        place = self._places.get(cmd_name)
        command = self._commands().get(cmd_name) if place is None else _imported(place.module, place.attribute)
        if command is not None:
            command.params.sort(key=_rank)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table of the commands below each heading."""
        if not self._places:
            super().format_commands(ctx, formatter)
            return
        cells = max(map(len, self._places))
        for section in dict.fromkeys(place.section for place in self._places.values()):
            rows = [(name.ljust(cells), place.help) for name, place in self._places.items() if place.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; raises UsageError, which names what may have been meant."""
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-"):
            # "broker stores", "broker store ls": a letter too many, or one of another program's names.
            meant = _OTHER_NAMES.get(name)
            close = [meant] if meant in names else get_close_matches(name, names, n=2, cutoff=0.55)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(names)}"
            raise click.UsageError(f"No such command {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """The commands and options that begin so; those of a table without importing them."""
        if not self._places or incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        found = [(name, place.help) for name, place in self._places.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=text) for name, text in found]


_OTHER_NAMES = {
    "delete": "erase",
    "del": "erase",
    "rm": "erase",
    "set": "put",
    "ls": "list",
    "publish": "pub",
    "subscribe": "sub",
    "restore": "load",
    "import": "load",
    "export": "dump",
    "ping": "doctor",
    "status": "top",
    "generate": "new",
    "add": "trust",
    "remove": "revoke",
    "nodes": "mesh",
    "benchmark": "bench",
}


# What most commands have, behind what is a command's own; by far the longest part of each help.
_SHARED = (
    "--connect",
    "--listen",
    "--endpoint",
    "--keys",
    "--access",
    "--peer-key",
    "--insecure",
    "--timeout",
    "--json",
)


def _rank(param: click.Parameter) -> int:
    """Where a command's help has an option: those of its own first."""
    return _SHARED.index(param.opts[0]) + 1 if param.opts[0] in _SHARED else 0


def _imported(module: str, attribute: str) -> Any:
    return getattr(importlib.import_module(module), attribute)
