"""``broker store watch``: show the changes of a store as they come, and go on where it ended."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import attrs
import trio

import broker
from broker.cli.running import counted, follow_status
from broker.cli.standard import Output, note
from broker.cli.store.entries import Reach
from broker.cli.store.form import change_line, typed
from broker.cli.store.tables import ChangeTable

__all__ = ["Watch"]

# Changes that are rendered and written at once.
_BATCH_CHANGES: Final = 200


@attrs.frozen
class Watch:
    """One run of the command."""

    reach: Reach
    store: str
    prefix: str | None
    key: str | None
    since: broker.Position | None
    count: int | None

    async def __call__(self, output: Output) -> int:
        """Show changes until ``count`` or for ever; always says how many there were, and how to go on."""
        wanted: dict[str, Any] = {} if self.key is None else {"key": typed(self.key, "key")}
        table = ChangeTable() if output.is_terminal else None
        async with self.reach.endpoint() as endpoint, endpoint.status() as status, trio.open_nursery() as nursery:
            nursery.start_soon(follow_status, status)
            async with self.reach.proxy(endpoint, self.store, self.since or "now") as store:
                changes = store.watch(self.prefix, **wanted)
                note(f"watching {self.store!r} from {changes.position} on")
                shown, position = 0, changes.position
                try:
                    while shown != self.count:
                        left = _BATCH_CHANGES if self.count is None else self.count - shown
                        batch = await _batch(changes, min(_BATCH_CHANGES, left))
                        await output.write("".join(map(change_line, batch)) if table is None else table.rows(batch))
                        shown += len(batch)
                        position = changes.position
                finally:
                    note(f"{counted(shown, 'change')}; to go on: --since {position}")
            nursery.cancel_scope.cancel()
        return 0


async def _batch(changes: broker.Watch, limit: int) -> list[broker.Change]:
    """Wait for a change; returns it with those that are there already."""
    found = [await changes.receive()]
    with suppress(trio.WouldBlock):
        while len(found) < limit:
            found.append(changes.receive_nowait())
    return found
