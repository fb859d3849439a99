"""A node's life: it opens what its configuration says, and ends, or reads it again, when a signal says so."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import trio

import broker
from broker.cli.node.parts import listener, parts_of
from broker.cli.node.telling import Announcements, notify, set_up_logging
from broker.cli.running import run_plain
from broker.config.model import Config
from broker.handles.wiring import Wiring

__all__ = ["run_node"]

_log = logging.getLogger("broker.node")


class Node:
    """One run of ``broker node``; ``load`` reads its configuration, now and at each SIGHUP."""

    def __init__(self, load: Callable[[], Config], *, as_json: bool) -> None:
        self._load = load
        self._config = load()
        self._out = Announcements(as_json=as_json)
        # Here, so that keys that cannot be read end the command before anything is open.
        set_up_logging(self._config.logging)
        self._endpoint = broker.Endpoint(**self._config.endpoint_options())
        self._listened = {listened.address for listened in self._config.listen}  # that were asked for ever

    async def run(self) -> int:
        """Run until SIGINT or SIGTERM; returns the exit code."""
        with trio.open_signal_receiver(*_signals()) as signals:
            async with self._endpoint, trio.open_nursery() as nursery:
                self._wiring = Wiring(self._endpoint, self._config)
                for peer in self._config.peer:
                    self._wiring.dial(peer, self._config, nursery)
                parts = parts_of(self._config, self._endpoint, self._out)
                for part in parts:
                    nursery.start_soon(part.run)
                nursery.start_soon(self._tell_ready, [part.opened for part in parts])
                await self._obey(signals, nursery)
                notify("STOPPING=1")
                self._out.say("stopping", "Stopping")
                nursery.cancel_scope.cancel()
        return 0

    async def _tell_ready(self, opened: list[trio.Event]) -> None:
        for event in opened:
            await event.wait()
        notify("READY=1", f"STATUS={self._endpoint.name} is ready")
        self._out.say(f"{self._endpoint.name} is ready", "Ready", name=self._endpoint.name, process=os.getpid())

    async def _obey(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        async for number in signals:
            if number != signal.SIGHUP:
                return
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                config = await trio.to_thread.run_sync(self._load)
            except broker.ConfigError as error:
                for problem in error.problems:
                    _log.error("nothing was reloaded: %s", problem)
            else:
                await self._reload(config, nursery)
            notify("READY=1")

    async def _reload(self, config: Config, nursery: trio.Nursery) -> None:
        """Take up what of a changed configuration can be; say what asks for a restart."""
        before, self._config = self._config, config
        set_up_logging(config.logging)
        for peer in before.peer:
            if peer not in config.peer:
                self._wiring.forget(peer.address)
                with suppress(KeyError):  # it was only being dialled
                    await self._endpoint.unpeer(peer.address)
        for peer in config.peer:
            if peer not in before.peer:
                self._wiring.dial(peer, config, nursery)
        for listened in config.listen:
            if listened.address not in self._listened:
                self._listened.add(listened.address)
                nursery.start_soon(listener(config, listened, self._endpoint, self._out).run)
        changed = list(_asks_for_restart(before, config))
        if changed:
            _log.warning("reloaded; a restart is needed for what changed in: %s", ", ".join(changed))
        else:
            _log.info("reloaded")
        self._out.say("reloaded", "Reloaded", restart_needed=changed)


def _asks_for_restart(before: Config, now: Config) -> Iterator[str]:
    for table in ("endpoint", "security", "timing", "metrics"):
        old, new = (_asdict(getattr(config, table)) for config in (before, now))
        yield from (f"{table}.{name}" for name in new if new[name] != old[name])
    addresses = [[listened.address for listened in config.listen] for config in (before, now)]
    yield from (f"listen ({address})" for address in addresses[0] if address not in addresses[1])
    for name in before.stores.keys() | now.stores.keys():
        if before.stores.get(name) != now.stores.get(name):
            yield f"stores.{name}"
    if before.collect != now.collect:
        yield "collect"


def _asdict(table: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(table)


def _signals() -> list[signal.Signals]:
    """The signals that say something, without those that whoever started it wants ignored (nohup)."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


def run_node(
    load: Callable[[], Config], preflight: Callable[[Config], Iterable[broker.ConfigProblem]], *, as_json: bool
) -> int:
    """Run a node; returns the exit code."""

    def loaded() -> Config:
        config = load()
        problems = list(preflight(config))
        if problems:
            raise broker.ConfigError(problems)
        return config

    return run_plain(lambda: trio.run(Node(loaded, as_json=as_json).run))
