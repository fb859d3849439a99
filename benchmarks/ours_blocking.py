"""Our side as a plain program writes it: one thread, no ``await``."""

from __future__ import annotations

import time

import broker.blocking
from benchmarks.child import Channel
from benchmarks.ours import PEER_TIMEOUT_S, TOPIC, DiskUsage
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder

__all__ = ["echo", "ping", "publish", "subscribe"]


def publish(channel: Channel, address: str, readers: int = 1) -> None:
    """``endpoint.publish`` for each event."""
    with broker.blocking.Endpoint("publisher") as endpoint:
        channel.tell(address=endpoint.listen(address))
        sequence = 0
        while (count := channel.order()) is not None:
            endpoint.subscribers(TOPIC, at_least=readers)
            channel.tell(started=time.monotonic())
            for number in range(sequence, sequence + count):
                endpoint.publish(TOPIC, DiskUsage(HOST, MOUNT, USED, number))
            channel.tell(published=time.monotonic())
            sequence += count


def subscribe(channel: Channel, address: str) -> None:
    """``for message in messages``."""
    with broker.blocking.Endpoint("subscriber") as endpoint:
        endpoint.peer(address, timeout=PEER_TIMEOUT_S)
        with endpoint.subscribe("host/", DiskUsage) as messages:
            channel.tell(ready=True)
            expected = 0
            while (count := channel.order()) is not None:
                channel.tell(armed=True)
                first, end = 0.0, expected + count
                for message in messages:
                    if message.event.sequence != expected:
                        raise OutOfOrder(expected, message.event.sequence)
                    first = first or time.monotonic()
                    expected += 1
                    if expected == end:
                        break
                channel.tell(received=[first, time.monotonic()])


def echo(channel: Channel, address: str) -> None:
    """Publish on ``pong`` whatever comes on ``ping``."""
    with broker.blocking.Endpoint("echo") as endpoint:
        address_bound = endpoint.listen(address)
        with endpoint.subscribe("ping", DiskUsage) as messages:
            channel.tell(address=address_bound)
            while (count := channel.order()) is not None:
                for _ in range(count):
                    endpoint.publish("pong", messages.receive().event)


def ping(channel: Channel, address: str) -> None:
    """Round trips of one event."""
    with broker.blocking.Endpoint("ping") as endpoint:
        endpoint.peer(address, timeout=PEER_TIMEOUT_S)
        with endpoint.subscribe("pong", DiskUsage) as messages:
            endpoint.subscribers("ping", at_least=1)
            channel.tell(ready=True)
            while (count := channel.order()) is not None:
                seconds = []
                for number in range(count):
                    start = time.perf_counter()
                    endpoint.publish("ping", DiskUsage(HOST, MOUNT, USED, number))
                    found = messages.receive().event.sequence
                    seconds.append(time.perf_counter() - start)
                    if found != number:
                        raise OutOfOrder(number, found)
                channel.tell(seconds=seconds)
