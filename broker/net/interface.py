"""What an endpoint and its network ask of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from broker.net.security import Security

__all__ = ["NetworkDriver", "Sink"]


class Sink(Protocol):
    """Who is told of frames and wires: the endpoint.  It carries out what follows from them after each round."""

    def accepted(self, address: str, key: bytes) -> int:
        """Somebody opened a wire to us and has shown that key (empty: none was asked for); returns its number."""

    def turned_away(self, address: str, code: str, reason: str) -> None:
        """Somebody who wanted to open a wire to us was not let in."""

    def received(self, wire: int, frame: bytes) -> None:
        """A frame came."""

    def flooded(self, wire: int, reason: str) -> None:
        """More came by a wire than could be acted on: its peer is to be cut off."""

    def lost(self, wire: int, code: str, reason: str) -> None:
        """A wire is gone."""

    def round_done(self) -> None:
        """All frames that were there have been handed over."""


class NetworkDriver(Protocol):
    """What carries an endpoint's frames: :class:`~broker.net.network.Network`, or a simulated one."""

    async def listen(self, text: str, *, insecure: bool = False) -> str:
        """Listen on an address and return the bound one."""

    def check(self, text: str, *, insecure: bool = False) -> None:
        """Raise AddressError when the address cannot be dialled."""

    def dial(self, number: int, text: str) -> bytes:
        """Open a wire; returns the key that its other end has to have (empty: any, or none)."""

    def secure(self, security: Security | None) -> None:
        """Use another key, or other rules of who is let in, for wires that are opened from now on."""

    def send(self, number: int, frame: bytes) -> None:
        """Send a frame on a wire."""

    def hangup(self, number: int) -> None:
        """Close a wire."""

    def settle(self, began: float) -> bool:
        """Hand over the frames whose arrival sending may have hidden; returns whether there were any.

        ``began`` is when this round of sending and settling did, by perf_counter.
        """

    def close(self) -> None:
        """Close everything."""
