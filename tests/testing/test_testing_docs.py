"""The examples in the documentation of broker.testing, run."""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

import broker
import broker.testing


@broker.event(name="testing.DocumentedUsage")
class DiskUsage:
    host: str
    used: float


def examples() -> Iterator[tuple[str, Any]]:
    """The test functions in the documentation."""
    documentation = broker.testing.__doc__
    assert documentation is not None
    names = {**vars(broker), **vars(broker.testing), "math": math, "trio": trio, "DiskUsage": DiskUsage}
    for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", documentation):
        exec(textwrap.dedent(block), names)  # noqa: S102 - the documentation is this project's own
    return ((name, test) for name, test in names.items() if name.startswith("test_"))


EXAMPLES = dict(examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_as_it_is_written(name: str) -> None:
    test = EXAMPLES[name]
    if inspect.iscoroutinefunction(test):
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(test, clock, clock=clock)
    else:
        test()


def test_the_documentation_shows_an_agent_and_a_cluster() -> None:
    assert [inspect.iscoroutinefunction(test) for test in EXAMPLES.values()] == [True, False]
