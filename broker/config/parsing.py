"""A configuration made of a text, with all that is wrong in it at once.

What the environment and flags say stands in the tables already when values are read (:mod:`broker.config.overrides`),
so that it is judged as what the file says; problems are then told of the variable or the flag.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from broker.config.checking import contradictions
from broker.config.kinds import NAME, Kind
from broker.config.model import LISTS, TABLES, TOP, Config, Source, StoreSettings, fields_of
from broker.config.overrides import Override, from_environment
from broker.errors import ConfigError, ConfigProblem
from broker.toml.layout import statements
from broker.toml.reading import Path, Wrong, as_table, dotted, expected, key_text, line_of, meant, not_toml, unknown

__all__ = ["TEXT_MAX", "parse_config"]

TEXT_MAX: Final = 1 << 20
"""Characters of a configuration: a thousand times what one has."""
T = TypeVar("T", bound=Struct)
V = TypeVar("V")


def parse_config(
    text: str,
    file: str = "",
    *,
    directory: str = "",
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[Override] = (),
) -> Config:
    """Read a configuration; raises :class:`~broker.errors.ConfigError` with everything that is wrong.

    ``file`` is what problems call it; relative paths in it are relative to ``directory``.  Variables in ``environ``
    come before what it says, and ``overrides`` before both.
    """
    if len(text) > TEXT_MAX:
        what = f"a configuration has at most {TEXT_MAX:,} characters, this one has {len(text):,}"
        raise ConfigError([ConfigProblem(file, 0, "", what)])
    try:
        top = tomllib.loads(text)
    except RecursionError:
        raise ConfigError([ConfigProblem(file, 0, "", "no configuration: nested too deep")]) from None
    except ValueError as error:
        raise ConfigError([ConfigProblem(file, 0, "", not_toml(error))]) from None
    reading = _Reading(text, file, directory)
    found, odd = from_environment(environ or {}, top)
    reading.problems += odd
    top = copy.deepcopy(top)
    for override in (*found, *overrides):
        override.put(top)
        reading.said[override.path] = override.source
    config = reading.config(top)
    if not reading.problems:
        for path, what in contradictions(config):
            reading.wrong(path, what)
    if reading.problems:
        # As one reads the file; what is not of it first.
        raise ConfigError(sorted(reading.problems, key=lambda problem: (problem.source == file, problem.line)))
    return config


class _Reading:
    """One reading of a text: what is wrong so far, and where each key was said."""

    def __init__(self, text: str, file: str, directory: str) -> None:
        self._statements = list(statements(text.split("\n")))
        self._file = file
        self._directory = directory
        self.problems: list[ConfigProblem] = []
        self.said: dict[Path, str] = {}  # by variables and flags
        self._sources: dict[str, Source] = {}

    def wrong(self, path: Path, what: str) -> None:
        """Take note of something that is wrong."""
        source = self._source(path)
        self.problems.append(ConfigProblem(source.name, source.line, dotted(path), what))

    def _source(self, path: Path) -> Source:
        for end in range(len(path), 0, -1):
            if path[:end] in self.said:
                return Source(self.said[path[:end]])
        return Source(self._file, line_of(self._statements, path))

    def config(self, top: dict[str, Any]) -> Config:
        """Read all of it, as far as it can be."""
        for name in top:
            if name not in TOP:
                self.wrong((name,), _unknown(name, TOP))
        tables: dict[str, Any] = {
            name: self._table(kind, (name,), top[name]) for name, kind in TABLES.items() if name in top
        }
        lists: dict[str, Any] = {
            name: self._list(kind, (name,), top[name]) for name, kind in LISTS.items() if name in top
        }
        values = {name: table for name, table in tables.items() if table is not None}
        return Config(**values, **lists, stores=self._stores(top.get("stores", {})), sources=self._sources)

    def _stores(self, value: Any) -> dict[str, StoreSettings]:
        found = {}
        for name, table in (self._as_table(("stores",), value) or {}).items():
            path = ("stores", name)
            self._read(NAME, path, name)
            if type(table) is not dict:
                self.wrong(path, f'expected a table: [stores.{key_text(name)}], and below it role = "master"')
                continue
            store = self._table(StoreSettings, path, table)
            if store is not None:
                found[name] = store
        return found

    def _list(self, kind: type[T], path: Path, value: Any) -> tuple[T, ...]:
        """Read a list of tables, some of which may be addresses alone."""
        plain = "address" in fields_of(kind)
        if type(value) is not list:
            how = 'a list of addresses, such as ["tcp://10.0.0.1:9999"]' if plain else f"tables, [[{path[-1]}]]"
            self._guarded(lambda: expected(how, path, value))
            return ()
        found = []
        for index, item in enumerate(value):
            here = (*path, index)
            read: T | None
            if plain and type(item) is str:
                address = self._read(fields_of(kind)["address"].kind, here, item)
                read = None if address is None else kind(address)
            else:
                read = self._table(kind, here, item)
            if read is not None:
                found.append(read)
        return tuple(found)

    def _table(self, kind: type[T], path: Path, value: Any) -> T | None:
        """Read a table; None when something in it is wrong that cannot be done without."""
        table = self._as_table(path, value)
        if table is None:
            return None
        fields = fields_of(kind)
        for name in table:
            if name not in fields:
                self.wrong((*path, name), _unknown(name, list(fields)))
        read = {name: self._read(fields[name].kind, (*path, name), table[name]) for name in table if name in fields}
        values = {name: value for name, value in read.items() if value is not None}
        missing = [name for name, field in fields.items() if field.required and name not in values]
        for name in missing:
            if name not in read:
                self.wrong(path, f"it has no {name}")
        return None if missing else kind(**values)

    def _read(self, kind: Kind, path: Path, value: Any) -> Any:
        """Read a value; None when it is wrong."""
        read: Any = self._guarded(lambda: kind.read(path, value))
        source = self._source(path)
        if kind.is_path and isinstance(read, str) and source.name == self._file:
            read = self._guarded(lambda: self._absolute(path, read))
        self._sources[dotted(path)] = source
        return read

    def _absolute(self, path: Path, name: str) -> str:
        """Return the path of a file that is not relative to the working directory."""
        if name.startswith("~"):
            raise Wrong(path, "~ is not expanded: write the whole path, or one that is relative to this file")
        is_name = "/" not in name and path[-1] == "keys" and not name.endswith(".key")
        return name if is_name else os.path.join(self._directory, name)  # noqa: PTH118 - a text, as it was

    def _as_table(self, path: Path, value: Any) -> dict[str, Any] | None:
        return self._guarded(lambda: as_table(path, value))

    def _guarded(self, read: Callable[[], V]) -> V | None:
        try:
            return read()
        except Wrong as wrong:
            self.wrong(wrong.path, wrong.what)
            return None


def _unknown(name: str, known: Sequence[str]) -> str:
    """Say what may have been meant by a key that is not known where it stands."""
    if name in TOP:
        return f"{name} stands for itself: write it before all tables, or as a table of its own"
    homes = {key: table for table, kind in TABLES.items() for key in fields_of(kind)}
    if name in homes:
        return f"it belongs into [{homes[name]}]"
    if known is TOP and not meant(name, known):
        for other, table in homes.items():
            if meant(name, [other]):
                return f"nothing of that name is known: did you mean {other!r} in [{table}]?"
    return unknown(name, known)
