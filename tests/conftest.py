from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from interop_store_partition import Partition

# No deadline: a slow machine is not a failure.  In CI the same examples every time: a red run can be repeated.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--through", choices=["blocking", "aio"], help="run tests of the core through this facade")


def pytest_configure(config: pytest.Config) -> None:
    """Put a facade in the core's place, before any test is imported."""
    if facade := config.getoption("--through"):
        sys.path.insert(0, str(Path(__file__).parent / "through"))
        from through_plugin import Through

        config.pluginmanager.register(Through(config, facade))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let tests in processes go side by side in two halves that take equally long: those of stores, and all others.

    So the stores' long partition is begun by one worker only, and no test has more than one other beside it.
    """
    stores = item.path.name.startswith("test_interop_stores")
    item.add_marker(pytest.mark.xdist_group("stores" if stores else "others"))


@pytest.fixture(scope="session")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partition]:
    """A store's long partition, which goes on beside the tests that follow."""
    from interop_store_partition import Partition  # its directory's tests are being run

    partition = Partition(tmp_path_factory.mktemp("partition"))
    yield partition
    partition.cancel()


@pytest.fixture(autouse=True)
def _partition_begun(request: pytest.FixtureRequest) -> None:
    """Let it begin with the first of the tests of stores in processes, if its own is among those that are run."""
    if request.node.path.name.startswith("test_interop_stores") and any(
        "partition" in getattr(item, "fixturenames", ()) for item in request.session.items
    ):
        request.getfixturevalue("partition")
