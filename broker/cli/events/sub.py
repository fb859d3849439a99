"""``broker sub``: show the messages of topics."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import attrs
import trio

import broker
from broker.cli.events.records import event_name, line_of
from broker.cli.events.table import MessageTable
from broker.cli.identity import Identity
from broker.cli.running import counted, follow_status
from broker.cli.standard import Output, note

__all__ = ["Sub", "batch_of", "distinct_prefixes"]

# Rows that are rendered and written at once: enough to be quick in a flood, few enough to be seen soon.
_BATCH_MESSAGES = 200


@attrs.frozen
class Sub:
    """One run of the command."""

    prefixes: Sequence[str]
    connect: Sequence[str]
    listen: Sequence[str]
    identity: Identity
    event: str | None  # show events of this name alone
    count: int | None  # end after so many messages
    timeout_s: float

    async def __call__(self, output: Output) -> int:
        """Show messages until ``count`` or for ever; always says how many there were."""
        shown = _Shown(output, self.count)
        if any(prefix.startswith("$") for prefix in self.prefixes):
            from broker import reports  # noqa: F401 - their fields have names then; others need not wait for it
        async with self.identity.endpoint(linger_s=0) as endpoint, AsyncExitStack() as stack:
            changes = await stack.enter_async_context(endpoint.status())
            prefixes = distinct_prefixes(self.prefixes)
            readers = [await stack.enter_async_context(endpoint.subscribe(prefix)) for prefix in prefixes]
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(follow_status, changes)
            for messages in readers:
                nursery.start_soon(self._show, messages, shown)
            await self.identity.listen_all(endpoint, self.listen)
            await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
            try:
                await shown.enough.wait()
            finally:
                note(f"{counted(shown.messages, 'message')} received")
            nursery.cancel_scope.cancel()
        return 0

    async def _show(self, messages: broker.Subscriber, shown: _Shown) -> None:
        while True:
            batch = await batch_of(messages, _BATCH_MESSAGES)
            if self.event is not None:
                batch = [message for message in batch if event_name(message.event) == self.event]
            await shown.show(batch)


class _Shown:
    """What was shown so far, by all the tasks that read."""

    def __init__(self, output: Output, count: int | None) -> None:
        self.messages = 0
        self.enough = trio.Event()
        self._count = count
        self._output = output
        self._table = MessageTable() if output.is_terminal else None

    async def show(self, batch: list[broker.Message]) -> None:
        if self._count is not None:
            batch = batch[: self._count - self.messages]
        if not batch:
            return
        self.messages += len(batch)
        text = self._table.rows(batch) if self._table is not None else "".join(map(line_of, batch))
        await self._output.write(text)
        if self.messages == self._count:
            self.enough.set()


def distinct_prefixes(prefixes: Sequence[str]) -> list[str]:
    """The prefixes without those that others among them include, so that no message comes twice."""
    return [
        prefix
        for prefix in dict.fromkeys(prefixes)
        if not any(prefix != other and prefix.startswith(other) and (other or prefix[0] != "$") for other in prefixes)
    ]


async def batch_of(messages: broker.Subscriber, limit: int) -> list[broker.Message]:
    """Wait for a message; returns it with those that are there already, up to ``limit``."""
    batch = [await messages.receive()]
    try:
        while len(batch) < limit:
            batch.append(messages.receive_nowait())
    except trio.WouldBlock:
        pass
    return batch
