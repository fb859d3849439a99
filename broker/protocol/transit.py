"""The way of routed frames through an endpoint: out to others, in to itself, and on to who is further away.

An address names the endpoints that a copy is for.  What leaves an endpoint, its own or somebody else's, is split by the
first link of the way to each of them; the body is never looked at.  A frame that has travelled its ttl, whose way is
not known or whose link is full is dropped here and counted: its sender finds that out, and sends it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest

from broker.errors import Malformed
from broker.protocol.addresses import ENTRY_BYTES, PLACE, Address, Entry, address_of, entry_of
from broker.protocol.frames import HEADER_BYTES, SEALED, TTL_DEFAULT, Header
from broker.protocol.link import Link, OutFrame
from broker.protocol.member import Member
from broker.protocol.members import Members
from broker.trust.guard import Guard, digest_of, seal

__all__ = ["Transit"]


class Transit:
    """Sends by address."""

    def __init__(self, members: Members, guard: Guard) -> None:
        self._members = members
        self._guard = guard
        self._id = members.own.id
        self.touched = members.touched
        self.relayed = 0
        self.relayed_bytes = 0
        self.dropped = 0

    def send(self, kind: int, body: bytes, targets: Iterable[tuple[Member, int, int]], flags: int = 0) -> None:
        """Send a frame to (member, flow, sequence) each; who cannot be reached now does not get it."""
        if self._guard.closed:
            self._send_proved(kind, body, targets, flags)
            return
        by_hop: dict[Link, list[bytes]] = {}
        for member, flow, sequence in targets:
            hop = member.hop
            if hop is not None:
                entry = entry_of(member.id, flow, sequence)
                if hop in by_hop:
                    by_hop[hop].append(entry)
                else:
                    by_hop[hop] = [entry]
        for hop, entries in by_hop.items():
            self._send_over(hop, kind, body, entries, flags)

    def _send_over(self, hop: Link, kind: int, body: bytes, entries: list[bytes], flags: int) -> None:
        if hop.is_full(kind):
            self.dropped += len(entries)
            return
        hop.send(OutFrame(kind, body, address_of(self._id, entries), TTL_DEFAULT, flags))
        self.touched[hop] = None

    # -- seals (broker.trust.guard) --------------------------------------------------------------------------------

    def _send_proved(self, kind: int, body: bytes, targets: Iterable[tuple[Member, int, int]], flags: int) -> None:
        """Send a frame that is sealed for each receiver, but for a neighbour that is the only one over its link."""
        by_hop: dict[Link, list[tuple[Member, bytes]]] = {}
        for member, flow, sequence in targets:
            if member.hop is not None:
                by_hop.setdefault(member.hop, []).append((member, entry_of(member.id, flow, sequence)))
        digest = b""
        for hop, entries in by_hop.items():
            if len(entries) == 1 and entries[0][0].id == hop.peer_id:
                self._send_over(hop, kind, body, [entries[0][1]], flags)
                continue
            digest = digest or digest_of(kind, body)
            sealed = [entry + seal(self._seal_keys(member)[0], digest, entry[PLACE]) for member, entry in entries]
            self._send_over(hop, kind, body, sealed, flags | SEALED)

    def _seal_keys(self, member: Member) -> tuple[bytes, bytes]:
        if member.seal_keys is None:
            member.seal_keys = self._guard.seal_keys(member.key, self._id, member.id)
        return member.seal_keys

    def is_proved(self, member: Member, link: Link, address: Address, own: Entry, kind: int, body: bytes) -> bool:
        """Whether a frame is from whom it says: it came straight from it, or has its seal."""
        if link.peer_id == member.id and self._guard.is_same(link.key, member.key):
            return True
        return address.sealed and _is_sealed(self._seal_keys(member)[1], own, kind, body)

    def is_outdated(self, member: Member, address: Address, own: Entry, kind: int, body: bytes) -> bool:
        """Whether a frame has a seal with another key that it or we have, or had: it is no lie, and is sent again."""
        if not address.sealed:
            return False
        keys = self._guard.other_seal_keys(member.key, member.former_key, self._id, member.id)
        return any(_is_sealed(key, own, kind, body) for key in keys)

    # -- receiving and relaying ------------------------------------------------------------------------------------

    def receive(self, header: Header, address: Address, frame: bytes) -> Entry | None:
        """Pass a frame on to others that it is for; returns our own entry, if it is for us too.

        Raises Malformed for a frame that has travelled too far already.
        """
        if not header.ttl:
            raise Malformed("a routed frame that should have gone no further")
        if address.origin == self._id:  # it has gone round in a circle, or somebody speaks in our name
            self.dropped += 1
            return None
        own = address.alone(self._id)
        if own is not None:
            return own
        by_hop: dict[Link, list[bytes]] = {}
        for entry in address.entries():
            if entry.id == self._id:
                own = entry
                continue
            member = self._members.members.get(entry.id)
            if member is None or member.hop is None:
                self.dropped += 1
            else:
                by_hop.setdefault(member.hop, []).append(entry.raw)
        if by_hop:
            self._pass_on(header, address, frame, by_hop)
        return own

    def _pass_on(self, header: Header, address: Address, frame: bytes, by_hop: dict[Link, list[bytes]]) -> None:
        if header.ttl == 1 or not self._members.own.forward:
            self.dropped += sum(map(len, by_hop.values()))
            return
        body = frame[HEADER_BYTES + address.size :]
        for hop, entries in by_hop.items():
            if hop.is_full(header.kind):
                self.dropped += len(entries)
                continue
            self.relayed += 1
            self.relayed_bytes += len(body)
            flags = header.flags & SEALED
            hop.send(OutFrame(header.kind, body, address_of(address.origin, entries), header.ttl - 1, flags))
            self.touched[hop] = None


def _is_sealed(key: bytes, own: Entry, kind: int, body: bytes) -> bool:
    return compare_digest(seal(key, digest_of(kind, body), own.raw[PLACE]), own.raw[ENTRY_BYTES:])
