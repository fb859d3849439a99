"""The blocking and the asyncio handles offer what the core's do, name by name and argument by argument."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import broker.aio
import broker.blocking
import broker.public
from tools.facades import FACADES, HANDLES, Facade, Handle, written

PAIRS = [pytest.param(facade, handle, id=f"{facade.package}-{handle.name}") for facade in FACADES for handle in HANDLES]


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def facade_class(facade: Facade, handle: Handle) -> type:
    return getattr(__import__(f"broker.{facade.package}.handles", fromlist=["x"]), handle.name)  # type: ignore[no-any-return]


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.package)
def test_what_is_made_from_the_core_is_as_it_would_be_made_now(facade: Facade) -> None:
    assert facade.path.read_text() == written(facade), "run python -m tools.facades"


@pytest.mark.parametrize(("facade", "handle"), PAIRS)
def test_no_name_of_the_core_is_missing_and_none_is_made_up(facade: Facade, handle: Handle) -> None:
    core, ours = handle.core[0], facade_class(facade, handle)
    internal = handle.internal | {
        name for other in HANDLES if issubclass(core, other.core[0]) for name in other.internal
    }
    assert public(core) - internal - public(ours) == set()
    made_up = public(ours) - public(core) - set(handle.attributes)
    made_up -= {name for other in HANDLES if issubclass(core, other.core[0]) for name in other.attributes}
    assert made_up <= {"snapshot"}  # all of a store at one moment: what costs nothing in the core


@pytest.mark.parametrize(("facade", "handle"), PAIRS)
def test_arguments_are_the_cores_and_what_waits_takes_a_timeout_in_blocking_programs(
    facade: Facade, handle: Handle
) -> None:
    core, ours = handle.core[0], facade_class(facade, handle)
    for name in sorted(public(core) & public(ours)):
        theirs, mine = getattr(core, name), getattr(ours, name)
        if not callable(theirs):
            assert not callable(mine), name
            continue
        expected, found = arguments(theirs), arguments(mine)
        waits = inspect.iscoroutinefunction(theirs)
        if waits and not facade.is_async:
            expected.setdefault("timeout", (None, inspect.Parameter.KEYWORD_ONLY))
        assert found == expected, name
        assert inspect.iscoroutinefunction(mine) == (waits and facade.is_async), name
        assert inspect.getdoc(mine), name


def arguments(function: Any) -> dict[str, tuple[Any, Any]]:
    return {name: (found.default, found.kind) for name, found in inspect.signature(function).parameters.items()}


def test_both_give_the_same_names() -> None:
    assert broker.blocking.__all__ == broker.aio.__all__
    assert set(broker.blocking.__all__) <= set(broker.public.__all__)
