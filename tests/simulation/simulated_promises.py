"""The checker: compares what every subscription got with what is promised to all the mesh."""

from __future__ import annotations

from collections import Counter, defaultdict

from simulated_world import BLOB_BYTES_MAX, Broken, Program, Publisher, Reader, World
from trusted_rules import INTRUDER

from broker.messages import Message
from broker.protocol import flows as flows_module
from broker.protocol import link as link_module
from broker.protocol.frames import MESSAGE_CHARGE, Kind
from broker.protocol.outbox import BATCH_BYTES
from broker.status import MessagesLost, MessagesRecovered, PeerAdded, PeeringFailed, PeerLost, PeerRefused

__all__ = ["check_bounds", "check_promises"]

# A flush makes as many parcels for a flow as it has lanes between other lanes; then its publishers wait.
_WAITING_MAX = 16

# One batch that the largest event of these lives joined, with headers and the messages' own charge.
_BATCH_CHARGE_MAX = BLOB_BYTES_MAX + 2 * BATCH_BYTES + MESSAGE_CHARGE * BATCH_BYTES // 16


def check_bounds(world: World) -> None:
    """Check that everything is as bounded as it is documented to be."""
    for program in world.now_alive.values():
        node = program.endpoint.node
        for link in node.peerings.links.values():
            unacknowledged = sum(frame.size for frame in link.sent)
            if unacknowledged > link_module.WINDOW_BYTES + _BATCH_CHARGE_MAX:
                raise Broken(f"{program.name} keeps {unacknowledged} bytes unacknowledged for {link.peer_name}")
            if link.waiting_bytes > link_module.QUEUE_BYTES + _BATCH_CHARGE_MAX:
                raise Broken(f"{program.name} lets {link.waiting_bytes} bytes wait for {link.peer_name}")
        for member in node.members.members.values():
            flow = member.out
            outstanding = sum(parcel.charge for _, parcel in flow.sent)
            if outstanding > flows_module.ROOM_MAX + _BATCH_CHARGE_MAX:
                raise Broken(f"{program.name} has sent {outstanding} for which {member.name} gave no room")
            # What waited when it was given up joins what was sent.
            if len(flow.sent) > flows_module.PARCELS_MAX + _WAITING_MAX or len(flow.waiting) > _WAITING_MAX:
                raise Broken(f"{program.name} keeps {len(flow.sent)} parcels for {member.name}")
            if flow.away and any(parcel.kind != Kind.LOST for _, parcel in flow.sent):
                raise Broken(f"{program.name} keeps what is for {member.name}, which is away")
        for reader in program.readers:
            _check_queue(program, reader)


def _check_queue(program: Program, reader: Reader) -> None:
    subscription = reader.subscription
    # One that blocks takes what each of its feeders has had room for before it was full; but no more of each.
    excess = flows_module.ROOM_MAX if subscription.overflow == "block" else 0
    bound = subscription.queue_bytes + excess + _BATCH_CHARGE_MAX
    if sum(entry.size for entry in subscription._queue) > bound:
        by_source: Counter[object] = Counter()
        for entry in subscription._queue:
            by_source[entry.delivery.source] += entry.size
        if max(by_source.values()) > bound:
            raise Broken(
                f"{program.name}: the queue of {reader.prefix!r} has {max(by_source.values())} bytes of one source"
            )
    if subscription.overflow != "block" and subscription.pending > subscription.queue_messages:
        raise Broken(f"{program.name}: the queue of {reader.prefix!r} has {subscription.pending} messages")


def check_promises(world: World) -> None:
    """Check order, once-only, completeness and the counts of losses, once all is settled."""
    lives = {program.key: program for program in world.lives}
    for program in world.lives:
        _check_status(program)
        for reader in program.readers:
            received = _check_received(reader, lives)
            if reader.open and program.endpoint.alive:
                _check_complete(reader, received, lives)
    _check_both_ends_agree(world)


def _check_status(program: Program) -> None:
    linked: Counter[str] = Counter()
    for status in program.endpoint.status:
        match status:
            case PeerAdded(peer):
                linked[peer] += 1
            case PeerLost(peer, _, code):
                linked[peer] -= 1
                if code == "protocol" and peer != INTRUDER:
                    raise Broken(f"{program.name}: {status}")
            case PeerRefused(peer, address, "protocol") if peer.partition("@")[0] != INTRUDER != address:
                raise Broken(f"{program.name}: {status}")
            case PeeringFailed(_, "protocol"):
                raise Broken(f"{program.name}: {status}")
    if not program.endpoint.alive:
        return
    now = Counter(peer.name for peer in program.endpoint.node.peers())
    if now != +linked:
        raise Broken(f"{program.name} has told of the peers {dict(linked)}, it has {dict(now)}")


def _check_received(reader: Reader, lives: dict[Publisher, Program]) -> dict[Publisher, list[int]]:
    """Check each message against what was published, and the order; returns the numbers by publisher."""
    received: dict[Publisher, list[int]] = defaultdict(list)
    for message in reader.handle.messages:
        publisher = message.event.publisher, message.event.life
        number = message.event.number
        _check_message(reader, message, lives[publisher])
        numbers = received[publisher]
        if numbers and number <= numbers[-1]:
            what = "twice" if number in numbers else f"after {numbers[-1]}"
            raise Broken(f"{reader.program.name} got {number} of {publisher} {what}")
        numbers.append(number)
    return received


def _check_message(reader: Reader, message: Message, publisher: Program) -> None:
    line = publisher.log.get(message.event.number)
    if line is None:
        raise Broken(f"{reader.program.name} got what {publisher.name} has not published: {message.event!r:.200}")
    if (message.topic, message.event, message.origin) != (line.topic, line.event, publisher.name):
        raise Broken(f"{reader.program.name} got another message than {publisher.name} published: {message!r:.200}")
    if not reader.wants(message.topic, message.event):
        raise Broken(f"{reader.program.name} got {message!r:.200}, and wanted {reader.prefix!r} {reader.types}")


def _check_complete(reader: Reader, received: dict[Publisher, list[int]], lives: dict[Publisher, Program]) -> None:
    """Check that what is missing is what was told as lost, to the message."""
    missing = tail = early = 0
    for publisher, program in lives.items():
        expected = reader.expected[publisher]
        got = set(received[publisher])
        last = received[publisher][-1] if received[publisher] else -1
        lacking = [number for number in expected if number not in got]
        missing += len(lacking)
        # What was published before its publisher knew of the subscription may come all the same, and may be lost.
        first = min(expected, default=len(program.log))
        early += sum(
            reader.wants(line.topic, line.event)
            for number, line in program.log.items()
            if number < first and number not in got
        )
        early += len(reader.optional[publisher].difference(got))
        if reader.chosen is not None:  # of what was lost only the topic and the class are known
            early += sum(
                reader.may_want(line.topic, line.event) and number not in reader.chosen
                for number, line in program.log.items()
            )
        member = reader.program.member_of(program)
        if not program.endpoint.alive or (program is not reader.program and (member is None or not member.reachable)):
            # It took with it what it had not sent; or there is no way by which we could be told.
            tail += sum(number > last for number in lacking)
    told = sum(message.lost_before for message in reader.handle.messages) + reader.subscription._lost_before
    where = f"{reader.program.name} {reader.prefix!r} ({reader.subscription.overflow})"
    if told != reader.subscription.lost:
        raise Broken(f"{where} has lost {reader.subscription.lost}, its messages tell of {told}")
    # Of which topics the messages were that are missing from somebody who died, nobody knows any more.
    unknown = sum(
        status.count
        for status in reader.program.endpoint.status
        if isinstance(status, MessagesLost) and status.reason == "its sender has gone"
    )
    if not missing - tail - unknown <= told <= missing + early:
        raise Broken(
            f"{where} lacks {missing} messages ({tail} at the end of publishers out of reach), told are {told}"
        )


def _check_both_ends_agree(world: World) -> None:
    """Check that publisher and receiver have told the same count, where both live and had one life each."""
    lives = Counter(program.name for program in world.lives)
    single = [program for program in world.now_alive.values() if lives[program.name] == 1]
    for one in single:
        for other in single:
            if one is other or (world.ring is not None and world.ring.at_odds(one, other)):
                continue
            member = one.member_of(other)
            if member is None or not member.reachable:
                continue
            at_sender = _told(one, other.name, "out")
            at_receiver = _told(other, one.name, "in")
            if at_sender != at_receiver:
                raise Broken(
                    f"{one.name} has told of {at_sender} messages to {other.name} lost, {other.name} of {at_receiver}"
                )


def _told(program: Program, peer: str, direction: str) -> int:
    told = 0
    for status in program.endpoint.status:
        match status:
            case MessagesLost(name, count, way) if (name, way) == (peer, direction):
                told += count
            case MessagesRecovered(name, count) if (name, direction) == (peer, "out"):
                told -= count
    return told
