"""A partition of ninety seconds between a store's master and its clones."""

from __future__ import annotations

from itertools import pairwise

from interop_store_partition import PARTITION_S, Partition


def test_clones_cut_off_for_ninety_seconds_say_so_all_the_time_and_converge_afterwards(partition: Partition) -> None:
    partition.join()
    assert partition.lasted >= PARTITION_S
    assert all(one < other for one, other in pairwise(partition.staleness))
    assert partition.staleness[-1] > PARTITION_S - 15
    kinds = [kind for kind, _ in partition.refusals]
    assert len(kinds) > 8
    # What was sent before the loss of the link was noticed may be written, or not; what came later is surely not.
    assert set(kinds[:3]) <= {"OutcomeUnknown", "MasterUnavailable"}
    assert set(kinds[3:]) == {"MasterUnavailable"}
    assert all(3.0 <= seconds < 10.0 for _, seconds in partition.refusals)
