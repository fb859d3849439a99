"""One publisher process, some subscriber processes, and rounds of events between them."""

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
    # Processor time of the publisher's process, all its threads, user and system.
    publisher_cpu: float


class Stream:
    """Live processes of one side, which stay up so that rounds of several sides can take turns."""

    def __init__(self, publisher: Child, subscribers: list[Child]) -> None:
        self._publisher = publisher
        self._subscribers = subscribers

    def round(self, count: int) -> Round:
        """Have ``count`` events published and received by every subscriber, each once and in order."""
        for subscriber in self._subscribers:
            subscriber.order(count=count)
            subscriber.told("armed")
        cpu_before = self._cpu()
        self._publisher.order(count=count)
        started = self._publisher.told("started")
        published = self._publisher.told("published")
        spans = [subscriber.told("received") for subscriber in self._subscribers]
        cpu = self._cpu() - cpu_before
        last = max(end for _, end in spans)
        return Round(count, max(end - begin for begin, end in spans), last - started, published - started, cpu)

    def _cpu(self) -> float:
        self._publisher.order(usage=True)
        cpu: float = self._publisher.told("cpu")
        return cpu


@contextlib.contextmanager
def stream(
    side: Side,
    subscribers: int = 1,
    publish: dict[str, object] | None = None,
    subscribe: dict[str, object] | None = None,
) -> Iterator[Stream]:
    """Start a side's server, publisher and subscribers; ``publish`` and ``subscribe`` go to the roles."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(side.serve())
        publisher = stack.enter_context(
            Child(side.module, "publish", address=address, readers=subscribers, **(publish or {}))
        )
        address = publisher.told("address")
        children = [
            stack.enter_context(Child(side.module, "subscribe", address=address, **(subscribe or {})))
            for _ in range(subscribers)
        ]
        for child in children:
            child.told("ready")
        yield Stream(publisher, children)
