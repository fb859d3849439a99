"""What the lives of many seeds reach: counted, so that it is seen when a change makes them harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from simulated_world import World

from broker.protocol.frames import Header
from broker.protocol.handshake import Handshake
from broker.protocol.link import Link
from broker.protocol.peerings import Peerings

__all__ = ["Reach"]


class Reach:
    """Counts what happens inside the nodes, and what they tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seeds = 0
        self.seconds = 0.0
        self.counts: Counter[str] = Counter()
        receive, pump = Link.receive, Link.pump

        def counting_receive(link: Link, header: Header, payload_bytes: int) -> bool:
            new = receive(link, header, payload_bytes)
            self.counts["duplicate dropped"] += not new
            return new

        def counting_pump(link: Link) -> list[bytes]:
            sent = pump(link)
            if link.wire is not None and link.waiting:
                self.counts["credit stall" if link._charged >= link._credit else "window stall"] += 1
            return sent

        monkeypatch.setattr(Link, "receive", counting_receive)
        monkeypatch.setattr(Link, "pump", counting_pump)
        self._count_calls(monkeypatch, Handshake, "_switch", "dial race resolved")
        self._count_calls(monkeypatch, Peerings, "probe", "name or link probed")
        self._count_calls(monkeypatch, Link, "hold", "queue full")

    def _count_calls(self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, what: str) -> None:
        original: Callable[..., Any] = getattr(kind, name)

        def counting(*arguments: Any, **named: Any) -> Any:
            self.counts[what] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(kind, name, counting)

    def add(self, world: World) -> None:
        """Count what a life that is over has told."""
        self.seeds += 1
        self.seconds += world.cluster.now()
        self.counts["publisher blocked"] += world.blocked
        for program in world.lives:
            for status in program.endpoint.status:
                self.counts[type(status).__name__] += 1
            for reader in program.readers:
                self.counts["received"] += len(reader.handle.messages)
                self.counts["expected"] += sum(map(len, reader.expected.values()))
