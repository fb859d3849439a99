"""What somebody needs a right for, of what a master is asked, and how it is told that it has none."""

from __future__ import annotations

from typing import Final

from broker.protocol.member import Member
from broker.stores import wire
from broker.stores.commands import Expect, Fetch, Until
from broker.stores.wire import Commands, NotHere, Outcome, Outcomes, StoreKind
from broker.trust.judge import EVERYTHING

__all__ = ["answer", "missing_right", "needed_rights"]

_READING: Final = (Fetch, Expect, Until)


def _reads_only(commands: tuple[object, ...]) -> bool:
    """Whether commands change nothing, whatever comes of them."""
    return all(isinstance(command, _READING) for command in commands)


def needed_rights(commands: tuple[object, ...]) -> set[str]:
    """Return the rights that it takes to ask a store for these.

    What a write depends on is part of the write; a condition alone, and a value that is asked for, is reading.
    """
    rights = set() if _reads_only(commands) else {"store write"}
    if not rights or any(isinstance(command, Fetch | Until) for command in commands):
        rights.add("store read")
    return rights


def missing_right(member: Member, store: str, kind: int, body: bytes) -> str:
    """Return which right an endpoint lacks to ask a master for that; empty when it may.  Raises Malformed."""
    grants = member.grants
    if grants is EVERYTHING:
        return ""
    may_read = grants.may_use_store("read", store)
    if kind != StoreKind.COMMANDS:
        return "" if may_read else "store read"
    may_write = grants.may_use_store("write", store)
    if may_read and may_write:
        return ""
    rights = {right for item in wire.decode(Commands, body).items for right in needed_rights(item.commands)}
    if not may_write and "store write" in rights:
        return "store write"
    return "store read" if not may_read and "store read" in rights else ""


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
