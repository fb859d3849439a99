"""``broker rules run`` on a mesh: rules at an endpoint of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import attrs
import trio

import broker
from broker.cli.identity import Identity
from broker.cli.rules.lines import made_line
from broker.cli.rules.summary import summary
from broker.cli.running import counted, follow_status
from broker.cli.standard import Output, note, silence_library
from broker.handles.rule_sources import Loaded
from broker.rule_files import RuleFiles

__all__ = ["Attached"]


@attrs.frozen
class Attached:
    """One run of the command: it ends with a signal."""

    files: Sequence[str]
    connect: Sequence[str]
    listen: Sequence[str]
    identity: Identity
    timeout_s: float
    options: Mapping[str, Any]  # of Endpoint.rules
    dry_run: bool

    async def __call__(self, output: Output) -> int:
        """Run the rules, and show what they make; says at the end what came of them."""
        silence_library()  # follow_status tells it all
        loaded = await trio.to_thread.run_sync(
            lambda: Loaded.of(RuleFiles(*self.files).load(), checked=True), abandon_on_cancel=True
        )
        async with self.identity.endpoint(linger_s=self.timeout_s) as endpoint, AsyncExitStack() as stack:
            changes = await stack.enter_async_context(endpoint.status())
            rules = await stack.enter_async_context(
                endpoint.rules(self.files, give="all", dry_run=self.dry_run, **self.options)
            )
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(follow_status, changes)
            await self.identity.listen_all(endpoint, self.listen)
            await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
            try:
                async for action in rules:
                    await output.write(
                        made_line(
                            loaded.types,
                            rule=action.rule,
                            action=action.name,
                            topic=action.topic,
                            time_ns=action.time_ns,
                            event=action.event,
                        )
                    )
            finally:
                _tell(rules)
        return 0


def _tell(rules: broker.Rules) -> None:
    figures = rules.figures()
    note(f"{counted(figures.published, 'event')} published, {figures.actions:,} shown")
    for line in summary(figures):
        note(line)
