"""Inputs of any size that are shaped to hurt: they must take time that grows as they do."""

from __future__ import annotations

import sys
from collections.abc import Callable

from broker.protocol import frames
from broker.protocol.frames import Batch, InterestUpdate, LostEvents, Sync

__all__ = ["SHAPES"]


def array(count: int, element: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + element * count


def numbered(count: int, head: bytes, size: int, tail: bytes = b"") -> bytes:
    return b"".join(head + number.to_bytes(size, "big") + tail for number in range(count))


def ext(code: int, payload: bytes) -> bytes:
    return b"\xc9" + len(payload).to_bytes(4, "big") + bytes((code,)) + payload


def wrapped(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = ext(1, b"\x91" + data)
    return data


def uuids(count: int) -> bytes:
    return b"".join(b"\xd8\x0a" + (number * sys.hash_info.modulus).to_bytes(16, "big") for number in range(count))


def kind(cls: type, payload: bytes) -> bytes:
    return bytes((frames._PAYLOADS.index(cls),)) + payload


_FINE = bytes.fromhex("d7ff0000000400000001")
_ID = b"\xc4\x10" + bytes(16)

# The target, and what makes an input of about so many bytes for it.
SHAPES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "small arrays": ("values", lambda size: array(size // 2, b"\x91\x00")),
    "small maps": ("values", lambda size: array(size // 3, b"\x81\xc0\xc0")),
    "nested arrays": ("values", lambda size: array(size // 70, b"\x91" * 69 + b"\x90")),
    "too deep": ("values", lambda size: b"\x91" * size),
    "a map": (
        "values",
        lambda size: b"\xdf" + (size // 6).to_bytes(4, "big") + numbered(size // 6, b"\xce", 4, b"\xc0"),
    ),
    "a map of tuples": (
        "values",
        lambda size: b"\xdf" + (size // 7).to_bytes(4, "big") + numbered(size // 7, b"\x91\xce", 4, b"\xc0"),
    ),
    "one hash": ("values", lambda size: ext(2, array(size // 18, b"")[:5] + uuids(size // 18))),
    "small sets": ("values", lambda size: array(size // 6, b"\xc7\x03\x02\x92\x01\x02")),
    "tuples around text": ("values", lambda size: wrapped(b"\xc6" + size.to_bytes(4, "big") + bytes(size), 60)),
    "tuples around tuples": ("values", lambda size: wrapped(array(size // 4, b"\xd5\x01\x91\xc0"), 40)),
    "fine timestamps": ("values", lambda size: array(size // 10, _FINE)),
    "lookalikes of timestamps": ("values", lambda size: array(size // 12, b"\xc4\x0a" + _FINE)),
    "a lookalike and rows": ("values", lambda size: b"\x92\xc4\x0a" + _FINE + array(size // 3, b"\x92\x00\x01")),
    "bytes that look like headers": (
        "values",
        lambda size: b"\xc6" + size.to_bytes(4, "big") + b"\x81\xdf" * (size // 2),
    ),
    "events of nothing": ("events", lambda size: b"\x03\xff" + array(size // 2, b"\x91\x01")),
    "events that do not fit": ("events", lambda size: b"\x00\xff" + array(size // 3, b"\x92\x01\xc3")),
    "runs": ("frames", lambda size: kind(Batch, b"\x91" + array(size // 9, b"\x95\x91\xa0\xa0\x01\xc4\x00\xc4\x00"))),
    "interests": (
        "frames",
        lambda size: kind(
            InterestUpdate, b"\x96" + _ID + b"\x00\x01\xc3" + array(size // 3, b"\x92\xa0\xc0") + b"\x90"
        ),
    ),
    "interests with what is no predicate": (
        "frames",
        lambda size: kind(
            InterestUpdate, b"\x96" + _ID + b"\x00\x01\xc3" + array(size // 5, b"\x93\xa0\xc0\x91\xc0") + b"\x90"
        ),
    ),
    "known": ("frames", lambda size: kind(Sync, b"\x92\xc3" + array(size // 21, b"\x93" + _ID + b"\x00\x00"))),
    "lost": ("frames", lambda size: kind(LostEvents, b"\x91" + array(size // 4, b"\x93\xa0\xa0\x01"))),
    "an address": ("header", lambda size: bytes(20) + bytes(16) + (size // 28).to_bytes(2, "big") + bytes(size)),
    "operations": ("operations", lambda size: b"\x93\x01\xa0" + array(size // 2, b"\x91\x02")),
    "commands": (
        "commands",
        lambda size: (
            b"\x94\xa1s"
            + _ID
            + b"\x01\x91\x94\x01\x00\x00"
            + array(min(size // 7, 9999), b"\x93\x00\xc4\x01\x01\xc4\x01")[:-1]
        ),
    ),
    "a chunk's rows": (
        "chunks",
        lambda size: (
            (1).to_bytes(8, "big") + (size // 2).to_bytes(4, "big") + bytes(28) + array(size // 2, b"\x91\x01")
        ),
    ),
    "keys that stand twice": (
        "json",
        lambda size: b"{" + b",".join(b'"%d":1' % n for n in range(size // 10)) + b',"%d":1}' % (size // 10 - 1),
    ),
    "brackets": ("json", lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    "some brackets": ("json", lambda size: b"[" * min(size, 400) + b"]" * min(size, 400)),
    "tags": ("json", lambda size: b'{"$tuple":[' * min(size // 40, 400) + b"]}" * min(size // 40, 400)),
    "digits": ("json", lambda size: b"9" * size),
    "small lists": ("json", lambda size: b"[" + b",".join([b"[1]"] * (size // 4)) + b"]"),
    "separators": ("tsv", lambda size: b"vector[vector[str]]\n" + b"," * size),
    "escapes": ("tsv", lambda size: b"str\n" + b"\\x41" * (size // 4)),
    "slashes": ("names", lambda size: b"/" * size),
    "an address's digits": ("names", lambda size: b"tcp://h:" + b"1" * size),
}
