"""``broker listen``: listen, and show who comes and goes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import attrs
import msgspec
import trio

import broker
from broker.cli.events.records import line_of
from broker.cli.events.sub import batch_of, distinct_prefixes
from broker.cli.events.table import MessageTable
from broker.cli.identity import Identity
from broker.cli.jsonform import dumps
from broker.cli.standard import Output

__all__ = ["Listen"]

_BATCH_MESSAGES = 200


@attrs.frozen
class Listen:
    """One run of the command: it ends with a signal."""

    addresses: Sequence[str]
    topics: Sequence[str]
    identity: Identity

    async def __call__(self, output: Output) -> int:
        """Show status events and messages, as lines and rows in a terminal and as JSON objects elsewhere."""
        table = MessageTable() if output.is_terminal else None
        async with self.identity.endpoint(linger_s=0) as endpoint, AsyncExitStack() as stack:
            changes = await stack.enter_async_context(endpoint.status())
            prefixes = distinct_prefixes(self.topics)
            readers = [await stack.enter_async_context(endpoint.subscribe(prefix)) for prefix in prefixes]
            nursery = await stack.enter_async_context(trio.open_nursery())
            for messages in readers:
                nursery.start_soon(_show, messages, output, table)
            for address in self.addresses:
                bound = await self.identity.listen(endpoint, address)
                if table is None:
                    await output.write(dumps({"status": "Listening", "address": bound}) + "\n")
                else:
                    await output.write(table.line(f"{endpoint.name} is listening on {bound}"))
            async for change in changes:
                form = {"status": type(change).__name__, **msgspec.structs.asdict(change)}
                await output.write(dumps(form) + "\n" if table is None else table.line(str(change)))
        return 0


async def _show(messages: broker.Subscriber, output: Output, table: MessageTable | None) -> None:
    while True:
        batch = await batch_of(messages, _BATCH_MESSAGES)
        await output.write("".join(map(line_of, batch)) if table is None else table.rows(batch))
