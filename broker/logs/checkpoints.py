"""A collector's checkpoint: what a program keeps with its own results, so that each record has its effect once."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from broker.errors import Malformed
from broker.logs import wire
from broker.logs.wire import Claim

__all__ = ["pack_checkpoint", "read_checkpoint"]


class _Kept(Struct, frozen=True, array_like=True):
    """A checkpoint: which member it is of, and what was done, by spool."""

    member: bytes
    done: tuple[tuple[bytes, tuple[Claim, ...]], ...]


def read_checkpoint(data: bytes) -> _Kept:
    """Read what :meth:`Collector.checkpoint` gave; raises Malformed."""
    try:
        kept = msgspec.msgpack.decode(data, type=_Kept)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Malformed(f"not a collector's checkpoint: {error}") from None
    if len(kept.member) != 16:
        raise Malformed("not a collector's checkpoint: its member is not known")
    return kept


def pack_checkpoint(member: bytes, done: Iterable[tuple[bytes, tuple[Claim, ...]]]) -> bytes:
    """Return a checkpoint of a member, who has done this and does not know that it is written down."""
    return wire.encode(_Kept(member, tuple((journal, claims) for journal, claims in done if claims)))
