"""The checker: compares what every subscription got with what is promised to direct peers."""

from __future__ import annotations

from collections import Counter, defaultdict

from simulated_world import BLOB_BYTES_MAX, Program, Reader, World

from broker.messages import Message
from broker.protocol import link as link_module
from broker.protocol.frames import MESSAGE_CHARGE, charge_of
from broker.protocol.outbox import BATCH_BYTES
from broker.status import MessagesLost, PeerAdded, PeeringFailed, PeerLost, PeerRefused

__all__ = ["Broken", "check_bounds", "check_promises"]

# One batch that the largest event of these lives joined, with headers and the messages' own charge.
_BATCH_CHARGE_MAX = BLOB_BYTES_MAX + 2 * BATCH_BYTES + MESSAGE_CHARGE * BATCH_BYTES // 16


class Broken(AssertionError):
    """A promise was broken."""


def check_bounds(world: World) -> None:
    """Check that every queue is as bounded as it is documented to be."""
    for program in world.now_alive.values():
        links = program.endpoint.node.peerings.links.values()
        for link in links:
            unacknowledged = sum(len(frame.payload) for frame in link.sent)
            if unacknowledged > link_module.WINDOW_BYTES + _BATCH_CHARGE_MAX:
                raise Broken(f"{program.name} keeps {unacknowledged} bytes unacknowledged for {link.peer_name}")
            events = sum(1 for frame in link.sent if frame.messages)
            if events > link_module.WINDOW_FRAMES:
                raise Broken(f"{program.name} keeps {events} frames unacknowledged for {link.peer_name}")
            in_flight = sum(charge_of(len(frame.payload), frame.messages) for frame in link.sent if frame.messages)
            if in_flight > link_module.CREDIT_BYTES + _BATCH_CHARGE_MAX:
                raise Broken(f"{program.name} has sent {in_flight} bytes that {link.peer_name} gave no credit for")
        for reader in program.readers:
            _check_queue(program, reader)


def _check_queue(program: Program, reader: Reader) -> None:
    subscription = reader.handle._subscription
    # Every session may bring its credit and one frame more before it is held; our own publishers one batch.
    sessions = len(program.endpoint.node.peerings.links) + sum(
        isinstance(status, PeerLost) for status in program.endpoint.status
    )
    bound = reader.queue_bytes + sessions * (link_module.CREDIT_BYTES + _BATCH_CHARGE_MAX) + _BATCH_CHARGE_MAX
    if subscription._bytes > bound:
        raise Broken(f"{program.name}: the queue of {reader.prefix!r} has {subscription._bytes} bytes, bound {bound}")


def check_promises(world: World) -> None:
    """Check order, once-only, completeness and the counts of losses, once all is settled."""
    lives = {(program.name, program.life): program for program in world.lives}
    for program in world.lives:
        _check_status(program)
        missing: dict[tuple[str, int], set[int]] = defaultdict(set)
        for reader in program.readers:
            received = _check_received(reader, lives)
            for publisher, expected in reader.expected.items():
                gone = _check_expected(world, reader, lives[publisher], expected, received[publisher])
                missing[publisher] |= gone
        for publisher, numbers in missing.items():
            told = sum(
                status.count
                for status in lives[publisher].endpoint.status
                if isinstance(status, MessagesLost) and status.peer == program.name
            )
            if len(numbers) > told:
                raise Broken(f"{program.name} lacks {sorted(numbers)} of {publisher}, which told of {told} lost")


def _check_status(program: Program) -> None:
    linked: Counter[str] = Counter()
    for status in program.endpoint.status:
        match status:
            case PeerAdded(peer):
                linked[peer] += 1
            case PeerLost(peer, _, reason):
                linked[peer] -= 1
                if "protocol" in reason:
                    raise Broken(f"{program.name}: {status}")
            case PeerRefused(_, _, "protocol") | PeeringFailed(_, "protocol"):
                raise Broken(f"{program.name}: {status}")
    if not program.endpoint.alive:
        return
    now = Counter(peer.name for peer in program.endpoint.node.peers())
    if now != +linked:
        raise Broken(f"{program.name} has told of the peers {dict(linked)}, it has {dict(now)}")


def _check_received(reader: Reader, lives: dict[tuple[str, int], Program]) -> dict[tuple[str, int], list[int]]:
    """Check each message against what was published, and the order; returns the numbers by publisher."""
    received: dict[tuple[str, int], list[int]] = defaultdict(list)
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


def _check_expected(
    world: World, reader: Reader, publisher: Program, expected: list[tuple[int, bytes]], received: list[int]
) -> set[int]:
    """Return what is missing and is to be accounted for as lost; raise Broken for what can't be."""
    got = set(received)
    last = received[-1] if received else -1
    # Who ends a subscription, or dies, does not get what was under way; a publisher that dies takes it along.
    tail_excused = not (reader.open and reader.program.endpoint.alive and publisher.endpoint.alive)
    link = publisher.link_to(reader.program) if publisher.endpoint.alive else None
    lacking = set()
    for number, session in expected:
        if number in got or (tail_excused and number > last):
            continue
        if session == b"own" or (link is not None and link.session == session):
            raise Broken(
                f"{reader.program.name} {reader.prefix!r} never got {number} of "
                f"{publisher.name}, though their session never ended"
            )
        lacking.add(number)
    del world
    return lacking
