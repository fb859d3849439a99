"""What an endpoint tells of itself and its links: made, put together, and compared."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from broker.protocol import frames
from broker.protocol.frames import MemberUpdate, Neighbour
from broker.protocol.link import Link
from broker.protocol.member import Member

__all__ = ["announcement", "announcement_of", "merged", "neighbour_over", "same_links", "update_of", "whole"]


def same_links(before: Mapping[bytes, Neighbour], after: Mapping[bytes, Neighbour]) -> bool:
    """Whether ways are the same over both: to the same endpoints, with and without connections."""
    return before.keys() == after.keys() and all(before[id_].up == edge.up for id_, edge in after.items())


def neighbour_over(link: Link, told: Neighbour | None) -> Neighbour:
    """Return a link as it is announced, with the round trip that was told before unless it is quite another now."""
    up = link.wire is not None
    rtt_us = 0 if link.rtt_s is None else max(1, round(min(link.rtt_s, 4000.0) * 1e6))  # 0: not known
    if told is not None and told.rtt_us and max(rtt_us, told.rtt_us) <= 2 * min(rtt_us, told.rtt_us) + 1000:
        return told if told.up == up else Neighbour(link.peer_id, up, told.rtt_us)
    return Neighbour(link.peer_id, up, rtt_us)


def announcement_of(member: Member) -> bytes:
    """Return all that is known of an endpoint and its links, as it would announce it, or, where there are keys, did."""
    return member.announced or announcement(member, tuple(member.neighbours.values()))


def whole(update: MemberUpdate, neighbours: Mapping[bytes, Neighbour], signature: bytes = b"") -> bytes:
    """Return an announcement with all links, whatever it told of them: what its signature is of, and what has it.

    Links stand in the order of their ids, so that all who put the same changes together have the same bytes.
    """
    links = tuple(neighbours[id_] for id_ in sorted(neighbours))
    return frames.encode(
        structs.replace(update, neighbours=links, base=0, removed=(), signature=signature),
    )


def announcement(
    member: Member,
    neighbours: tuple[Neighbour, ...],
    *,
    gone: bool = False,
    base: int = 0,
    removed: tuple[bytes, ...] = (),
) -> bytes:
    """Return the payload of a MEMBER frame, with these of its links; with a ``base``, those that have changed since."""
    return frames.encode(update_of(member, neighbours, gone=gone, base=base, removed=removed))


def update_of(
    member: Member,
    neighbours: tuple[Neighbour, ...],
    *,
    gone: bool = False,
    base: int = 0,
    removed: tuple[bytes, ...] = (),
) -> MemberUpdate:
    """Return what a MEMBER frame tells, not signed yet."""
    return MemberUpdate(
        member.id,
        member.name,
        member.version,
        member.forward,
        gone,
        neighbours,
        max(member.interests_promised, member.interests_version),
        member.born,
        base,
        removed,
        member.masters,
        member.streams,
        member.key,
    )


def merged(known: Mapping[bytes, Neighbour], update: MemberUpdate) -> dict[bytes, Neighbour]:
    """Return an endpoint's links after a change of them, or as they are told anew."""
    merged = dict(known) if update.base else {}
    for edge in update.neighbours:
        merged[edge.id] = edge
    for id_ in update.removed:
        merged.pop(id_, None)
    return merged
