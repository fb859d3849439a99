"""How the commands of ``broker log`` get to the mesh."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

import broker
from broker.cli.running import listen_all, peer_all

__all__ = ["LogReach"]


@attrs.frozen
class LogReach:
    """How a command gets to the mesh."""

    connect: Sequence[str]
    listen: Sequence[str]
    endpoint: str | None
    timeout_s: float

    async def link(self, endpoint: broker.Endpoint) -> None:
        """Listen and peer; call it once readers are there, so that they miss nothing."""
        await listen_all(endpoint, self.listen)
        await peer_all(endpoint, self.connect, self.timeout_s)
