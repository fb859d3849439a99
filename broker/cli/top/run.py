"""One run of ``broker top``: join the mesh, read what its endpoints report, and show it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import attrs
import trio
from rich.live import Live

import broker
from broker import reports
from broker.cli.identity import Identity
from broker.cli.jsonform import dumps
from broker.cli.standard import Output, silence_library
from broker.cli.tables import drawn, terminal
from broker.cli.top.board import Board
from broker.cli.top.draw import drawing
from broker.cli.top.rows import Snapshot, form_of
from broker.topics import RESERVED

__all__ = ["Top"]

# With --once: how long endpoints have to report twice, and how often it is looked whether they have.
_ONCE_S: Final = 3.0
_LOOK_S: Final = 0.05
_QUEUE_MESSAGES: Final = 100_000


@attrs.define
class Top:
    """One run of the command."""

    addresses: Sequence[str]
    identity: Identity
    once: bool
    interval_s: float
    count: int | None
    timeout_s: float
    _board: Board = attrs.field(init=False, factory=Board)
    _stopped: trio.Event = attrs.field(init=False, factory=trio.Event)

    def stop(self) -> None:
        """End in order: to be stopped is how it ends."""
        self._stopped.set()

    async def __call__(self, output: Output) -> int:
        """Show what is reported until stopped, or once."""
        silence_library()
        async with self.identity.endpoint(linger_s=0, forward=False) as endpoint, endpoint.status() as changes:
            # Who looks is not to slow down who is looked at.
            reports = endpoint.subscribe(RESERVED, overflow="drop_oldest", queue_messages=_QUEUE_MESSAGES)
            async with reports as messages:
                await self.identity.peer_all(endpoint, self.addresses, self.timeout_s)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, messages)
                    nursery.start_soon(self._follow, changes)
                    if self.once:
                        await self._until_known(endpoint)
                        await self._show(endpoint, output)
                    elif output.is_terminal and terminal().is_terminal:
                        await self._live(endpoint, output)
                    else:
                        await self._print(endpoint, output)
                    nursery.cancel_scope.cancel()
        return 0

    async def _read(self, messages: broker.Subscriber) -> None:
        async for message in messages:
            try:
                value = reports.value_of(message.event)
            except broker.EventDefinitionError:
                continue  # of a newer version
            if isinstance(value, broker.Status):
                self._board.take_status(message.origin, value, message.time.isoformat(timespec="milliseconds"))
            else:
                self._board.take(message.origin, value, message.time_ns, trio.current_time())

    async def _follow(self, changes: broker.StatusReader) -> None:
        async for change in changes:
            if isinstance(change, broker.AccessRefused) and change.what.startswith(RESERVED):
                self._board.refused_by.add(change.refused_by)

    def _snapshot(self, endpoint: broker.Endpoint) -> Snapshot:
        return self._board.snapshot(endpoint.mesh(), trio.current_time())

    async def _until_known(self, endpoint: broker.Endpoint) -> None:
        with trio.move_on_after(_ONCE_S):
            while not self._board.has_rates_of(each.name for each in endpoint.mesh().endpoints[1:] if each.hops):
                with trio.move_on_after(_LOOK_S):  # no event tells that an endpoint has reported twice
                    await self._stopped.wait()
                    return

    async def _show(self, endpoint: broker.Endpoint, output: Output) -> None:
        snapshot = self._snapshot(endpoint)
        if not output.is_terminal:
            await output.write(dumps(form_of(snapshot, _now())) + "\n")
            return
        await output.write(drawn(drawing(snapshot, terminal().width, None)))

    async def _print(self, endpoint: broker.Endpoint, output: Output) -> None:
        shown = 0
        while await self._next():
            await self._show(endpoint, output)
            shown += 1
            if shown == self.count:
                return

    async def _live(self, endpoint: broker.Endpoint, output: Output) -> None:
        """Draw on the terminal's other screen; the last picture stays on the first one."""
        console = terminal()
        shown = 0
        with Live(console=console, auto_refresh=False, screen=True) as live:
            live.update(drawing(self._snapshot(endpoint), console.width, console.height), refresh=True)
            while await self._next():
                live.update(drawing(self._snapshot(endpoint), console.width, console.height), refresh=True)
                shown += 1
                if shown == self.count:
                    break
        await self._show(endpoint, output)

    async def _next(self) -> bool:
        """Wait until it is to be shown again; returns False when it is to end."""
        with trio.move_on_after(self.interval_s):
            await self._stopped.wait()
            return False
        return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
