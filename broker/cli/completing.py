"""What the shell completes: names of keys, of those who are trusted and of groups, and their addresses.

All of it is in the folder of keys: no TAB asks the network, nor tells why a file cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

__all__ = ["addresses", "groups", "holders", "key_names", "levels"]


def key_names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The keys in the folder of keys."""
    from broker.keyring import directory

    try:
        return _beginning(incomplete, (path.stem for path in directory().glob("*.key")))
    except OSError:
        return []


def holders(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Who is in the access rules."""
    return _beginning(incomplete, _table(ctx, "keys"))


def groups(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The groups in the access rules."""
    return _beginning(incomplete, _table(ctx, "groups"))


def addresses(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The addresses in the access rules, and what an address begins with."""
    known = [address for entry in _table(ctx, "keys").values() for address in entry.get("addresses", ())]
    return _beginning(incomplete, known) or _beginning(incomplete, ("tcp://", "ipc://"))


def levels(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """What a write of a store may wait for."""
    return _beginning(incomplete, ("applied", "durable", "replicated:1"))


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.startswith(incomplete)})


def _table(ctx: click.Context, name: str) -> dict[str, dict[str, list[str]]]:
    """A table of the file of access rules, as it stands: what is wrong in it is told when it is used."""
    import tomllib

    from broker.keyring import ACCESS_NAME, directory

    given = ctx.params.get("access")
    try:
        form = tomllib.loads((Path(given) if given else directory() / ACCESS_NAME).read_text())
    except (OSError, ValueError):
        return {}
    table = form.get(name, {})
    return {key: entry for key, entry in table.items() if isinstance(entry, dict)} if isinstance(table, dict) else {}
