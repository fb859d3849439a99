"""What an endpoint and its network ask of each other."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NetworkDriver", "Sink"]


class Sink(Protocol):
    """Who is told of frames and wires: the endpoint.  It carries out what follows from them after each round."""

    def accepted(self, address: str) -> int:
        """Somebody opened a wire to us; returns its number."""

    def received(self, wire: int, frame: bytes) -> None:
        """A frame came."""

    def lost(self, wire: int, code: str, reason: str) -> None:
        """A wire is gone."""

    def round_done(self) -> None:
        """All frames that were there have been handed over."""


class NetworkDriver(Protocol):
    """What carries an endpoint's frames: :class:`~broker.net.network.Network`, or a simulated one."""

    async def listen(self, text: str) -> str:
        """Listen on an address and return the bound one."""

    def check(self, text: str) -> None:
        """Raise AddressError when the address cannot be dialled."""

    def dial(self, number: int, text: str) -> None:
        """Open a wire."""

    def send(self, number: int, frame: bytes) -> None:
        """Send a frame on a wire."""

    def hangup(self, number: int) -> None:
        """Close a wire."""

    def settle(self) -> bool:
        """Hand over the frames whose arrival sending may have hidden; returns whether there were any."""

    def close(self) -> None:
        """Close everything."""
