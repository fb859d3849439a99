"""The manager's rules: a host whose figures cross a limit raises an alert, on ``alerts/<agent>``.

They are text of the Event Language, with the limit of the command line; the types of events are those of the agents.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import trio

import broker
from broker.cli.demo.events import LimitCrossed
from broker.cli.standard import note, printable

__all__ = ["Alerts"]

# One alert of a kind for a host in so long, however often its figures cross the limit.
_EVERY: Final = "10s"

_RULES: Final = """\
percentLimit = {limit};

LimitCrossed cpu(CpuLoad c) := {{ host = c.host, what = "cpu", percent = c.percent, limit = percentLimit }};
LimitCrossed memory(MemoryUsage m) := {{ host = m.host, what = "memory", percent = m.percent, limit = percentLimit }};
LimitCrossed disk(DiskUsage d) := {{ host = d.host, what = d.mount, percent = d.percent, limit = percentLimit }};

CpuOver: [CpuLoad c : c.percent > percentLimit]
    on "host/" per host limit 1 per {every} -> cpu to "alerts/" + c.host do alert;
MemoryOver: [MemoryUsage m : m.percent > percentLimit]
    on "host/" per host limit 1 per {every} -> memory to "alerts/" + m.host do alert;
DiskOver: [DiskUsage d : d.percent > percentLimit]
    on "host/" per host, mount limit 1 per {every} -> disk to "alerts/" + d.host do alert;
"""


class Alerts:
    """What the rules have raised; ``limit_percent`` is of processors, memory and disks, 0 to 100."""

    def __init__(self, limit_percent: float, directory: Path) -> None:
        self._limit = limit_percent
        self._file = directory / "alerts.ev"
        self._raised: Counter[str] = Counter()  # by rule

    async def run(self, endpoint: broker.Endpoint) -> None:
        """Run the rules at an endpoint and tell of each alert, until it is cancelled."""
        await trio.Path(self._file).write_text(_RULES.format(limit=self._limit, every=_EVERY))
        async with endpoint.rules(self._file) as actions:
            async for action in actions:
                event = action.event
                assert type(event) is LimitCrossed
                self._raised[action.rule] += 1
                what = f"{printable(event.what)} {event.percent:.1f} %, over {event.limit:g} %"
                note(f"alert: {event.host}: {what} (rule {action.rule})")

    def summary(self) -> dict[str, Any]:
        """What there is to say at the end."""
        return {"limit_percent": self._limit, "raised": self._raised.total(), "rules": dict(self._raised)}
