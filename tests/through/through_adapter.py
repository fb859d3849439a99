"""The core's API over a facade: what stands in the place of :class:`broker.Endpoint` where tests run through one.

Each call of an ``async`` method is a call of the facade's; each property and each method that does not wait is asked of
the facade, too.  Names that begin with an underscore are the core's: a test that looks inside sees what it expects.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from types import TracebackType
from typing import Any

import trio
import trio.testing
from through_worlds import LoopPortal, World, chosen_portal

import broker

__all__ = ["Handle", "endpoint_class"]

_CoreEndpoint = broker.Endpoint
_loop_portal: trio.lowlevel.RunVar[LoopPortal] = trio.lowlevel.RunVar("loop_portal")


class Handle:
    """Any of the facade's handles, as the core's."""

    def __init__(self, world: World, facade: Any) -> None:
        self._world, self._facade = world, facade

    def __repr__(self) -> str:
        return repr(self._core)

    def __getattr__(self, name: str) -> Any:
        core = self.__dict__["_facade"]._core
        if name.startswith("_"):
            return core if name == "_core" else getattr(core, name)
        if inspect.iscoroutinefunction(getattr(type(core), name, None)):
            return partial(_awaited, self._world, self._facade, name)
        with _trio_errors():
            found = getattr(self._facade, name)
        return partial(_asked, self._world, found) if inspect.ismethod(found) else found

    async def __aenter__(self) -> Any:
        found = await self._world.call(getattr(self._facade, self._world.enter))
        assert found is self._facade
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave = getattr(self._facade, self._world.leave)
        # Who is cancelled leaves without being interrupted another time.
        await self._world.call(leave, kind, value, traceback, shielded=_is_cancelled(value))

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self._world.call(getattr(self._facade, self._world.step))

    def __getitem__(self, key: Any) -> Any:
        return self._facade[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._facade

    def __len__(self) -> int:
        return len(self._facade)

    def __iter__(self) -> Any:
        return iter(self._facade)

    def __bool__(self) -> bool:
        return bool(self._facade)


def _is_cancelled(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)


async def _awaited(world: World, facade: Any, name: str, /, *args: Any, **options: Any) -> Any:
    """Call what waits, with the time that the task has left where the facade takes one and the core does not."""
    deadline = trio.current_effective_deadline()
    limited = deadline < math.inf and _takes_time_limit(type(facade), type(facade._core), name)  # type: ignore[arg-type]
    if limited:
        options["timeout"] = max(0.0, deadline - trio.current_time())
    try:
        return _wrapped(world, await world.call(getattr(facade, name), *args, **options))
    except TimeoutError:
        if limited:
            await trio.sleep_until(deadline)  # where the task is cancelled
        raise


def _asked(world: World, method: Any, /, *args: Any, **options: Any) -> Any:
    with _trio_errors():
        return _wrapped(world, method(*args, **options))


@contextmanager
def _trio_errors() -> Iterator[None]:
    try:
        yield
    except BlockingIOError as error:
        raise trio.WouldBlock from error


@cache
def _takes_time_limit(facade: Any, core: Any, name: str) -> bool:
    ours, theirs = (inspect.signature(getattr(cls, name)).parameters for cls in (facade, core))
    return "timeout" in ours and "timeout" not in theirs


def _wrapped(world: World, found: Any) -> Any:
    return Handle(world, found) if hasattr(found, "_core") else found


def endpoint_class(world: World) -> type:
    """Return what stands in the place of :class:`broker.Endpoint`."""

    class Endpoint(Handle):
        __doc__ = _CoreEndpoint.__doc__

        def __init__(self, name: str | None = None, **options: Any) -> None:
            if "network" in options or "chance" in options:  # arguments for tests, which the facade has not
                facade = world.facade.Endpoint.__new__(world.facade.Endpoint)
                facade._begin(_CoreEndpoint(name, **options))
            else:
                facade = world.facade.Endpoint(name, **options)
            super().__init__(world, facade)
            self._simulated = "network" in options

        async def __aenter__(self) -> Any:
            portal: LoopPortal | None = None
            if self._simulated or isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock):
                try:
                    portal = _loop_portal.get()
                except LookupError:
                    portal = LoopPortal()
                _loop_portal.set(portal)
            chosen = chosen_portal.set(portal)
            try:
                return await super().__aenter__()
            finally:
                chosen_portal.reset(chosen)

    for name, method in inspect.getmembers(_CoreEndpoint, inspect.isfunction):
        if not name.startswith("_"):
            setattr(Endpoint, name, _method(name, method))
    return Endpoint


def _method(name: str, method: Any) -> Any:
    @wraps(method)
    def asked(self: Handle, /, *args: Any, **options: Any) -> Any:
        return Handle.__getattr__(self, name)(*args, **options)

    return asked
