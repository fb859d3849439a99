"""``broker mesh``: show who is in the mesh, who is linked with whom, and who subscribes to what."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

import attrs
import trio
from rich.live import Live

import broker
from broker.cli.identity import Identity
from broker.cli.mesh.draw import drawing
from broker.cli.mesh.form import lines_of, snapshot_of, without_ourselves, without_times
from broker.cli.running import follow_status
from broker.cli.standard import Output
from broker.cli.tables import terminal

__all__ = ["Mesh"]

_LOOK_EVERY_S: Final = 1.0


@attrs.frozen
class Mesh:
    """One run of the command."""

    connect: Sequence[str]
    identity: Identity
    as_json: bool
    watch: bool
    everything: bool  # our own endpoint too, and nothing cut
    timeout_s: float

    async def __call__(self, output: Output) -> int:
        """Show the mesh, once or again and again."""
        is_drawn = output.is_terminal and not self.as_json
        async with self.identity.endpoint(linger_s=0, forward=False) as endpoint:
            if not self.watch:
                await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
                mesh = endpoint.mesh()
                await output.write(self._drawn(mesh) if is_drawn else lines_of(self._shown(mesh)))
                return 0
            async with endpoint.status() as changes, trio.open_nursery() as nursery:
                nursery.start_soon(follow_status, changes)
                await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
                await (self._draw(endpoint, output) if is_drawn else self._print(endpoint, output))
        return 0

    def _shown(self, mesh: broker.Mesh) -> broker.Mesh:
        return mesh if self.everything else without_ourselves(mesh)

    def _drawn(self, mesh: broker.Mesh) -> str:
        console = terminal()
        with console.capture() as capture:
            console.print(drawing(mesh, console.width, everything=self.everything))
        return capture.get()

    async def _changes(self, endpoint: broker.Endpoint) -> AsyncIterator[broker.Mesh]:
        """The mesh now, and whenever more than a round trip has changed in what is shown of it."""
        last: broker.Mesh | None = None
        async for mesh in _looks(endpoint):
            now = without_times(self._shown(mesh))
            if now != last:
                last = now
                yield mesh

    async def _print(self, endpoint: broker.Endpoint, output: Output) -> None:
        """Print the mesh as JSON at each change."""
        async for mesh in self._changes(endpoint):
            await output.write(snapshot_of(self._shown(mesh), datetime.now(UTC)))

    async def _draw(self, endpoint: broker.Endpoint, output: Output) -> None:
        """Draw the mesh in its place whenever it or the terminal's width has changed."""
        console = terminal()
        if console.is_dumb_terminal:  # it cannot move its cursor: one drawing below the other
            async for mesh in self._changes(endpoint):
                await output.write(self._drawn(mesh) + "\n")
            return
        with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
            drawn: tuple[broker.Mesh, int] | None = None
            async for mesh in _looks(endpoint):
                if (mesh, console.width) != drawn:
                    drawn = mesh, console.width
                    live.update(drawing(*drawn, everything=self.everything), refresh=True)


async def _looks(endpoint: broker.Endpoint) -> AsyncIterator[broker.Mesh]:
    """The mesh every second."""
    while True:
        yield endpoint.mesh()
        await trio.sleep(_LOOK_EVERY_S)
