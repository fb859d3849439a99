"""The golden bytes of interests (tests/vectors/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker.errors import Malformed
from broker.protocol.frames import Interest, InterestUpdate
from broker.protocol.wishes import decode_update, encode_update

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "interests.json").read_text())


def update_of(payload: dict[str, Any]) -> InterestUpdate:
    added, removed = (
        tuple(
            Interest(
                one["prefix"],
                None if one["names"] is None else tuple(one["names"]),
                None if one["where"] is None else bytes.fromhex(one["where"]),
            )
            for one in payload[which]
        )
        for which in ("added", "removed")
    )
    origin, base, version = bytes.fromhex(payload["origin"]), int(payload["base"]), int(payload["version"])
    return InterestUpdate(origin, base, version, payload["final"], added, removed)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_golden_bytes_of_interests(vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["hex"])
    if "error" in vector:
        with pytest.raises(Malformed):
            decode_update(payload)
        return
    assert decode_update(payload)[0] == update_of(vector["payload"])
    if "only" not in vector:
        assert encode_update(update_of(vector["payload"])) == payload


def test_there_is_a_vector_of_each_kind() -> None:
    assert {frozenset(vector) - {"name", "hex"} for vector in VECTORS} == {
        frozenset({"payload"}),
        frozenset({"payload", "only"}),
        frozenset({"error"}),
    }
