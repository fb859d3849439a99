"""``pytest --through blocking`` (or ``aio``): tests of events, stores and logs, with the facade in the core's place.

Without paths they are all that can go through, and their number is known: it cannot shrink unseen.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from through_adapter import endpoint_class
from through_selection import FILES, NOT_THROUGH, TESTS
from through_threads import at_work, watch_trio
from through_worlds import AioWorld, BlockingWorld

import broker
import broker.portal.thread
import broker.public

__all__ = ["Through"]

TESTS_DIRECTORY = Path(__file__).resolve().parent.parent


class Through:
    """Puts the facade in the core's place, before any test is imported, and selects what runs through it."""

    def __init__(self, config: pytest.Config, name: str) -> None:
        self._name = name
        self._all = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
        world: Any = BlockingWorld() if name == "blocking" else AioWorld()
        watch_trio()
        self._endpoint = endpoint_class(world)
        for module in (broker, broker.public):
            vars(module)["Endpoint"] = self._endpoint

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        ours = collection_path.suffix != ".py" or any(collection_path == TESTS_DIRECTORY / file for file in FILES)
        return None if ours else True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            at_work.wait()
            assert broker.Endpoint is self._endpoint
            assert broker.portal.thread._current is None, "the portal has not ended"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for module in {getattr(item, "module", None) for item in items}:
            assert getattr(module, "Endpoint", self._endpoint) is self._endpoint, f"{module} has the core's Endpoint"
        left_out: list[pytest.Item] = []
        kept: list[pytest.Item] = []
        reasons = NOT_THROUGH[self._name]
        for item in items:
            function = item.name.partition("[")[0]
            (left_out if {function, item.name, item.path.name} & reasons.keys() else kept).append(item)
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)
        if not self._all:
            return
        stale = reasons.keys() - {
            name for item in left_out for name in (item.name, item.name.partition("[")[0], item.path.name)
        }
        if stale:
            raise pytest.UsageError(
                f"--through {self._name}: there are no tests {sorted(stale)}: see through_selection.py"
            )
        if len(kept) != TESTS[self._name]:
            raise pytest.UsageError(
                f"--through {self._name}: {len(kept)} tests; by through_selection.py there are {TESTS[self._name]}"
            )
