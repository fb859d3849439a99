"""Who the sockets report to."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Sink"]


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
