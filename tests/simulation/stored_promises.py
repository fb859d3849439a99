"""What is to hold of masters and clones between any two operations, and of all of them once nothing is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulated_world import Broken

from broker.status import PeerRefused, StoreFailing, StoreForked

if TYPE_CHECKING:
    from stored_world import Life, StoredWorld

__all__ = ["check", "check_life", "check_staleness", "unsettled"]

# So soon after its time an entry is gone at a master that nothing is wrong with: two commits of a busy disk, and more.
_LATE_S = 2.0


def check(world: StoredWorld) -> None:
    """Check that it holds."""
    for lives in list(world.lives_of.values()):
        for life in list(lives.values()):
            check_life(world, life)


def check_life(world: StoredWorld, life: Life) -> None:
    """Check one master or clone, while it lives and when it ends."""
    if life.jumps > len(life.told(StoreForked)):
        raise Broken(f"{life} took another history {life.jumps} times and told of {life.told(StoreForked)}")
    for status in life.program.endpoint.status:
        if type(status) is PeerRefused and status.code == "protocol":
            raise Broken(f"{life.name}: {status}")
    if life.role.master:
        _check_master(world, life)
    elif life.active:
        check_staleness(world, life)


def _check_master(world: StoredWorld, life: Life) -> None:
    lost = sum(status.lost for status in life.told(StoreFailing))
    upto = life.commits[-1][1] if life.commits else 0
    if world.books[life.role.store].lost_applied(life, upto) and not lost:
        raise Broken(f"{life} has lost what it had acknowledged as applied, and did not tell")
    machine, now = life.machine, world.cluster.now()
    if not life.active or machine.rival or machine.failing or not machine.ready or life.node is None:
        life.disturbed_at = now
    elif now > life.disturbed_at + _LATE_S:
        late = world.cluster_ns(now - _LATE_S)
        for key, item in life.node.state.items():
            if 0 < item.expiry < late:
                ago_s = (late - item.expiry) / 1e9 + _LATE_S
                raise Broken(f"{life} still has {key!r}, which was over {ago_s:.3f} s ago")


def check_staleness(world: StoredWorld, life: Life) -> None:
    """Check that a clone has all that its master had committed ``staleness`` seconds ago, whatever holds frames up."""
    master = world.master_of(life.machine)
    if master is None or not master.role.master or not master.active or not life.machine.following:
        return
    then = world.cluster.now() - life.handle.staleness
    if then < master.began:
        return
    ought = max([sequence for at, sequence in master.commits if at <= then], default=0)
    same = life.node and master.node and world.histories[life.role.store].descends(master.node, life.node)
    have = life.node.sequence if life.node is not None and same else 0
    if have < ought:
        what = f"lacks {have + 1} to {ought} of {master.name}"
        raise Broken(f"{life} says it is {life.handle.staleness:.3f} s behind, and {what}")


def unsettled(world: StoredWorld) -> list[str]:
    """Say what is not yet as it should be when nothing is wrong."""
    found = [*world._unlinked(), *world._unseen()]
    for store in world.histories:
        serving = [life for life in world.masters(store) if life.machine.rival is None]
        if len(serving) != 1:
            found.append(f"{store} is served by {[life.name for life in serving]}")
            continue
        [master] = serving
        for clone in world.clones(store):
            if clone.node is not master.node:
                found.append(f"{clone} is at {clone.node}, {master} at {master.node}")
            if clone.handle.staleness > 3.0:
                found.append(f"{clone} is {clone.handle.staleness:.1f} s behind")
        found += [
            f"request {asked.tag} of {asked.life} is not answered"
            for asked in world.books[store].asked.values()
            if not asked.answered and not asked.life.ended
        ]
    return found
