"""Makes the corpus from real traffic: what endpoints of simulated lives say, and what programs write.

``python tests/fuzz/make_corpus.py`` writes ``corpus/TARGET/seed-DIGEST``; what a fuzzer found (``crash-DIGEST``) stays.
The seeds are few of each kind, chosen for what they differ in: a few hundred kilobytes altogether.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import fuzz_node
import fuzz_targets
from fuzz_node import ANEW, CUT, RAW, READ, STRANGER, TIME, WORK, World, step

import broker
from broker import events
from broker.journal.facts import Identity, State
from broker.journaling import Position
from broker.logs import checkpoints, chunks, spool
from broker.logs import wire as log_wire
from broker.protocol import frames
from broker.protocol.frames import HEADER_BYTES, ROUTED, Kind
from broker.stores import wire as store_wire
from broker.stores.wire import StoreKind
from broker.testing.fabric import Fabric, Port
from broker.trust.keys import SecretKey
from broker.values import pack

CORPUS = Path(__file__).parent / "corpus"
_OF_A_KIND = 12
_SEED_BYTES_MAX = 4096

_MESH: dict[int, type[Any]] = {
    Kind.WELCOME: frames.Welcome,
    Kind.REFUSE: frames.Refusal,
    Kind.BYE: frames.Refusal,
    Kind.SYNC: frames.Sync,
    Kind.MEMBER: frames.MemberUpdate,
    Kind.INTERESTS: frames.InterestUpdate,
    Kind.LEARNED: frames.Learned,
    Kind.REPORT: frames.Report,
    Kind.DENIED: frames.Denied,
    Kind.PROBE: frames.Probe,
    Kind.LOST: frames.LostEvents,
    Kind.EVENTS: frames.Batch,
}


def live() -> tuple[list[bytes], list[bytes]]:
    """Return all frames of a life with faults, and those of the hostile endpoint alone."""
    said: list[bytes] = []
    theirs: list[bytes] = []
    send = Fabric.send

    def noted(self: Fabric, port: Port, number: int, frame: bytes) -> None:
        said.append(frame)
        if getattr(port, "name", "") == "hostile":
            theirs.append(frame)
        send(self, port, number, frame)

    Fabric.send = noted  # type: ignore[method-assign]
    try:
        world = World()
        store, theirs_store = world.store, world.replica
        for number in range(12):
            world.take(WORK, 31, b"")
            store.put(f"key-{number}", VALUES[number % len(VALUES)], expires_in=number % 3)
            theirs_store.put(number, {"by": "clone"})
            store.increment("count", 1)
            if number == 5:
                world.take(CUT, 0, b"")
        world.cluster.run(3.0)
        store.erase("key-1")
        world.hostile.clone("theirs too")
        world.cluster.run(3.0)
        world.hostile.close()
        world.cluster.run(1.0)
    finally:
        Fabric.send = send  # type: ignore[method-assign]
    return said, theirs


VALUES: list[Any] = [
    {"up": True, "load": 1.5, "names": ["a", "b"]},
    [1, -1, 127, 128, -129, 2**32, 2**63, -(2**63), 0.5, None, True, b"bytes", "text", "\N{SNOWMAN}"],
    (1, ("nested", (2, 3)), {"in": (4,)}),
    {1, 2, 3},
    frozenset({"a", ("b", 1)}),
    {(1, "a"): [{}], frozenset({1}): [[]], b"k": None},
    [datetime(2026, 1, 1, tzinfo=UTC), broker.Timestamp.from_ns(1_767_225_600_000_000_001), timedelta(days=-1)],
    [ip_address("10.0.0.1"), ip_address("fe80::1"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")],
    [UUID(int=7), broker.Port(53, "udp"), broker.EnumValue("Notice::LOG"), broker.Count(2**64 - 1)],
    [[[[[[[[[[1]]]]]]]]]],
    {"x" * 40: "y" * 300, "n": [0.1 * n for n in range(20)]},
    [[n, f"host-{n}", 1.5 * n, {"a": n}] for n in range(30)],
]

LINES = [
    '{"topic": "host/web-01", "event": "Up", "args": ["web-01", 1.5, null, true, [1, 2], {"a": {"$port": "53/udp"}}]}',
    '{"topic": "t", "event": "E", "fields": {"at": {"$datetime": "2026-01-01T12:00:00+00:00"}, "n": {"$count": 7}}}',
    '[{"$set": [1, 2]}, {"$frozenset": ["a"]}, {"$dict": [[{"$tuple": [1]}, 2]]}, {"$bytes": "AAEC"}]',
    '[{"$timestamp": "2026-01-01T12:00:00.123456789+00:00"}, {"$timedelta": "-1.5"}, {"$float": "nan"}]',
    '[{"$address": "10.0.0.1"}, {"$network": "10.0.0.0/8"}, {"$uuid": "00000000-0000-0000-0000-000000000007"}]',
    '[{"$enum": "Notice::LOG"}, {"$float": "-inf"}, 1e300, -0.0, 12345678901234567890, "\\ud83d\\udc0d"]',
    '{"key": "web-01", "value": {"up": true}, "expires": "2026-01-01T12:00:00+00:00"}',
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
]


def frames_by_target(said: list[bytes]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {"frames": [], "hello": [], "header": [], "stores": [], "logs": []}
    found |= {"commands": [], "operations": [], "events": [], "values": [], "chunks": []}
    stores = {int(kind): getattr(store_wire, _class_name(kind.name)) for kind in StoreKind if kind.name != "SNAPSHOT"}
    stores[StoreKind.SNAPSHOT] = store_wire.Chunk
    logs = {int(kind): getattr(log_wire, _class_name(kind.name)) for kind in log_wire.LogKind}
    for frame in said:
        kind, payload = frame[0], frame[HEADER_BYTES:]
        if kind >= ROUTED:
            found["header"].append(frame)
            payload = payload[18 + 28 * int.from_bytes(payload[16:18], "big") :]
        if kind == Kind.HELLO:
            found["hello"].append(payload)
        elif kind in _MESH:
            found["frames"].append(bytes((frames._PAYLOADS.index(_MESH[kind]),)) + payload)
            if kind == Kind.EVENTS:
                found["values"] += [run.body for run in frames.decode(frames.Batch, payload).runs]
        elif kind in stores:
            found["stores"].append(bytes((store_wire._PAYLOADS.index(stores[kind]),)) + payload)
            if kind == StoreKind.COMMANDS:
                found["commands"].append(payload)
            if kind == StoreKind.OPERATIONS:
                found["operations"] += store_wire.decode(store_wire.Operations, payload).bodies
        elif kind in logs:
            found["logs"].append(bytes((log_wire._PAYLOADS.index(logs[kind]),)) + payload)
            if kind == log_wire.LogKind.RECORDS:
                found["chunks"] += [piece.chunk[4:] for piece in log_wire.decode(log_wire.Records, payload).pieces]
    return found


def _class_name(kind: str) -> str:
    return "".join(part.title() for part in kind.split("_"))


def made() -> dict[str, list[bytes]]:
    """Return the seeds that programs write rather than say."""
    mounts = fuzz_targets.Mount("/", 1, [fuzz_targets.Mount("/boot")])
    some = [
        fuzz_targets.Scalars("web-01", 1.5, 7, True, b"data", None),
        fuzz_targets.Rich(
            ["a"], {"b": 1.0}, {(1, "c")}, fuzz_targets.Mode.FAST, "low", mounts, fuzz_targets.Circle(1.0), None, [1]
        ),
        fuzz_targets.Checked(7, broker.Timestamp.from_ns(1), broker.Port(53, "udp"), frozenset()),
        events.Event("fuzz.unheard.of", (1, "two", [3.0])),
    ]
    runs = [bytes((at, 1)) + b"\x91" + events.encode(event, 1 << 60)[1] for at, event in enumerate(some)]
    runs += [bytes((at, 3)) + b"\x93" + 3 * events.encode(event, 1)[1] for at, event in enumerate(some)]
    row = events.encode(some[0], 1 << 60)[1]
    chunk = chunks.pack_chunk(1, 1 << 60, bytes(8), 1, bytes(8), [row, row])[4:]
    claim = log_wire.Claim(1, bytes(8), ((1, 5), (9, 9)), ((1, 4),))
    identity = Identity("store", "hosts", "master", ("entries", "log"), "0.9.33")
    state = State.at(Position(bytes(16), 1, 2, bytes(8)))
    values = [pack(value) for value in VALUES]
    fine = bytes.fromhex("d7ff0000000400000001")
    return {
        "values": [*values, fine, b"\x92" + fine + b"\xc4\x0a" + fine, b"\x91" * 70 + b"\x90"],
        "events": runs,
        "rows": [*values[:6], bytes(9) + values[0], b"\x01" + bytes(8) + values[1]],
        "chunks": [chunk],
        "checkpoints": [checkpoints.pack_checkpoint(bytes(16), [(bytes(16), (claim, claim))])],
        "spool": [
            b"\x00" + log_wire.encode(spool.Cursor(4, ((6, 7),), (spool.Holder(bytes(16), "a", bytes(16)),), 1, b"")),
            b"\x01" + log_wire.encode(spool.Epoch(1, bytes(8), 1 << 60)),
            b"\x02" + log_wire.encode(spool.State(9, 1 << 60, 2)),
        ],
        "facts": [identity.packed()[4:], state.packed()[4:], bytes(30) + b"value"],
        "head": [head()],
        "json": [line.encode() for line in LINES],
        "json_value": [
            f"{type_} {form}".encode()
            for type_, form in [
                ("int", "1"),
                ("map[str,int]?", '{"a": 1}'),
                ("vector[time]", '[{"$timestamp": "2026-01-01T12:00:00+00:00"}, 1767225600.5]'),
                ("set[addr]", '["10.0.0.1"]'),
                ("port", '"53/udp"'),
                ("any", '{"$tuple": [1]}'),
                ("interval", "1.5"),
            ]
        ],
        "tsv": [
            b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\nset[str]\na,b\\x2c,c",
            b"time\n1767225600.123456789",
            b"interval\n1.5",
            b"vector[int]?\n1,2,3",
            b"bytes\n\\x00\\xff",
            b"port\n53/udp",
            b"addr\n10.0.0.1",
        ],
        "names": [
            b"tcp://[::1]:7000",
            b"tcp://*:0",
            b"ipc:///tmp/x",
            b"inproc://x",
            b"host//web/" + "é".encode(),
            b"tcp://h:65536",
        ],
        "keys": [str(SecretKey(bytes(32)).public).encode(), SecretKey(bytes(32)).text.encode(), b"bk1", b"bks1aaaa"],
        "access": [text.encode() for text in _rules()],
    }


def _rules() -> list[str]:
    """Return access rules as texts."""
    keys = [str(SecretKey(bytes((number,)) * 32).public) for number in range(3)]
    return [
        "",
        f'[keys.a]\nkey = "{keys[0]}"\n',
        (
            f'expires = 2027-06-30T00:00:00Z\n[keys.web-01]\nkeys = ["{keys[0]}", "{keys[1]}"]\ngroups = ["agents"]\n'
            'names = ["web-*"]\naddresses = ["tcp://10.0.0.1:9999"]\nexpires = 2027-01-01T00:00:00+02:00\n'
            "revoked = false\n"
            'stores.hosts = ["read"]\n[groups.agents]\npublish = ["host/{name}/"]\nsubscribe = [""]\n'
            'stores."host*" = ["write", "master"]\nlogs.conn = ["write", "collect"]\nrelay = true\n'
        ),
        f'keys = {{a = {{key = "{keys[2]}", own = 1}}}}\n',
        "[groups.a]\npublish = ['x', 3]\n",
        "[[keys]]\n",
    ]


def head() -> bytes:
    """Return the two meta pages of a small file of LMDB, its pages cut to 256 bytes each."""
    from broker.journal import head as layout

    fields = [0xBEEFC0DE, 1, 0, 4096, 256, 0, 0, 0, 0, 0, 0, 2**64 - 1, 0, 0, 1, 0, 1, 0, 1, 3, 9, 1]
    page = bytes(layout._HEADER_BYTES) + layout._META.pack(*fields)
    return page.ljust(256, b"\0") + page.ljust(256, b"\0")


def lives(said: list[bytes], theirs: list[bytes]) -> list[bytes]:
    """Return inputs for the node."""
    first = next(frame for frame in theirs if frame[0] == Kind.HELLO)
    found = [step(WORK, place=31) + step(TIME, place=8), step(STRANGER, first), step(CUT) + step(TIME, place=44)]
    found.append(step(CUT) + step(ANEW) + step(RAW, first) + step(TIME, place=4) + step(READ))
    by_kind: dict[int, list[bytes]] = {}
    for frame in said:
        by_kind.setdefault(frame[0], []).append(frame)
    for same in by_kind.values():
        found += [fuzz_node.life_of([frame]) + step(TIME, place=2) for frame in _various(same, 3)]
    for at in range(0, min(len(theirs), 120), 12):
        found.append(fuzz_node.life_of(theirs[at : at + 12]))
        found.append(b"".join(step(RAW, frame) for frame in theirs[at : at + 6]) + step(WORK, place=3))
    return found


def _various(seeds: Iterable[bytes], count: int) -> list[bytes]:
    """Return so many of them, of as many lengths as there are."""
    ordered = sorted({seed for seed in seeds if len(seed) <= _SEED_BYTES_MAX}, key=lambda seed: (len(seed), seed))
    return (
        ordered if len(ordered) <= count else [ordered[at * (len(ordered) - 1) // (count - 1)] for at in range(count)]
    )


def main() -> None:
    """Write the corpus."""
    said, theirs = live()
    seeds = frames_by_target(said)
    for target, more in made().items():
        seeds.setdefault(target, []).extend(more)
    seeds["node"] = lives(said, theirs)
    seeds["values_again"] = seeds["values"]
    seeds["node_keys"] = seeds["node"]
    total = 0
    for target in fuzz_targets.TARGETS:
        place = CORPUS / target
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob("seed-*"):
            old.unlink()
        kinds: dict[int, list[bytes]] = {}
        for seed in seeds[target]:
            kinds.setdefault(seed[0] if target in {"frames", "stores", "logs"} else -1, []).append(seed)
        few = 60 if target in {"values", "node", "node_keys"} else _OF_A_KIND
        chosen = [seed for same in kinds.values() for seed in _various(same, few)]
        for seed in chosen:
            (place / f"seed-{hashlib.sha256(seed).hexdigest()[:12]}").write_bytes(seed)
        total += sum(map(len, chosen))
        print(f"{target:12} {len(chosen):4} seeds, {sum(map(len, chosen)):7} bytes")
    print(f"{total} bytes altogether; the frames that were said: {json.dumps(len(said))}")


if __name__ == "__main__":
    main()
