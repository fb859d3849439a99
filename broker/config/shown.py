"""What holds by a configuration, key by key, and where each was said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from broker.config.model import LISTS, TABLES, Config, Source, fields_of
from broker.toml.reading import Path, dotted

__all__ = ["Shown", "shown"]


class Shown(Struct, frozen=True):
    """A key, what holds for it, and where that was said; None: nowhere, it is the default."""

    key: str
    value: Any
    source: Source | None


def shown(config: Config) -> Iterator[Shown]:
    """Give every key that a configuration has."""
    for name in ("listen", "peer"):
        yield from _list(config, name)
    for name in TABLES:
        yield from _table(config, (name,), getattr(config, name))
    for name, store in config.stores.items():
        yield from _table(config, ("stores", name), store)
    yield from _list(config, "collect")


def _list(config: Config, name: str) -> Iterator[Shown]:
    assert name in LISTS
    for index, item in enumerate(getattr(config, name)):
        yield from _table(config, (name, index), item)


def _table(config: Config, path: Path, table: Struct) -> Iterator[Shown]:
    for name in fields_of(type(table)):
        here = (*path, name)
        # An address alone, not in a table, is said where the item is.
        source = config.sources.get(dotted(here)) or (config.sources.get(dotted(path)) if name == "address" else None)
        yield Shown(dotted(here), getattr(table, name), source)
