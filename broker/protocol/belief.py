"""What is believed of an announcement, and what its endpoint is allowed of that: where there are keys.

Whoever passes an announcement on may be honest, and have other rules than ours: what we do not let in is left out, told
once, and no reason to part with who told us.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from broker.errors import Malformed
from broker.protocol.announcements import whole
from broker.protocol.frames import MemberUpdate, Neighbour
from broker.protocol.link import Link
from broker.protocol.member import Member
from broker.trust.guard import Guard
from broker.trust.judge import EVERYTHING

__all__ = ["Belief"]

_STRANGERS_MAX: Final = 10_000


class Belief:
    """Asked by :class:`~broker.protocol.members.Members`.

    ``refused`` is told of rights that an endpoint lacks for what it announces, ``roles_changed`` when it is let have
    other stores or log streams than before, ``strange`` of who is not let into the graph, and why.
    """

    def __init__(
        self, guard: Guard, refused: Callable[[Member, str, str], None], roles_changed: Callable[[], None]
    ) -> None:
        self._guard = guard
        self._refused = refused
        self._roles_changed = roles_changed
        self.strangers: OrderedDict[bytes, str] = OrderedDict()  # by id: why they are not let into the graph
        self.strange: Callable[[MemberUpdate, str], None] = _nothing

    def is_strange(self, link: Link, update: MemberUpdate, member: Member | None) -> bool:
        """Whether somebody is not let into the graph.

        Raises Malformed when it is the peer itself that has another key than its connection.
        """
        if not self._guard.closed:
            return False
        refusal = self._guard.refusal(update.key, update.name)
        if refusal is None and update.id == link.peer_id and not self._guard.is_same(update.key, link.key):
            # One that is not trusted may be its former one, in a word of it that is repeated over its new connection.
            raise Malformed(f"it announces the key {self._guard.label(update.key)}, and has shown another one")
        if refusal is None and member is not None:
            if not self._guard.is_same(update.key, member.key):
                refusal = "authentication", f"it takes the id of {member.name}, which has another key"
            elif member.name != update.name:
                refusal = "authentication", f"it was called {member.name}: a process has one name as long as it lives"
        if refusal is None:
            return False
        if self.strangers.get(update.id) != refusal[1]:
            self.strangers[update.id] = refusal[1]
            if len(self.strangers) > _STRANGERS_MAX:
                self.strangers.popitem(last=False)
            self.strange(update, refusal[1])
        return True

    def prove(self, link: Link, update: MemberUpdate, neighbours: dict[bytes, Neighbour]) -> bytes | None:
        """Return an announcement in whole, as it is passed on; raises Malformed when its signature is not right.

        None: it is a change of what we have otherwise, and to be asked for in whole.  Somebody may have told us and who
        passes this on different things of itself; then both of us were right to believe it, and the other is no liar.
        """
        if not self._guard.closed:
            return b""
        if self._guard.is_signed(update.key, whole(update, neighbours), update.signature):
            return whole(update, neighbours, update.signature)
        if update.base and update.id != link.peer_id:
            return None
        raise Malformed(f"an announcement of {update.name!r:.100} that {update.name!r:.100} has not signed")

    def allow(self, member: Member, update: MemberUpdate) -> bool:
        """Let an endpoint have what it announces and its rights allow; returns whether it relays."""
        grants = member.grants = self._guard.grants(member.key)
        masters, streams = update.masters, update.streams
        if grants is not EVERYTHING:
            masters = tuple(role for role in masters if grants.may_use_store("master", role.name))
            streams = tuple(role for role in streams if grants.may_use_log("write", role.name))
            for role in (*update.masters, *update.streams):
                if role not in masters and role not in streams:
                    self._refused(member, "store master" if role in update.masters else "log write", role.name)
        if (member.masters, member.streams) != (masters, streams):
            member.masters, member.streams = masters, streams
            self._roles_changed()
        return update.forward and grants.relay


def _nothing(update: MemberUpdate, why: str) -> None:
    pass
