"""How the commands of ``broker log`` get to the mesh."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

import broker
from broker.cli.identity import Identity

__all__ = ["LogReach"]


@attrs.frozen
class LogReach:
    """How a command gets to the mesh."""

    connect: Sequence[str]
    listen: Sequence[str]
    identity: Identity
    timeout_s: float

    async def link(self, endpoint: broker.Endpoint) -> None:
        """Listen and peer; call it once readers are there, so that they miss nothing."""
        await self.identity.listen_all(endpoint, self.listen)
        await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
