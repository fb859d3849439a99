"""Ninety seconds of a store's clones being cut off from its master, with the usual times of links.

They take ninety seconds; so this runs in a thread of its own beside the other tests of stores (``conftest.py`` begins
it with the first of them), and its own test, which comes last, waits for it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio
from interop_members import LOOPBACK
from interop_stores import LOAD, Keeper, Keepers, Refused, assert_in_step, keepers, sequence_of
from tcp_proxy import proxy_to

__all__ = ["PARTITION_S", "Partition"]

PARTITION_S: Final = 90.0
# The loads are slow: other tests run at the same time.
_PAUSE_S: Final = 0.05
_WRITE_TIMEOUT_S: Final = 3.0
_STALE_AFTER_S: Final = 4.0


class Partition:
    """The scenario on its way, and what was seen in it."""

    def __init__(self, directory: Path) -> None:
        self.staleness: list[float] = []
        self.refusals: list[tuple[str, float]] = []  # of forwarded writes: what was raised, and after how many seconds
        self.lasted = 0.0
        self._directory = directory
        self._error: BaseException | None = None
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=self._run, name="partition")
        self._thread.start()

    def join(self) -> None:
        """Wait for its end; raises what has failed in it."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Have it end now, if it has not ended."""
        with suppress(trio.RunFinishedError):
            if self._token is not None:
                trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._scenario)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the test
            self._error = error

    async def _scenario(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with keepers(PARTITION_S + 90) as mesh:
                await self._cut_off(mesh)

    async def _cut_off(self, mesh: Keepers) -> None:
        store = {"path": str(self._directory / "master"), "log_bytes": 1 << 30}
        master = await mesh.start("master", "master", listen=[LOOPBACK], store=store, timing={})
        async with proxy_to(await master.address()) as proxy:
            store = {"path": str(self._directory / "clone"), "stale_after": _STALE_AFTER_S}
            strict = await mesh.start("clone", "strict", peer=[proxy.address], store=store, watch=None, timing={})
            lenient = await mesh.start("clone", "lenient", peer=[proxy.address], watch=None, timing={})
            clones = (strict, lenient)
            for one in (master, *clones):
                await one.entered()
                await one.ask("start", kinds=LOAD, timeout=_WRITE_TIMEOUT_S, pause=_PAUSE_S)
                await one.answers(20)
            position = await master.ask("put", key="k", value=1)
            for one in clones:
                await one.ask("wait_for", position=position)
            began = trio.current_time()
            proxy.stall()
            await self._look_on(master, strict, lenient, began + PARTITION_S)
            self.lasted = trio.current_time() - began
            await master.ask("put", key="k", value=2)
            proxy.flow()
            for one in clones:
                await one.ask("synced")
                assert await one.ask("get", key="k") == 2
                await one.answers(20)
            for one in (master, *clones):
                await one.ask("stop")
            contents = await assert_in_step(master, *clones)
            mesh.ledger.check(contents, errors=("MasterUnavailable", "OutcomeUnknown"), spared=("master",))
            for one in clones:
                synced = [status["snapshot"] for status in one.statuses if status["status"] == "StoreSynced"]
                assert not any(synced[1:])
                *seen, twice = await master.ask("log", since=one.told["watching"])
                assert twice == []
                assert await one.ask("watched", sequence=sequence_of(seen[0])) == seen

    async def _look_on(self, master: Keeper, strict: Keeper, lenient: Keeper, until: float) -> None:
        """Again and again, until then: what is known is read, how old it is told, and writes are refused in time."""
        while trio.current_time() < until:
            last = self.staleness[-1] if self.staleness else 0.0
            self.staleness.append(await lenient.ask("until_stale", seconds=last + _STALE_AFTER_S + 1))
            assert await lenient.ask("get", key="k") == 1
            await strict.ask("until_stale", seconds=_STALE_AFTER_S + 0.1)
            try:
                await strict.ask("get", key="k")
            except Refused as refused:
                assert "StaleData: store 'hosts': the clone may have missed something for" in str(refused)  # noqa: PT017
            else:
                raise AssertionError("what is too old was read")
            asked = trio.current_time()
            try:
                await lenient.ask("put", key=f"not written/{len(self.refusals)}", value=1, timeout=_WRITE_TIMEOUT_S)
            except Refused as refused:
                self.refusals.append((refused.kind, trio.current_time() - asked))
            else:
                raise AssertionError("there is no master, and it was written")
            await master.answers(5)
        kinds = [kind for kind, _ in self.refusals]
        contents = await master.ask("contents")
        for number, kind in enumerate(kinds):
            assert kind == "OutcomeUnknown" or f"not written/{number}" not in contents
