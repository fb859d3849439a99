"""``broker completion``: what a shell has to read to complete commands, options, and names that are on this machine."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

# Where each shell looks by itself, and how it is loaded without waiting for the next one.
_INSTALL: Final = {
    "bash": "broker completion bash > ~/.local/share/bash-completion/completions/broker",
    "zsh": "broker completion zsh > ~/.zfunc/_broker    # with fpath+=~/.zfunc before compinit in ~/.zshrc",
    "fish": "broker completion fish > ~/.config/fish/completions/broker.fish",
}

# \b keeps click from filling the lines below it.
_HELP: Final = "Print what makes SHELL complete commands, options, key names, groups and known addresses.\n\n\b\n" + (
    "\n".join(f"  {line}" for line in _INSTALL.values())
    + '\n\nOr for this session alone: eval "$(broker completion bash)".  bash has to be 4.4 or newer.'
)


@click.command("completion", help=_HELP)
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script."""
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(ctx.find_root().command, {}, "broker", "_BROKER_COMPLETE")
    # Not source(), which starts the shell to ask for its version: it may be another machine's that reads this.
    first, _, rest = (made.source_template % made.source_vars()).lstrip().partition("\n")
    said = f"# To install: {_INSTALL[shell]}"
    # zsh knows a completion by its first line.
    click.echo(f"{first}\n{said}\n{rest}" if first.startswith("#compdef") else f"{said}\n{first}\n{rest}")
    return 0
