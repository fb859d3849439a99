"""One publisher process, a relay process if wanted, some subscriber processes, and rounds of events between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import attrs

from benchmarks.peers import Side
from benchmarks.processes import Child

__all__ = ["Round", "Stream", "stream"]


@attrs.frozen
class Round:
    """What one round of ``count`` events took, in seconds; the slowest subscriber counts."""

    count: int
    # From the first event received to the last.
    receiving: float
    # From before the first event was made to the last one received.
    whole: float
    # From before the first event was made to the end of the publisher's loop.
    publishing: float
    # Processor time of the publisher's process, all its threads, user and system; then the relay's, 0 without one, and
    # that of all subscribers together.
    publisher_cpu: float
    relay_cpu: float
    subscribers_cpu: float


class Stream:
    """Live processes of one side, which stay up so that rounds of several sides can take turns."""

    def __init__(self, publisher: Child, relays: list[Child], subscribers: list[Child]) -> None:
        self._publisher = publisher
        self._relays = relays
        self._subscribers = subscribers

    def round(self, count: int) -> Round:
        """Have ``count`` events published and received by every subscriber, each once and in order."""
        for subscriber in self._subscribers:
            subscriber.order(count=count)
            subscriber.told("armed")
        before = self._cpu()
        self._publisher.order(count=count)
        started = self._publisher.told("started")
        published = self._publisher.told("published")
        spans = [subscriber.told("received") for subscriber in self._subscribers]
        cpu = [now - then for now, then in zip(self._cpu(), before, strict=True)]
        last = max(end for _, end in spans)
        return Round(count, max(end - begin for begin, end in spans), last - started, published - started, *cpu)

    def _cpu(self) -> list[float]:
        """Return the processor time so far of the publisher, the relays and the subscribers."""
        roles = ([self._publisher], self._relays, self._subscribers)
        for child in [child for children in roles for child in children]:
            child.order(usage=True)
        return [sum(child.told("cpu") for child in children) for children in roles]


@contextlib.contextmanager
def stream(
    side: Side,
    subscribers: int = 1,
    *,
    relay: bool = False,
    reader: Side | None = None,
    publish: dict[str, object] | None = None,
    subscribe: dict[str, object] | None = None,
) -> Iterator[Stream]:
    """Start a side's server, publisher and subscribers; ``publish`` and ``subscribe`` go to the roles.

    The subscribers are of the side ``reader``, by default of the same.

    With ``relay`` the subscribers know only a third process, which is linked with the publisher (ours alone has one).
    """
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(side.serve())
        publisher = stack.enter_context(
            Child(side.module, "publish", address=address, readers=subscribers, **(publish or {}))
        )
        address = publisher.told("address")
        trust = {"trust": publish["trust"]} if publish and "trust" in publish else {}
        relays = [stack.enter_context(Child(side.module, "relay", address=address, **trust))] if relay else []
        for child in relays:
            address = child.told("address")
        children = [
            stack.enter_context(Child((reader or side).module, "subscribe", address=address, **(subscribe or {})))
            for _ in range(subscribers)
        ]
        for child in children:
            child.told("ready")
        yield Stream(publisher, relays, children)
