"""The parts of a node, each kept open for itself: what fails is told once, and tried again while the others go on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

import broker
from broker.cli.log.collect import archive_until_cancelled
from broker.cli.node.telling import Announcements
from broker.cli.running import innermost
from broker.config.model import Collect, Config, Listen, StoreSettings
from broker.sinks import LogFiles

__all__ = ["Part", "parts_of"]

_log = logging.getLogger("broker.node")
# Between attempts to open a part: a port that is freed in a moment is had soon, a full disk not asked every second.
_RETRY_FIRST_S: Final = 0.5
_RETRY_MAX_S: Final = 30.0


@attrs.define(eq=False)
class Part:
    """Something that a node keeps open: ``serve`` opens it, says so, and returns only by raising."""

    what: str
    serve: Callable[[Callable[[], None]], Awaitable[None]]
    opened: trio.Event = attrs.field(factory=trio.Event)  # for the first time

    async def run(self) -> None:
        """Keep it open until cancelled."""
        told, wait_s = "", _RETRY_FIRST_S

        def begun() -> None:
            nonlocal told, wait_s
            if told:
                _log.info("%s: it is open again" if self.opened.is_set() else "%s: it is open now", self.what)
            told, wait_s = "", _RETRY_FIRST_S
            self.opened.set()

        while True:
            try:
                await self.serve(begun)
            except BaseException as raised:
                error = innermost(raised)
                if not isinstance(error, (broker.BrokerError, OSError)):
                    raise
                if told != str(error):
                    told = str(error)
                    _log.error("%s: %s; it is tried again", self.what, told)
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MAX_S)


def parts_of(config: Config, endpoint: broker.Endpoint, out: Announcements) -> list[Part]:
    """Make the parts that a configuration asks for."""
    parts = [listener(config, listened, endpoint, out) for listened in config.listen]
    parts += [_store(name, store, endpoint, out) for name, store in config.stores.items()]
    parts += [_collector(collect, endpoint, out) for collect in config.collect]
    if config.metrics.listen is not None:
        parts.append(_metrics(config.metrics.listen, endpoint, out))
    return parts


def listener(config: Config, listened: Listen, endpoint: broker.Endpoint, out: Announcements) -> Part:
    """Make the part that listens on an address."""

    async def serve(begun: Callable[[], None]) -> None:
        bound = await endpoint.listen(listened.address, insecure=config.is_insecure(listened))
        out.say(f"listening on {bound}", "Listening", address=bound)
        begun()
        await trio.sleep_forever()

    return Part(f"listening on {listened.address}", serve)


def _store(name: str, store: StoreSettings, endpoint: broker.Endpoint, out: Announcements) -> Part:
    async def serve(begun: Callable[[], None]) -> None:
        handle: broker.StoreMaster | broker.StoreClone
        if store.role == "master":
            handle = endpoint.master(
                name,
                path=store.path,
                limit_bytes=store.limit_bytes,
                log_bytes=store.log_bytes,
                write_timeout=store.write_timeout,
            )
        else:
            handle = endpoint.clone(
                name,
                path=store.path,
                stale_after=store.stale_after,
                log_bytes=store.log_bytes,
                write_timeout=store.write_timeout,
            )
        async with handle:
            entries = handle.info().entries
            where = store.path or "memory"
            words = f"{store.role} of store {name!r} in {where}, entries: {entries:,}"
            out.say(words, "StoreOpened", store=name, role=store.role, path=store.path, entries=entries)
            begun()
            await trio.sleep_forever()

    return Part(f"store {name!r}", serve)


def _collector(collect: Collect, endpoint: broker.Endpoint, out: Announcements) -> Part:
    async def serve(begun: Callable[[], None]) -> None:
        files = await trio.to_thread.run_sync(log_files, collect)
        try:
            collector = endpoint.collect(
                collect.stream,
                name=collect.name,
                since=collect.since,  # type: ignore[arg-type]  # its kind has seen to it
                acknowledge="explicit",
                checkpoint=files.checkpoint,
            )
            async with collector as records:
                words = f"collecting {collect.stream!r} as {collect.name!r} into {files.path}"
                out.say(words, "Collecting", stream=collect.stream, name=collect.name, file=str(files.path))
                begun()
                await archive_until_cancelled(records, files)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(files.close)

    return Part(f"collector {collect.name!r} of {collect.stream!r}", serve)


def _metrics(address: str, endpoint: broker.Endpoint, out: Announcements) -> Part:
    async def serve(begun: Callable[[], None]) -> None:
        from broker.metrics import Metrics  # it needs an extra

        async with trio.open_nursery() as nursery:
            bound = await nursery.start(Metrics(endpoint).serve, address)
            out.say(f"metrics at http://{bound}/metrics", "Serving", url=f"http://{bound}/metrics")
            begun()

    return Part(f"metrics at {address}", serve)


def log_files(collect: Collect) -> LogFiles:
    """Open the files of a collector; raises as :class:`broker.sinks.LogFiles` does."""
    return LogFiles(
        collect.directory,
        collect.stream,
        format=collect.format,
        rotate_bytes=collect.rotate_bytes,
        rotate_s=collect.rotate_s,
        compress=collect.compress,
        keep=collect.keep,
        time_column=collect.time_column,
        timestamps=collect.timestamps,
    )
