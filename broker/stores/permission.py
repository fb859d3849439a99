"""What somebody needs a right for, of what a master is asked, and how it is told that it has none."""

from __future__ import annotations

from typing import Final

from broker.protocol.member import Member
from broker.stores import wire
from broker.stores.commands import Expect, Fetch, Until
from broker.stores.wire import Commands, NotHere, Outcome, Outcomes, StoreKind
from broker.trust.judge import EVERYTHING

__all__ = ["answer", "missing_right", "reads_only"]

_READING: Final = (Fetch, Expect, Until)


def reads_only(commands: tuple[object, ...]) -> bool:
    """Whether commands change nothing, whatever comes of them."""
    return all(isinstance(command, _READING) for command in commands)


def missing_right(member: Member, store: str, kind: int, body: bytes) -> str:
    """Return which right an endpoint lacks to ask a master for that; empty when it may.  Raises Malformed."""
    grants = member.grants
    if grants is EVERYTHING:
        return ""
    if kind == StoreKind.COMMANDS:
        if grants.may_use_store("write", store):
            return ""
        reads = all(reads_only(item.commands) for item in wire.decode(Commands, body).items)
        if not reads:
            return "store write"
    return "" if grants.may_use_store("read", store) else "store read"


def answer(store: str, right: str, kind: int, body: bytes, name: str) -> tuple[StoreKind, bytes] | None:
    """Return what ``name``, the store's master, tells who asked for what it has no right to; None: nothing."""
    text = f"the access rules of {name} do not give you the right to {right.removeprefix('store ')} the store {store!r}"
    if kind == StoreKind.COMMANDS:
        commands = wire.decode(Commands, body)
        outcomes = [Outcome(item.number, None, [], "StoreNotPermitted", text) for item in commands.items]
        return StoreKind.OUTCOMES, wire.encode(Outcomes(store, commands.writer, outcomes))
    if kind == StoreKind.FOLLOW:
        return StoreKind.NOT_HERE, wire.encode(NotHere(store, text))
    return None
