"""What has to hold between operations, and when nothing is wrong any more."""

from __future__ import annotations

from logged_world import LoggedWorld, WriterLife
from simulated_world import Broken

from broker.status import RecordsDropped, RecordsLost

__all__ = ["check", "check_counts", "unsettled"]


def check(world: LoggedWorld) -> None:
    """Check what has to hold always."""
    world.note_trouble()
    for life in world.all_writers():
        _check_writer(life)
    for reader in world.all_readers():
        reader.check_written_down()


def _check_writer(life: WriterLife) -> None:
    machine, spool = life.handle.machine, life.spool
    if life.handle.durable > spool.tip:
        raise Broken(f"{life} says that {life.handle.durable} are on the disk, {spool.tip} are")
    options = machine.options
    if not options.drop_oldest and machine.pending_bytes + machine.journal.log_bytes > options.limit_bytes + 5000:
        raise Broken(f"{life} has {machine.journal.log_bytes} bytes and {machine.pending_bytes} to come")
    for name, group in machine.groups.items():
        held = [one for ranges in group.held.values() for one in ranges]
        numbers = sum(last - first + 1 for first, last in held)
        if numbers + group.done.count != group.taken.count:
            raise Broken(f"{life}: of {name} {group.held} are held, {group.done} done, and {group.taken} taken")


def unsettled(world: LoggedWorld) -> list[str]:
    """Say what is not yet as it should be when nothing is wrong."""
    found = [*world._unlinked(), *world._unseen()]
    for life in world.all_writers():
        found += _unsettled_writer(life)
    alive = {life.spool.journal for life in world.all_writers()}
    for reader in world.all_readers():
        if not reader.handle.settled:
            found.append(f"{reader} waits for word of what it has acknowledged")
        if reader.hands:
            found.append(f"{reader} has {len(reader.hands)} records in hand")
        for lag in reader.handle.lag():
            if lag.journal in alive and lag.behind and not reader.books.passing:
                found.append(f"{reader} is {lag.behind} behind at {lag.writer}")
            if lag.journal in alive and not lag.reachable:
                found.append(f"{reader} does not reach {lag.writer}")
        if reader.handle.machine.refused:
            found.append(f"{reader} is refused: {reader.handle.machine.refused}")
    return found


def _unsettled_writer(life: WriterLife) -> list[str]:
    handle, spool = life.handle, life.spool
    found = []
    if handle.durable != handle.last or not handle.idle or handle.machine.failing:
        found.append(f"{life} has {handle.durable} of {handle.last} on its disk")
    for name, registration in spool.names.items():
        if registration.floor != handle.last:
            found.append(f"{name} has {registration.floor} of {handle.last} of {life}")
    if set(spool.names) != set(handle.collectors):
        found.append(f"{life} has {sorted(handle.collectors)}, its spool {sorted(spool.names)}")
    if spool.names and not life.role.options.get("keep_bytes") and handle.oldest != handle.last + 1:
        found.append(f"{life} keeps {handle.oldest} to {handle.last}")
    return found


def check_counts(world: LoggedWorld) -> None:
    """Check that what was lost is counted alike everywhere, once all has settled."""
    for life in world.all_writers():
        told = sum(
            status.count
            for status in life.program.endpoint.status
            if type(status) is RecordsDropped and status.stream == life.role.stream
        )
        if life.first_of_program and told != life.handle.dropped - life.dropped_before:
            raise Broken(f"{life} has dropped {life.handle.dropped - life.dropped_before}, and told of {told}")
        for name, registration in life.spool.names.items():
            if life.handle.lost(name) != registration.lost:
                raise Broken(f"{life}: {name} lost {life.handle.lost(name)}, on disk it is {registration.lost}")
    for program in world.now_alive.values():
        readers = world.readers_of[program]
        told = sum(status.count for status in program.endpoint.status if type(status) is RecordsLost)
        heard = sum(reader.lost_before for reader in readers)
        if told != heard and not world.left[program]:
            raise Broken(f"{program.name} was told of {told} lost records, and its programs of {heard}")
    _check_lost_before(world)


def _check_lost_before(world: LoggedWorld) -> None:
    """Check that members were told of each loss once, where nothing died or left that may have been told."""
    if not world.gentle or world.counts["writer ended"]:
        return
    for books in world.books.values():
        if books.passing or any(reader.ended_at < float("inf") for reader in books.readers):
            continue
        names = [
            spool.names[books.name]
            for spool in world.spools.values()
            if spool.stream == books.stream and books.name in spool.names
        ]
        lost = sum(registration.lost for registration in names)
        if books.lost_before != lost:
            raise Broken(f"{books} lost {lost}, and its members were told of {books.lost_before}")
