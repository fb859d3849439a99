"""``broker pub``: publish events from JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import attrs
import trio

import broker
from broker.cli.events.records import to_publish
from broker.cli.exits import FAILED
from broker.cli.identity import Identity
from broker.cli.jsonform import FormError, dumps, from_json, loads, quoting
from broker.cli.running import InputError, counted, follow_status
from broker.cli.standard import Lines, LineTooLong, Output, note

__all__ = ["Pub"]

# What a line of input can have wrong with it.
_LINE_ERRORS = (
    FormError,
    LineTooLong,
    UnicodeDecodeError,
    broker.TopicError,
    broker.NotCarried,
    broker.EventMisfit,
)


@attrs.define
class Pub:
    """One run of the command, and what it has done."""

    topic: str | None
    event: str | None
    args: Sequence[str]  # JSON; none or "-": read standard input
    connect: Sequence[str]
    listen: Sequence[str]
    identity: Identity
    wait: int  # for so many subscribers before the first event
    timeout_s: float
    as_json: bool = False  # what was sent, at the end
    sent: int = 0
    unwanted: int = 0  # sent when nobody subscribed to their topic
    lost: int = 0

    async def __call__(self, output: Output) -> int:
        """Publish everything; says how many events were sent, and whether any were lost."""
        given = self._given()
        async with AsyncExitStack() as stack:
            try:
                async with self.identity.endpoint(linger_s=self.timeout_s) as endpoint:
                    # Losses may be told as late as when the endpoint closes: the reader outlives it.
                    changes = await stack.enter_async_context(endpoint.status())
                    await self.identity.listen_all(endpoint, self.listen)
                    await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(follow_status, changes, self._count)
                        if given is None:
                            await self._publish_lines(endpoint)
                        else:
                            await self._publish(endpoint, *given)
                        nursery.cancel_scope.cancel()
            finally:
                if self.sent:
                    self._count_at_close(changes)
                    note(self._summary())
        if self.as_json:
            await output.write(dumps({"sent": self.sent, "unwanted": self.unwanted, "lost": self.lost}) + "\n")
        return FAILED if self.lost else 0

    def _given(self) -> tuple[str, broker.Event] | None:
        """The event on the command line; None when standard input is to be read."""
        if not self.args or list(self.args) == ["-"]:
            return None
        values = []
        for number, text in enumerate(self.args, 1):
            try:
                values.append(from_json(loads(text)))
            except FormError as error:
                raise InputError(f"argument {number}, {text!r:.60}: {error}{quoting(text)}") from None
        assert self.topic is not None  # arguments come behind the topic and the event
        assert self.event is not None
        return self.topic, broker.Event(self.event, tuple(values))

    async def _publish_lines(self, endpoint: broker.Endpoint) -> None:
        lines = Lines()
        if os.isatty(0):
            note("no JSON_ARG: events are read from standard input, one a line, until Ctrl-D ('[]' is one without any)")
        try:
            while (line := await lines.read()) is not None:
                await self._publish(endpoint, *to_publish(line.decode(), self.topic, self.event))
        except _LINE_ERRORS as error:
            raise InputError(f"line {lines.number}: {error}") from None
        if not self.sent:
            note("no events sent: no JSON_ARG was given, and nothing came from standard input")

    async def _publish(self, endpoint: broker.Endpoint, topic: str, event: broker.Event) -> None:
        if not self.sent and self.wait:
            await self._wait(endpoint, topic)
        # Asked before: who got what it was waiting for may have left once the event is published.
        unwanted = not endpoint.subscriber_count(topic)
        await endpoint.publish(topic, event)
        self.sent += 1
        self.unwanted += unwanted

    async def _wait(self, endpoint: broker.Endpoint, topic: str) -> None:
        with trio.move_on_after(self.timeout_s):
            await endpoint.subscribers(topic, at_least=self.wait)
            return
        there = endpoint.subscriber_count(topic)
        raise broker.BrokerError(
            f"{there} of {self.wait} subscribers of {topic!r} within {self.timeout_s:g} s: "
            "start them, wait longer (--timeout), or do not wait (--wait 0)"
        )

    def _count(self, change: broker.Status) -> None:
        if isinstance(change, broker.MessagesLost):
            self.lost += change.count

    def _count_at_close(self, changes: broker.StatusReader) -> None:
        """Count what closing the endpoint gave up; that its links are gone goes without saying."""
        with suppress(trio.WouldBlock):
            while True:
                change = changes.receive_nowait()
                self._count(change)
                if not isinstance(change, broker.PeerLost):
                    note(str(change))

    def _summary(self) -> str:
        parts = [f"{counted(self.sent, 'event')} sent"]
        if self.unwanted:
            parts.append(f"{self.unwanted:,} of them had no subscriber")
        if self.lost:
            parts.append(f"{self.lost:,} lost")
        return ", ".join(parts)
