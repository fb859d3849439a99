"""From values to what msgpack packs: exact types in, plain msgpack out, or NotCarried with the path.

Types are checked exactly: an ``IntEnum`` or a ``str`` subclass would arrive as a bare ``int`` or ``str``, and what
comes back must be of the same type.  Scalars cost one dict look-up and one call.  A flat container of plain scalars
is recognised by the set of its elements' types, in C, and passed on as it is.

What is wrong with a value, and the path to it, comes up as a :class:`broker.values.refusals.Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain
from typing import Any, Final
from uuid import UUID

from msgpack import ExtType, Packer

from broker.errors import NotCarried
from broker.values import ext
from broker.values.decoding import fits_frugally
from broker.values.limits import DEFAULT_LIMITS, Limits
from broker.values.refusals import Refusal, brief, refusal_of
from broker.values.scanning import MEMORY_PER_BYTE_MAX, TooMuchMemory, measure
from broker.values.timestamps import Timestamp
from broker.values.types import COUNT_MAX, PROTOCOLS, Count, EnumValue, Port

__all__ = ["SMALL_BYTES", "check_memory", "lower", "pack", "packer"]

_INT_MIN = -(2**63)

SMALL_BYTES: Final = DEFAULT_LIMITS.max_memory // (MEMORY_PER_BYTE_MAX - DEFAULT_LIMITS.memory_per_byte)
"""So many packed bytes, and fewer, take less memory than a receiver grants, whatever they are."""
_AS_THEY_ARE = frozenset({type(None), bool, float})


class _Walk:
    """One value being lowered: its limits and how many elements it may still have."""

    __slots__ = ("elements_left", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.elements_left = limits.max_elements

    def enter(self, elements: int, depth: int) -> None:
        """Account for a container of so many elements at that depth (the outermost is at 1)."""
        if depth > self.limits.max_depth:
            raise Refusal(f"nested deeper than {self.limits.max_depth} containers, or contains itself")
        self.elements_left -= elements
        if self.elements_left < 0:
            raise Refusal(f"more than {self.limits.max_elements} elements in one value: send it in parts")


def lower(value: Any, path: str = "", limits: Limits = DEFAULT_LIMITS) -> Any:
    """Check ``value`` and give what :func:`packer`'s packers pack for it.

    The result may be ``value`` itself or hold parts of it: pack it before anything can change them.  ``path`` is
    where the value sits in what the caller was given, for the error's text.  The size in bytes is checked by
    :func:`pack` alone; here, only that no single ``str`` or ``bytes`` passes it.

    Raises NotCarried, with the path to the offending part (``.mounts[3]['size']``).
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    try:
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(value, limits)
        return _lower_container(value, 1, _Walk(limits))
    except Refusal as refusal:
        raise NotCarried(refusal.reason, path + "".join(reversed(refusal.steps))) from None


def pack(value: Any) -> bytes:
    """The bytes of a value.  Raises NotCarried, with the path to the part that is not carried or too large."""
    data: bytes = packer().pack(lower(value))
    if len(data) > SMALL_BYTES:
        if len(data) > DEFAULT_LIMITS.max_bytes:
            raise NotCarried(f"{len(data)} bytes packed, more than {DEFAULT_LIMITS.max_bytes}: send it in parts")
        check_memory(data)
    return data


def check_memory(data: bytes, path: str = "") -> None:
    """Raise NotCarried if what was packed would take more memory at a receiver than is granted there.

    Nothing up to :data:`SMALL_BYTES` does, so ask only for what is longer: it costs about as much as to decode it.
    """
    if fits_frugally(data, DEFAULT_LIMITS.max_memory):
        return
    # The values inside were within their limits; what is packed around them adds to these, as receivers expect.
    granted = DEFAULT_LIMITS.max_memory + DEFAULT_LIMITS.memory_per_byte * len(data)
    try:
        measure(data, DEFAULT_LIMITS.max_depth_received, DEFAULT_LIMITS.max_elements_received, granted)
    except TooMuchMemory:
        raise NotCarried(
            f"{len(data)} bytes packed, which would take a receiver more than {granted} bytes of memory, "
            "because they are many small containers: send it in parts, or the containers packed into bytes",
            path,
        ) from None


def packer(*, autoreset: bool = True) -> Packer:
    """A packer for what :func:`lower` returns (and for nothing else: it does not check).

    With ``autoreset=False`` it gathers what it packs until its ``reset()``.
    """
    return Packer(autoreset=autoreset, use_bin_type=True, strict_types=True, datetime=True)


# --- scalars -----------------------------------------------------------------------------------------------------


def _plain(value: Any, _limits: Limits) -> Any:
    return value


def _int(value: int, _limits: Limits) -> int:
    if _INT_MIN <= value <= COUNT_MAX:
        return value
    raise Refusal("an int outside -2**63 to 2**64 - 1: send it as str or bytes")


def _str(value: str, limits: Limits) -> str:
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise Refusal(
                f"a str with a lone surrogate (at {error.start}), which is not Unicode text: "
                "send os.fsencode() of it, as bytes, if it is a file's name"
            ) from None
    if size > limits.max_bytes:
        raise Refusal(f"a str of {size} bytes, more than {limits.max_bytes}: send it in parts")
    return value


def _bytes(value: bytes, limits: Limits) -> bytes:
    if len(value) > limits.max_bytes:
        raise Refusal(f"{len(value)} bytes, more than {limits.max_bytes}: send them in parts")
    return value


def _datetime(value: datetime, _limits: Limits) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise Refusal(
            "a naive datetime, which names no instant: give it a time zone, "
            "as datetime.now(UTC) and value.astimezone() do"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise Refusal("a datetime outside the years 1 to 9999 in UTC") from None


def _address6(value: IPv6Address, _limits: Limits) -> ExtType:
    if value.scope_id is not None:
        raise Refusal(
            f"an IPv6 address with a scope (%{value.scope_id}), which means nothing on another machine: "
            "send the address without it"
        )
    return ExtType(ext.IPV6_ADDRESS, value.packed)


def _network6(value: IPv6Network, _limits: Limits) -> ExtType:
    if value.network_address.scope_id is not None:
        raise Refusal("an IPv6 network with a scope, which means nothing on another machine: send it without")
    return ExtType(ext.IPV6_NETWORK, value.network_address.packed + bytes((value.prefixlen,)))


_SCALARS: dict[type, Callable[[Any, Limits], Any]] = {
    str: _str,
    int: _int,
    float: _plain,
    bool: _plain,
    type(None): _plain,
    bytes: _bytes,
    datetime: _datetime,
    Timestamp: lambda value, _: ExtType(ext.TIMESTAMP, ext.pack_timestamp(value.nanoseconds)),
    timedelta: lambda value, _: ExtType(ext.TIMEDELTA, ext.pack_timedelta(value)),
    IPv4Address: lambda value, _: ExtType(ext.IPV4_ADDRESS, value.packed),
    IPv6Address: _address6,
    IPv4Network: lambda value, _: ExtType(ext.IPV4_NETWORK, value.network_address.packed + bytes((value.prefixlen,))),
    IPv6Network: _network6,
    UUID: lambda value, _: ExtType(ext.UUID_CODE, value.bytes),
    Port: lambda value, _: ExtType(
        ext.PORT, value.number.to_bytes(2, "big") + bytes((PROTOCOLS.index(value.protocol),))
    ),
    EnumValue: lambda value, _: ExtType(ext.ENUM_VALUE, value.name.encode()),
    Count: lambda value, _: ExtType(ext.COUNT, value.to_bytes(8, "big")),
}


# --- containers --------------------------------------------------------------------------------------------------


def _list(value: list[Any], depth: int, walk: _Walk) -> list[Any]:
    walk.enter(len(value), depth)
    return value if _all_plain(value, walk.limits) else _elements(value, depth, walk)


def _tuple(value: tuple[Any, ...], depth: int, walk: _Walk) -> ExtType:
    walk.enter(len(value), depth)
    return ExtType(ext.TUPLE, packer().pack(_elements(value, depth, walk)))


def _set(value: set[Any], depth: int, walk: _Walk) -> ExtType:
    return ExtType(ext.SET, _members(value, depth, walk))


def _frozenset(value: frozenset[Any], depth: int, walk: _Walk) -> ExtType:
    return ExtType(ext.FROZENSET, _members(value, depth, walk))


def _members(value: set[Any] | frozenset[Any], depth: int, walk: _Walk) -> bytes:
    """A packed array of the members, ordered by their bytes: equal sets give equal bytes in every process."""
    walk.enter(len(value), depth)
    pack_one = packer().pack
    members = []
    for member in value:
        try:
            members.append(pack_one(_any(member, depth + 1, walk)))
        except Refusal as refusal:
            refusal.steps.append("{" + brief(member) + "}")
            raise
    members.sort()
    if len(set(members)) != len(members):
        raise Refusal("two members with the same bytes, such as NaN twice")
    header: bytes = packer().pack_array_header(len(members))
    return header + b"".join(members)


def _dict(value: dict[Any, Any], depth: int, walk: _Walk) -> dict[Any, Any]:
    walk.enter(2 * len(value), depth)
    if _all_plain(value, walk.limits) and _all_plain(value.values(), walk.limits):
        return value
    lowered = {}
    for key, item in value.items():
        try:
            low_key = _any(key, depth + 1, walk)
        except Refusal as refusal:
            refusal.steps.append(".keys(){" + brief(key) + "}")
            raise
        try:
            lowered[low_key] = _any(item, depth + 1, walk)
        except Refusal as refusal:
            refusal.steps.append(f"[{brief(key)}]")
            raise
    if len(lowered) != len(value):
        raise Refusal("two keys with the same bytes, such as tuples that hold NaN")
    return lowered


_CONTAINERS: dict[type, Callable[[Any, int, _Walk], Any]] = {
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
}


def _elements(value: Iterable[Any], depth: int, walk: _Walk) -> list[Any]:
    lowered: list[Any] = []
    try:
        for element in value:
            lowered.append(_any(element, depth + 1, walk))  # noqa: PERF401 - its length is the index in the path
    except Refusal as refusal:
        refusal.steps.append(f"[{len(lowered)}]")
        raise
    return lowered


def _any(value: Any, depth: int, walk: _Walk) -> Any:
    scalar = _SCALARS.get(type(value))
    return scalar(value, walk.limits) if scalar is not None else _lower_container(value, depth, walk)


def _lower_container(value: Any, depth: int, walk: _Walk) -> Any:
    container = _CONTAINERS.get(type(value))
    if container is None:
        raise refusal_of(value, chain(_SCALARS, _CONTAINERS))
    return container(value, depth, walk)


def _all_plain(values: Collection[Any], limits: Limits) -> bool:
    """Whether all are scalars that msgpack packs as they are, told without a Python call for each."""
    kinds = set(map(type, values))
    if kinds <= _AS_THEY_ARE:
        return True
    if len(kinds) > 1:
        return False
    if str in kinds:
        return all(map(str.isascii, values)) and bool(max(map(len, values)) <= limits.max_bytes)
    return int in kinds and bool(min(values) >= _INT_MIN and max(values) <= COUNT_MAX)
