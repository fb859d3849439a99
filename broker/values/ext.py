"""The leaves that msgpack does not have, as ext types: codes and payloads, both ways.

The table is in DESIGN.md beside this file; all numbers are big-endian.  The containers among the ext types (tuple,
set, frozenset) hold packed values and are in lowering.py and decoding.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final
from uuid import UUID

from broker.errors import Malformed
from broker.values.timestamps import Timestamp
from broker.values.types import PROTOCOLS, Count, EnumValue, Port

__all__ = [
    "CONTAINER_CODES",
    "FROZENSET",
    "LEAF_DECODERS",
    "SET",
    "TIMESTAMP",
    "TUPLE",
    "pack_timedelta",
    "pack_timestamp",
    "unpack_timestamp",
]

# The codes are for ever: a new type takes the next free one.
TUPLE: Final = 1
SET: Final = 2
FROZENSET: Final = 3
TIMESTAMP: Final = 4
TIMEDELTA: Final = 5
IPV4_ADDRESS: Final = 6
IPV6_ADDRESS: Final = 7
IPV4_NETWORK: Final = 8
IPV6_NETWORK: Final = 9
UUID_CODE: Final = 10
PORT: Final = 11
ENUM_VALUE: Final = 12
COUNT: Final = 13

CONTAINER_CODES: Final = frozenset({TUPLE, SET, FROZENSET})
"""The ext types whose payload is a packed array of values."""

_SECONDS_32 = struct.Struct(">I")
_NANOSECONDS_30_SECONDS_34 = struct.Struct(">Q")
_FRACTION_SECONDS = struct.Struct(">Iq")
_PORT = struct.Struct(">HB")
_COUNT = struct.Struct(">Q")
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)

# Decoded leaves are immutable, and a stream names the same addresses and ports again and again: making an
# IPv4Address costs ten times a look-up.  4096 keeps a busy network's names for about a megabyte.
_cached = lru_cache(maxsize=4096)


def pack_timestamp(nanoseconds: int) -> bytes:
    """Nanoseconds since 1970 as the payload of msgpack's own timestamp type: its 4, 8 or 12 bytes, the fewest."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    if not 0 <= seconds < 2**34:
        return _FRACTION_SECONDS.pack(fraction, seconds)
    if fraction or seconds >= 2**32:
        return _NANOSECONDS_30_SECONDS_34.pack(fraction << 34 | seconds)
    return _SECONDS_32.pack(seconds)


def unpack_timestamp(payload: bytes) -> int:
    """Nanoseconds since 1970 from what :func:`pack_timestamp` makes.  Raises Malformed."""
    match len(payload):
        case 4:
            fraction, seconds = 0, _SECONDS_32.unpack(payload)[0]
        case 8:
            both = _NANOSECONDS_30_SECONDS_34.unpack(payload)[0]
            fraction, seconds = both >> 34, both & 0x3_FFFF_FFFF
        case 12:
            fraction, seconds = _FRACTION_SECONDS.unpack(payload)
        case size:
            raise Malformed(f"a timestamp has 4, 8 or 12 bytes, not {size}")
    if fraction > 999_999_999:
        raise Malformed(f"a timestamp with {fraction} nanoseconds in its second")
    return int(seconds) * 1_000_000_000 + int(fraction)


def pack_timedelta(span: timedelta) -> bytes:
    """A span as microseconds in its second (u32) and whole seconds (i64)."""
    seconds, rest = divmod(span, _SECOND)
    return _FRACTION_SECONDS.pack(rest // _MICROSECOND, seconds)


def _timedelta(payload: bytes) -> timedelta:
    fraction, seconds = _FRACTION_SECONDS.unpack(payload)
    if fraction > 999_999:
        raise Malformed(f"a timedelta with {fraction} microseconds in its second")
    return timedelta(seconds=seconds, microseconds=fraction)


@_cached
def _address4(payload: bytes) -> IPv4Address:
    return IPv4Address(payload)


@_cached
def _address6(payload: bytes) -> IPv6Address:
    return IPv6Address(payload)


@_cached
def _network4(payload: bytes) -> IPv4Network:
    if len(payload) != 5:
        raise Malformed(f"an IPv4 network has 5 bytes, not {len(payload)}")
    return IPv4Network((payload[:4], payload[4]))


@_cached
def _network6(payload: bytes) -> IPv6Network:
    if len(payload) != 17:
        raise Malformed(f"an IPv6 network has 17 bytes, not {len(payload)}")
    return IPv6Network((payload[:16], payload[16]))


@_cached
def _port(payload: bytes) -> Port:
    number, protocol = _PORT.unpack(payload)
    return Port(number, PROTOCOLS[protocol])


@_cached
def _enum_value(payload: bytes) -> EnumValue:
    return EnumValue(payload.decode())


LEAF_DECODERS: Final[dict[int, Callable[[bytes], Any]]] = {
    TIMESTAMP: lambda payload: Timestamp.from_ns(unpack_timestamp(payload)),
    TIMEDELTA: _timedelta,
    IPV4_ADDRESS: _address4,
    IPV6_ADDRESS: _address6,
    IPV4_NETWORK: _network4,
    IPV6_NETWORK: _network6,
    UUID_CODE: lambda payload: UUID(bytes=payload),
    PORT: _port,
    ENUM_VALUE: _enum_value,
    COUNT: lambda payload: Count(_COUNT.unpack(payload)[0]),
}
"""From ext code to the function that makes the value of a payload.

They raise Malformed, ValueError, OverflowError, IndexError or struct.error for a payload that is none.
"""
