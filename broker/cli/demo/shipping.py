"""The manager's part in the log stream: it has processes start and stop, kills the collector once, and counts.

What agents have written is read from their spools, what has arrived from the collector's file: nobody's word is taken.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import trio

from broker.cli.demo.processes import STREAM, spool_path
from broker.cli.demo.secure import COLLECTOR_NAME, Security
from broker.cli.log.spool import spool_form
from broker.cli.standard import note
from broker.errors import JournalError

__all__ = ["Shipping"]

# Children that are there to be seen: a new one so often, each for so long.
_CHILD_EVERY_S: Final = 0.15
_CHILD_S: Final = 0.3
# The collector is killed in the middle of the time, or after so long.
_KILL_S_MAX: Final = 5.0
_LOOK_S: Final = 0.05
_STOP_S: Final = 8.0


class Shipping:
    """Runs the collector's process; ``directory`` is for its file and the agents' spools."""

    def __init__(self, directory: Path, seconds: float, security: Security | None) -> None:
        self.directory = directory
        self.file = directory / f"{STREAM}.log"
        self.kills = 0
        self._keys = [str(security.key_file(COLLECTOR_NAME))] if security is not None else []
        self._kill_after_s = min(seconds / 2, _KILL_S_MAX)
        self._process: trio.Process | None = None
        self._stopping = False
        self._ended = trio.Event()
        self._children = trio.CancelScope()

    # -- the collector -----------------------------------------------------------------------------------------------

    async def run_collector(self, address: str) -> None:
        """Run it to its end, and once more when it was killed."""
        try:
            while not self._stopping:
                killed = await self._run_once(address)
                if not killed:
                    break
        finally:
            self._ended.set()

    async def _run_once(self, address: str) -> bool:
        """Run it; returns whether it was killed by us."""
        kills = self.kills
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "broker.cli.demo.archive", address, str(self.directory), *self._keys],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        self._process = process
        try:
            if self._stopping:
                await self._close_stdin()
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        if code != 0 and kills == self.kills:
            note(f"the collector of {STREAM!r} died: exit code {code}")
        return kills != self.kills

    async def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            await self._process.stdin.aclose()

    async def kill_collector(self) -> None:
        """Kill it in the middle, once it has collected something."""
        await trio.sleep(self._kill_after_s)
        while not self._rows()[0]:  # noqa: ASYNC110 - another process writes the file
            await trio.sleep(_LOOK_S)
        if self._process is not None and self._process.returncode is None and not self._stopping:
            self.kills += 1
            self._process.kill()
            note(f"the collector of {STREAM!r} was killed, and is started again")

    async def stop_collector(self) -> None:
        """Let it end, and wait for that."""
        self._stopping = True
        await self._close_stdin()
        with trio.move_on_after(_STOP_S):
            await self._ended.wait()
            return
        note(f"the collector of {STREAM!r} did not end within {_STOP_S:g} s")

    # -- what there is to be seen --------------------------------------------------------------------------------------

    async def run_children(self) -> None:
        """Start short-lived processes, until :meth:`stop_children`."""
        with self._children:
            async with trio.open_nursery() as nursery:
                while True:
                    nursery.start_soon(_run_child)
                    await trio.sleep(_CHILD_EVERY_S)

    def stop_children(self) -> None:
        """Let there be no more."""
        self._children.cancel()

    # -- both ends -----------------------------------------------------------------------------------------------------

    def _rows(self) -> tuple[Counter[str], int]:
        """How many rows the file has of each agent, and how many of them stand there twice."""
        try:
            lines = self.file.read_text().splitlines()
        except FileNotFoundError:
            return Counter(), 0
        names = next((line.split("\t")[1:] for line in lines if line.startswith("#fields")), [])
        rows = [line for line in lines if not line.startswith("#")]
        host = names.index("host") if names else 0
        return Counter(row.split("\t")[host] for row in rows), len(rows) - len(set(rows))

    def _written(self, agent: str) -> int:
        """The number of the last record in an agent's spool."""
        path = spool_path(self.directory, agent)
        if not path.exists():
            return 0
        last: int = spool_form(str(path)).get("last", -1)
        return last

    def summary(self, agents: Sequence[str], died: Sequence[str]) -> dict[str, Any]:
        """Compare both ends, once all have ended; what an agent that died had written stays in its spool."""
        rows, twice = self._rows()
        written = {}
        for agent in agents:
            try:
                written[agent] = self._written(agent)
            except JournalError as error:
                note(str(error))
                written[agent] = -1
        unlike = sum(abs(written[agent] - rows[agent]) for agent in agents if agent not in died)
        return {
            "stream": STREAM,
            "written": written,
            "rows": {agent: rows[agent] for agent in agents},
            "twice": twice,
            "unlike": unlike + twice,
            "collector_kills": self.kills,
            "file": str(self.file),
        }


async def _run_child() -> None:
    process = await trio.lowlevel.open_process(["sleep", str(_CHILD_S)], stdin=subprocess.DEVNULL, process_group=0)
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
