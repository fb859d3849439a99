"""What ``broker config`` finds: problems of a configuration and of what it needs, and what holds by it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

import broker
from broker import keyring
from broker.cli.exits import INPUT_WRONG
from broker.cli.jsonform import dumps
from broker.cli.standard import Output, printable
from broker.config.model import Collect, Config
from broker.config.shown import shown
from broker.errors import ConfigProblem
from broker.sinks.formats import check_arguments, encoder_maker
from broker.trust.keys import is_key_text

__all__ = ["Check", "Show", "preflight"]


@attrs.frozen
class Check:
    """One run of ``broker config check``."""

    file: str
    load: Callable[[], Config]

    async def __call__(self, output: Output) -> int:
        """Say all that is wrong."""
        try:
            config = self.load()
            problems = [*preflight(config), *_of_surroundings(config)]
        except broker.ConfigError as error:
            problems = list(error.problems)
        for problem in problems:
            form = {"source": problem.source, "line": problem.line or None, "key": problem.key, "problem": problem.what}
            await output.write(printable(str(problem)) + "\n" if output.is_terminal else dumps(form) + "\n")
        if output.is_terminal and not problems:
            await output.write(printable(f"{self.file}: no problem") + "\n")
        return INPUT_WRONG if problems else 0


def preflight(config: Config) -> Iterator[ConfigProblem]:
    """Give what makes no sense here however often it is tried: values that a sink refuses, packages that it lacks."""
    for index, collect in enumerate(config.collect):
        try:
            _check_sink(collect)
        except (ValueError, ImportError) as error:
            yield _problem(config, f"collect[{index}]", str(error))
    if config.metrics.listen is not None:
        try:
            import broker.metrics  # noqa: F401 - it tells what it lacks
        except ImportError as error:
            yield _problem(config, "metrics.listen", str(error))


def _check_sink(collect: Collect) -> None:
    check_arguments(
        collect.stream, collect.format, collect.rotate_bytes, collect.rotate_s, collect.compress, collect.keep
    )
    encoder_maker(collect.format, collect.stream, collect.time_column, collect.timestamps)


def _problem(config: Config, key: str, what: str) -> ConfigProblem:
    source = config.sources.get(key) or next(
        source for said, source in config.sources.items() if said.startswith(f"{key}.")
    )
    return ConfigProblem(source.name, source.line, key, what)


def _of_surroundings(config: Config) -> Iterator[ConfigProblem]:
    """Give what a configuration needs and is not there, or cannot be used."""
    yield from _of_keys(config)
    for name, store in config.stores.items():
        folder = None if store.path is None else Path(store.path).absolute().parent
        if folder is not None and not _writable(folder):
            yield _problem(config, f"stores.{name}.path", f"there is no folder {folder} that we may write in")
    for index, collect in enumerate(config.collect):
        there = Path(collect.directory).absolute()
        while not there.exists():
            there = there.parent
        if not _writable(there):
            yield _problem(config, f"collect[{index}].directory", f"we may not write in {there}")


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _of_keys(config: Config) -> Iterator[ConfigProblem]:
    security = config.security
    if security.keys is None:
        return
    try:
        key_path = keyring.key_path(security.keys)
        keyring.read_key(key_path)
    except broker.BrokerError as error:
        yield _problem(config, "security.keys", str(error))
        return
    try:
        access = keyring.read_access(security.access or keyring.access_beside(key_path))
    except broker.BrokerError as error:
        yield _problem(config, "security.access" if security.access else "security.keys", str(error))
        return
    for index, peer in enumerate(config.peer):
        if peer.key is not None and not is_key_text(peer.key) and peer.key not in access.trusted:
            yield _problem(config, f"peer[{index}].key", f"nobody called {peer.key!r} is in the access rules")
        elif peer.key is None and not any(peer.address in entry.addresses for entry in access.trusted.values()):
            what = f"the access rules do not say whose key is at {peer.address}: write key, too, or its address there"
            yield _problem(config, f"peer[{index}]", what)


@attrs.frozen
class Show:
    """One run of ``broker config show``."""

    load: Callable[[], Config]

    async def __call__(self, output: Output) -> int:
        """Show every key that there is."""
        found = list(shown(self.load()))
        if not output.is_terminal:
            forms = (
                {"key": each.key, "value": _plain(each.value), "source": each.source and str(each.source)}
                for each in found
            )
            await output.write("".join(dumps(form) + "\n" for form in forms))
            return 0
        widths = [max(len(each.key) for each in found), max(len(_text(each.value)) for each in found)]
        for each in found:
            line = f"{each.key:<{widths[0]}}  {_text(each.value):<{widths[1]}}  {each.source or 'default'}"
            await output.write(printable(line) + "\n")
        return 0


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _text(value: Any) -> str:
    return "-" if value is None else dumps(_plain(value))
