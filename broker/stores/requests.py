"""Requests on their way: commands, how safe their effect is to be, and what came of them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from broker import errors
from broker.errors import StoreError
from broker.journaling import Position
from broker.stores import wire
from broker.stores.commands import Command
from broker.stores.wire import Outcome, where

__all__ = ["APPLIED", "DURABLE", "Request", "error_of", "outcome_of"]

# Acknowledgement levels, as ``replicas``: how many clones have it.
APPLIED: Final = -1
DURABLE: Final = 0

# The errors that may travel: what a master says of a request.
_ERRORS: Final = {
    kind.__name__: kind
    for kind in (
        StoreError,
        errors.KeyExists,
        errors.MasterExists,
        errors.NoSuchElement,
        errors.NoSuchKey,
        errors.NotReplicated,
        errors.OutOfRange,
        errors.StoreFull,
        errors.StoreNotPermitted,
        errors.TypeClash,
        errors.ValueDiffers,
    )
}


class Request(Struct, eq=False):
    """What was asked for: commands that take place together or not at all."""

    commands: tuple[Command, ...]
    replicas: int = DURABLE
    deadline: float = float("inf")
    writer: str = ""  # the endpoint that asks
    origin: tuple[bytes, int] | None = None  # the remote writer and its number; None: asked for here
    number: int = 0  # at the forwarding end: its number, once it was sent
    position: Position | None = None
    results: list[bytes | None] = field(default_factory=list)
    error: StoreError | None = None
    done: bool = False

    size: int = 0  # about how many bytes it takes

    def __post_init__(self) -> None:
        self.size = 64 * (1 + len(self.commands)) + len(wire.encode(self.commands))


def outcome_of(request: Request, number: int) -> Outcome:
    """Return what came of it, as it travels."""
    if request.error is not None:
        return Outcome(number, None, [], type(request.error).__name__, request.error.reason)
    assert request.position is not None
    return Outcome(number, where(request.position), request.results)


def error_of(store: str, outcome: Outcome) -> StoreError | None:
    """Return the error of an outcome, if it is one."""
    return _ERRORS.get(outcome.code, StoreError)(store, outcome.text) if outcome.code else None
