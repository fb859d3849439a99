"""``broker help``: a command's help, and what all commands have in common."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

import click

from broker.cli.exits import EXIT_CODES

__all__ = ["help_"]


def _exit_codes() -> str:
    lines = ["Exit codes, of all commands:", ""]
    for code, meaning in EXIT_CODES.items():
        lines.append(click.wrap_text(meaning, 96, f"  {code!s:<9}", " " * 11))
    lines.append("\n  Whoever reads the output may go away (| head): that ends a command, which gives 0.")
    return "\n".join(lines) + "\n"


def _values() -> str:
    from broker.cli import jsonform

    return (
        f"{jsonform.__doc__}\nThat is how commands print values, and how they read them, as arguments and as lines.\n"
    )


def _environment() -> str:
    return """What commands read of the environment:

  BROKER_KEYS       the folder of keys and access rules; else $XDG_CONFIG_HOME/broker, else ~/.config/broker
  BROKER_ACCESS     the file of access rules, if it is not access.toml there
  BROKER_LISTEN, BROKER_PEER, BROKER_ENDPOINT__NAME, ...
                    come before the file of 'broker node' (see 'broker config --help')
  NO_COLOR          tables without colours
  COLUMNS           how wide tables are, where the terminal does not tell
"""


_TOPICS: Final = {
    "exit-codes": (_exit_codes, "What the exit codes of all commands mean."),
    "values": (_values, "How values are written as JSON: addresses, ports, times, bytes, sets..."),
    "environment": (_environment, "Which variables of the environment count."),
}


def _words(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    return [name for name in (*group.list_commands(ctx), *_TOPICS) if name.startswith(incomplete)]


# \b keeps click from filling the lines below it.
_HELP: Final = "Tell of a COMMAND, or of a topic that concerns all of them.\n\n\b\n" + "\n".join(
    f"  broker help {name:<13} {text}" for name, (_, text) in _TOPICS.items()
)


@click.command("help", help=_HELP)
@click.argument("words", metavar="[COMMAND|TOPIC]...", nargs=-1, shell_complete=_words)
@click.pass_context
def help_(ctx: click.Context, words: Sequence[str]) -> int:
    """Tell of a command or a topic."""
    if len(words) == 1 and words[0] in _TOPICS:
        click.echo(_TOPICS[words[0]][0](), nl=False)
        return 0
    if len(words) == 1 and (close := get_close_matches(words[0], _TOPICS, n=1, cutoff=0.7)):
        raise click.UsageError(f"no topic {words[0]!r}: did you mean {close[0]!r}?")
    root = ctx.find_root()
    ctx = click.Context(root.command, info_name=root.info_name)
    for word in words:
        group = ctx.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{ctx.command_path} has no command {word!r}, nor any other")
        name, command, _ = group.resolve_command(ctx, [word])
        assert command is not None
        ctx = click.Context(command, info_name=name, parent=ctx)
    click.echo(ctx.get_help())
    return 0
