"""What the environment and flags say in place of a file.

A variable is called as the path of its key, in capitals, with ``BROKER_`` in front and two underscores between parts:

======================================  ==============================================================
``BROKER_ENDPOINT__NAME=web-01``        ``name`` in ``[endpoint]``
``BROKER_LISTEN=tcp://*:9999``          ``listen``; several addresses with commas
``BROKER_STORES__HOSTS__PATH=h.db``     ``path`` of the store ``hosts``, which the file has to have
``BROKER_COLLECT__0__DIRECTORY=logs``   ``directory`` of the first ``[[collect]]`` of the file
======================================  ==============================================================

What in a store's name is no letter and no digit is an underscore there.  A variable without two underscores is none of
these (``BROKER_KEYS`` is where key files are), but for ``BROKER_LISTEN`` and ``BROKER_PEER``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from msgspec import Struct

from broker.config.model import LISTS, TABLES, StoreSettings, fields_of
from broker.errors import ConfigProblem
from broker.toml.reading import Path

__all__ = ["Override", "from_arguments", "from_environment"]

_PREFIX: Final = "BROKER_"
_HOW: Final = "'broker config --help' says how they are called"
_ADDRESSES: Final = ("listen", "peer")


class Override(Struct, frozen=True):
    """Something that is said in place of what the file says of the key at ``path``; ``source`` is what says it."""

    path: Path
    value: Any
    source: str

    def put(self, top: dict[str, Any]) -> None:
        """Write it into the tables of a file, unless something is there that is no table, which is told anyway."""
        *tables, name = self.path
        where: Any = top
        for part in tables:
            if type(where) is dict:
                where = where.setdefault(part, {})
            elif type(where) is list and type(part) is int and part < len(where):
                if type(where[part]) is str:  # an address alone
                    where[part] = {"address": where[part]}
                where = where[part]
        if type(where) is dict:
            where[name] = self.value


def from_environment(environ: Mapping[str, str], top: Mapping[str, Any]) -> tuple[list[Override], list[ConfigProblem]]:
    """Return what variables say, and what is wrong with those that say nothing; ``top`` is the file's tables."""
    found: list[Override] = []
    problems: list[ConfigProblem] = []
    known = dict(_known(top))
    for variable in sorted(environ):
        rest = variable.removeprefix(_PREFIX)
        if rest == variable or ("__" not in rest and rest.lower() not in _ADDRESSES):
            continue
        if rest not in known:
            close = get_close_matches(rest[:100], known, 1)
            hint = (
                f": did you mean {_PREFIX}{close[0]}?" if close else "; 'broker config --help' says how they are called"
            )
            what = f"there is no such key{hint}"
            problems.append(ConfigProblem(variable, 0, "", what))
            continue
        path, from_text = known[rest]
        found.append(Override(path, from_text(environ[variable]), variable))
    return found, problems


_ARGUMENTS: Final[Mapping[str, Path]] = {
    "name": ("endpoint", "name"),
    "forward": ("endpoint", "forward"),
    "listen": ("listen",),
    "peer": ("peer",),
    "keys": ("security", "keys"),
    "access": ("security", "access"),
    "insecure": ("security", "insecure"),
}


def from_arguments(form: str, given: Mapping[str, Any]) -> list[Override]:
    """Return what flags or arguments say, those that are None left out; ``form`` makes a source of a name: "--{}"."""
    return [Override(_ARGUMENTS[name], value, form.format(name)) for name, value in given.items() if value is not None]


def addresses_of(text: str) -> list[str]:
    """Return the addresses in a variable."""
    return [address.strip() for address in text.split(",") if address.strip()]


def _known(top: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Path, Any]]]:
    """Give the variables there can be for a file, without their prefix, each with its key and how it is read."""
    for name in _ADDRESSES:
        yield name.upper(), ((name,), addresses_of)
    for table, kind in TABLES.items():
        yield from _variables((table,), kind)
    stores = top.get("stores")
    for name in stores if type(stores) is dict else ():
        yield from _variables(("stores", name), StoreSettings)
    for name, kind in LISTS.items():
        items = top.get(name)
        for index in range(len(items) if type(items) is list else 0):
            yield from _variables((name, index), kind)


def _variables(path: Path, table: type[Struct]) -> Iterator[tuple[str, tuple[Path, Any]]]:
    for name, field in fields_of(table).items():
        parts = [re.sub(r"[^A-Z0-9]", "_", str(part).upper()) for part in (*path, name)]
        yield "__".join(parts), ((*path, name), field.kind.from_text)
