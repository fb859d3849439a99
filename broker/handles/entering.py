"""What is checked of an endpoint's block: that it is entered in the right world, and can be left in time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import trio

__all__ = ["EnteredAsync", "check_world", "patience"]

_ENDPOINTS: Final = {
    "trio": "broker.Endpoint, entered with 'async with', is for programs of trio's",
    "asyncio": "broker.aio.Endpoint, entered with 'async with', is for programs of asyncio's",
    "": "broker.blocking.Endpoint, entered with 'with', is for programs without trio or asyncio",
}


def check_world(wanted: str) -> None:
    """Raise RuntimeError, which names the right endpoint, unless ``wanted`` (trio or asyncio) runs this."""
    if _runs(wanted):
        return
    found = next((world for world in ("trio", "asyncio") if _runs(world)), "")
    here = f"{found} runs this program" if found else "neither trio nor asyncio runs this program"
    raise RuntimeError(f"this endpoint is for programs of {wanted}'s, and {here}: {_ENDPOINTS[found]}")


def _runs(world: str) -> bool:
    """Whether trio or asyncio runs what calls this.  In trio's guest mode both do."""
    asyncio = sys.modules.get("asyncio")  # not imported for this: it takes as long as all of the command line
    try:
        if world == "trio":
            trio.lowlevel.current_task()
        elif asyncio is None:
            return False
        else:
            asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def patience(linger_s: float) -> float:
    """Return how long leaving may wait; raises ValueError for what is no time, while the mistake can be seen."""
    if type(linger_s) not in {int, float} or not linger_s >= 0:
        raise ValueError(f"linger_s is a number of seconds, at least 0: {linger_s!r:.100}")
    return linger_s


class EnteredAsync:
    """Something entered with ``async with``, which says so to ``with``.

    A type checker does not see it, and so goes on finding the mistake by itself.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise TypeError(f"this endpoint is entered with 'async with', not 'with'; {_ENDPOINTS['']}")

        def __exit__(self, *exc_info: Any) -> None:
            """Without it, Python does not come to ``__enter__``."""
