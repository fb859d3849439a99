"""Everything public says what it is for, and stands in the reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import broker
import broker.aio
import broker.blocking
import broker.log_format
import broker.metrics
import broker.reports
import broker.rules
import broker.rules.language
import broker.rules.tornado
import broker.sinks
import broker.testing
import broker.testing.strategies
import broker.tracing

MODULES = (
    broker,
    broker.aio,
    broker.blocking,
    broker.log_format,
    broker.metrics,
    broker.reports,
    broker.rules,
    broker.rules.language,
    broker.rules.tornado,
    broker.sinks,
    broker.testing,
    broker.testing.strategies,
    broker.tracing,
)
REFERENCE = Path(__file__).parent.parent / "docs" / "api"


def members(cls: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties of a class that are ours."""
    for name in dir(cls):
        if not name.startswith("_"):
            owner = next(base for base in cls.__mro__ if name in vars(base))
            member = inspect.getattr_static(cls, name)
            if owner.__module__.startswith("broker") and (callable(member) or hasattr(member, "__get__")):
                yield name, member


def told(cls: type, name: str, member: object) -> str | None:
    """What a member says of itself, or what the same member of a base says that is ours."""
    if type(member).__name__ == "member_descriptor":  # a field: its class tells of it
        return cls.__doc__
    return inspect.getdoc(getattr(cls, name))


def silent(module: ModuleType) -> Iterator[str]:
    """Names of a module that say nothing."""
    for name in module.__all__:
        item = getattr(module, name)
        if inspect.isclass(item):
            # attrs and msgspec leave None, a NamedTuple gets its own signature.
            own = vars(item).get("__doc__")
            if not own or own.startswith(f"{name}("):
                yield name
            yield from (f"{name}.{each}" for each, member in members(item) if not told(item, each, member))
        elif inspect.isfunction(item) and not item.__doc__:
            yield name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_everything_public_has_a_docstring(module: ModuleType) -> None:
    assert module.__doc__
    assert list(silent(module)) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_everything_public_stands_in_the_reference_once_and_nothing_else_does(module: ModuleType) -> None:
    found: list[str] = []
    for page in REFERENCE.glob("*.rst"):
        for part in re.split(r"^\.\. currentmodule:: ", page.read_text(), flags=re.MULTILINE)[1:]:
            current, _, rest = part.partition("\n")
            if current == module.__name__:
                found += re.findall(r"^\.\. auto(?:class|exception|function|data):: (\w+)", rest, re.MULTILINE)
            found += [
                name
                for automodule in re.findall(r"^\.\. automodule:: (\S+)", rest, re.MULTILINE)
                if automodule == module.__name__
                for name in module.__all__
            ]
    assert sorted(found) == sorted(module.__all__)
