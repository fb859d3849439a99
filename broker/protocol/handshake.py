"""The handshake: how a wire gets its link.

::

    dialler                                   listener
      HELLO versions, name, id, session  ->
                                         <-   WELCOME name, id, session, resumed | REFUSE code, text
      (both send again what the other lacks, then their interests if the session is new)

Two endpoints that dial each other at the same moment would have two sessions.  Both ends keep the one whose dialler
has the smaller id; what was sent in the other session was not acted on, so it is sent again in the one that stays.
Where both dial to bring one session back, the turns of its wires decide: see :meth:`Link.is_due
<broker.protocol.link.Link.is_due>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.actions import Changed, Send, Tell
from broker.protocol.frames import Hello, Kind, Refusal, Welcome
from broker.protocol.link import Link
from broker.protocol.wires import Peering, Wire
from broker.status import PeerResumed

if TYPE_CHECKING:
    from broker.protocol.peerings import Peerings

__all__ = ["LINKS_MAX", "Handshake"]

LINKS_MAX: Final = 10_000


class Handshake:
    """Both sides of it, for the wires of one :class:`~broker.protocol.peerings.Peerings`."""

    def __init__(self, owner: Peerings) -> None:
        self._owner = owner

    def greet(self, wire: Wire, kind: int, payload: bytes, now: float) -> None:
        """Act on a frame that came on a wire without a link; raises Malformed when it has no place there."""
        if wire.peering is None:
            if kind != Kind.HELLO:
                raise Malformed("its first frame is not a HELLO; is this a broker endpoint?")
            low, high, hello = frames.decode_hello(payload)
            if hello is None:
                ours = f"{self._owner.name} speaks version {frames.PROTOCOL_VERSION}"
                text = f"{ours}, you speak {low} to {high}: update the older one"
                self._turn_away(wire, "unknown", Refusal("version", text))
            else:
                self._take_hello(wire, hello, now)
        elif kind == Kind.WELCOME:
            self._take_welcome(wire, wire.peering, frames.decode(Welcome, payload), now)
        elif kind == Kind.REFUSE:
            self._take_refusal(wire, wire.peering, frames.decode(Refusal, payload), now)
        else:
            raise Malformed("its answer to HELLO is neither WELCOME nor REFUSE; is this a broker endpoint?")

    def _take_hello(self, wire: Wire, hello: Hello, now: float) -> None:
        _check_name(hello.name)
        link = self._owner.links.get(hello.id)
        refusal = self._judge_key(wire, hello)
        if refusal is None and link is not None and link.peer_name != hello.name:
            raise Malformed(f"{hello.name!r:.100} claims to be the process {link.peer_name!r:.100}")
        refusal = refusal or self._judge(hello, now)
        if refusal is not None:
            self._turn_away(wire, hello.name, refusal)
            return
        # It may not know whom it dials: a link that has lost its wire is brought back all the same.
        if link is not None and hello.session in (link.session, b""):
            if hello.session:
                link.confirmed = True
            turn = hello.turn or link.turn + 1
            self._resume(link, wire, hello.received, turn, welcome=True)
            return
        if link is not None:
            self._owner.end(link, "replaced", "its session ended, it began a new one")
        self._start(wire, hello, self._owner.chance.randbytes(8), welcome=True)

    def _turn_away(self, wire: Wire, name: str, refusal: Refusal) -> None:
        self._owner.send_bare(wire, Kind.REFUSE, frames.encode(refusal))
        if refusal.code != "linked":
            self._owner.observer.stranger_refused(name, wire.address, refusal.code, refusal.text)
        self._owner.drop_wire(wire)

    def _judge_key(self, wire: Wire, peer: Hello | Welcome) -> Refusal | None:
        """Decide whether the key of a wire is trusted, and may have the name and the id that are claimed over it."""
        guard = self._owner.guard
        refusal = guard.refusal(wire.key, peer.name)
        if refusal is not None:
            return Refusal(*refusal)
        # Its announcement binds an id to a key; until that has come, the key that its link was begun with.
        link = self._owner.links.get(peer.id)
        for known in (self._owner.observer.known_key(peer.id), link.key if link is not None else None):
            if known is not None and not guard.is_same(known, wire.key):
                return Refusal("authentication", f"{peer.name!r:.100} claims to be a process that has another key")
        return None

    def _judge(self, hello: Hello, now: float) -> Refusal | None:
        """Decide whether somebody who dialled us is let in."""
        if hello.id == self._owner.id:
            return Refusal("self", "this is your own address")
        if hello.name == self._owner.name:
            return Refusal("name", f"this endpoint is called {hello.name!r} too: give each endpoint a name of its own")
        link = self._owner.links.get(hello.id)
        if link is not None:
            if hello.session != link.session and link.wire is not None:
                self._owner.probe(link, now)  # the peer may have given it up without our knowing
                return Refusal("linked", "there is a link between us already", self._owner.id)
            if hello.session == link.session and not link.is_due(hello.turn, hello.id):
                return Refusal("linked", "you have answered our own attempt to bring the link back", self._owner.id)
            return None
        if len(self._owner.links) >= LINKS_MAX:
            return Refusal("full", f"{self._owner.name} has {LINKS_MAX} peers already")
        return self._judge_name(hello.name, now)

    def _judge_name(self, name: str, now: float) -> Refusal | None:
        """Tell a second endpoint of one name from a restarted one: the first has to show that it still lives."""
        for other in list(self._owner.links.values()):
            if other.peer_name != name:
                continue
            if other.wire is None:
                self._owner.end(other, "replaced", "replaced by a new process of the same name")
                return None
            self._owner.probe(other, now)
            return Refusal(
                "name", f"another endpoint called {name!r} is linked to {self._owner.name}: give each its own name"
            )
        return None

    def _start(self, wire: Wire, peer: Hello | Welcome, session: bytes, welcome: bool) -> None:
        link = Link(peer.name, peer.id, session)
        link.address = wire.address
        self._owner.links[peer.id] = link
        self._owner.attach(link, wire, 1)
        if welcome:
            self._welcome(wire, link, resumed=False)
        else:
            link.confirmed = True
        link.resume(wire.number, 0)
        self._owner.observer.link_started(link)
        self._owner.act(Changed())

    def _resume(self, link: Link, wire: Wire, received: int, turn: int, welcome: bool) -> None:
        former = link.wire
        again = link.resume(wire.number, received)
        if former is not None:
            self._owner.drop_wire(self._owner.wires[former])
        self._owner.attach(link, wire, turn)
        if welcome:
            self._welcome(wire, link, resumed=True)
        self._act_all(wire, again)
        self._owner.act(Tell(PeerResumed(link.peer_name, link.address)))
        self._owner.observer.link_resumed(link)
        self._owner.act(Changed())

    def _welcome(self, wire: Wire, link: Link, resumed: bool) -> None:
        answer = Welcome(
            frames.PROTOCOL_VERSION,
            self._owner.name,
            self._owner.id,
            link.session,
            resumed,
            link.received,
            link.turn,
        )
        self._owner.send_bare(wire, Kind.WELCOME, frames.encode(answer))

    def _take_welcome(self, wire: Wire, peering: Peering, welcome: Welcome, now: float) -> None:
        if welcome.version != frames.PROTOCOL_VERSION:
            raise Malformed(f"it welcomes us in version {welcome.version}, which we did not offer")
        _check_name(welcome.name)
        if welcome.id == self._owner.id:
            raise Malformed("it claims to be ourselves")
        refusal = self._judge_key(wire, welcome)
        if refusal is not None:
            self._owner.drop_wire(wire)
            self._owner.retry(peering, refusal, now, told=False)
            self._owner.act(Changed())
            return
        link = self._owner.links.get(welcome.id)
        if welcome.resumed:
            if link is None or link.session != welcome.session:
                self._owner.send_bare(wire, Kind.BYE, frames.encode(Refusal("bye", "that session has ended here")))
                self._owner.drop_wire(wire)
                self._owner.retry(
                    peering, Refusal("linked", "it went on with a session that has ended here"), now, told=True
                )
            elif link.is_due(welcome.turn, self._owner.id):
                self._resume(link, wire, welcome.received, welcome.turn, welcome=False)
            else:  # the peer has dialled us meanwhile
                self._owner.drop_wire(wire)
                self._owner.satisfy(peering, link)
            self._owner.act(Changed())
            return
        former, peering.link = peering.link, None
        if former is not None:
            self._owner.end(former, "replaced", "its session ended, or another process took its place")
            link = self._owner.links.get(welcome.id)
        if link is not None and link.wire is None:
            self._owner.end(link, "replaced", "its session ended, it began a new one")
            link = None
        if link is None:
            self._start(wire, welcome, welcome.session, welcome=False)
        elif link.confirmed or welcome.id < self._owner.id:
            self._owner.drop_wire(wire)  # the session that the peer dialled stays
            self._owner.satisfy(peering, link)
        else:
            self._switch(link, wire, welcome)
        self._owner.act(Changed())

    def _switch(self, link: Link, wire: Wire, welcome: Welcome) -> None:
        """Leave the session that the peer dialled for the one that we dialled: its id is the larger one."""
        if link.wire is not None:
            old = self._owner.wires[link.wire]
            link.wire = None
            self._owner.drop_wire(old)
        link.rebase(welcome.session)
        self._owner.attach(link, wire, welcome.turn)
        link.confirmed = True
        self._act_all(wire, link.resume(wire.number, 0))
        self._owner.observer.link_resumed(link)

    def _take_refusal(self, wire: Wire, peering: Peering, refusal: Refusal, now: float) -> None:
        self._owner.drop_wire(wire)
        if refusal.code == "linked":
            link = self._owner.links.get(refusal.id)
            if link is not None and link.wire is not None:
                self._owner.satisfy(peering, link)
                return
        self._owner.retry(peering, refusal, now, told=False)
        self._owner.act(Changed())

    def _act_all(self, wire: Wire, again: list[bytes]) -> None:
        for frame in again:
            self._owner.act(Send(wire.number, frame))


def _check_name(name: str) -> None:
    """Refuse a name that would garble a terminal or a log."""
    if not name.isprintable():
        raise Malformed(f"its name is not printable text: {name!r:.100}")
