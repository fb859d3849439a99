"""From bytes to values: any bytes give a value within the limits, or Malformed.

msgpack's C decoder does the work.  What it does not bound, this module does, without slowing the ordinary case (a
batch of many small arrays), where a Python call for each array would cost a quarter more:

- **Size and elements.** An element has a byte at least, so bytes no longer than the limit on elements need no count.
  Longer ones are scanned (scanning.py) before anything is made of them.
- **Memory.** What small things take (an empty dict: one byte there, 73 here) is bounded by a multiple of their bytes;
  so bytes no longer than 230 KiB, which batches seldom are, need no look.  For longer ones what may be headers is
  counted in C, and large maps and sets as they are made; only where that leaves a doubt they are scanned first.
- **Depth.** Bytes shorter than the limit cannot nest deeper, nor those with few bytes that look like the header of a
  container.  For the rest: the decoder has a stack of 1024 containers and refuses deeper ones.  Wrapped in as many
  arrays of one (``[[[...]]]``) as leave just our limit free, bytes nested deeper overflow that stack.  It costs some
  30 microseconds however long the bytes are.
- **Ext containers** (tuple, set, frozenset) hold packed values, decoded by a decoder of their own with a stack of its
  own; so each outermost one is checked first, for all that is inside it.  What is accepted is thus nested at most
  twice ``max_depth_received`` deep.
- **Maps** go through a hook, which refuses keys that Python cannot tell apart.
- **Hashes** of ints, and of what Python makes of them, are known to everybody: UUIDs and pairs of ints can be chosen to
  have all the same, and 4,000 of them took 1.6 s to become a dict.  A large map or set with such keys is refused when
  many of its keys have one hash.  Those of str and bytes are secret to each process (unless PYTHONHASHSEED is set).
- **Timestamps** of msgpack's own type are made by the decoder in C, which cuts them to microseconds.  Where bytes
  look like one with more digits, the element around them is scanned, and if it is one, its type is changed to ours,
  which keeps them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final

from msgpack import StackError, UnpackException, unpackb

from broker.errors import Malformed
from broker.values import ext
from broker.values.limits import DEFAULT_LIMITS
from broker.values.scanning import (
    ARRAY_HEADERS,
    MEMORY_PER_BYTE_MAX,
    fine_timestamps,
    fine_timestamps_perhaps,
    measure,
    with_our_timestamps,
)

__all__ = ["check_hashes", "check_received", "unpack"]

_MAX_BYTES: Final = DEFAULT_LIMITS.max_bytes_received
_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth_received
_MAX_ELEMENTS: Final = DEFAULT_LIMITS.max_elements_received
_MAX_MEMORY: Final = DEFAULT_LIMITS.max_memory_received
_MEMORY_PER_BYTE: Final = DEFAULT_LIMITS.memory_per_byte
# So few bytes take less than what is granted, whatever they are; and they have fewer elements than the limit.
_UNMEASURED_BYTES_MAX: Final = _MAX_MEMORY // (MEMORY_PER_BYTE_MAX - _MEMORY_PER_BYTE)
_TIMESTAMP_AS_DATETIME: Final = 3

# All but the first bytes of arrays and maps: what is left when these are deleted bounds how deep bytes can nest.
_NO_CONTAINER_HEADERS: Final = bytes({*range(256)} - {*range(0x80, 0xA0), *range(0xDC, 0xE0)})

# What msgpack, the hooks and the constructors of values raise for bytes that are no value.  RecursionError: the
# caller is deep in the stack already.
_MISFITS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    IndexError,
    struct.error,
    RecursionError,
    UnpackException,
)


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """The value of these bytes, which must be all of one value and nothing else.

    Lists, dicts and scalars come straight from msgpack; arrays and sets that are keys or members come as tuple and
    frozenset.  Raises Malformed for any bytes that are no value within the limits, and nothing else.
    """
    if type(data) is not bytes:
        data = bytes(data)
    try:
        suspects = fine_timestamps_perhaps(data) if 0xFF in data else []
        if len(data) <= _MAX_DEPTH and not suspects:
            return _decode(data, _outer_ext)
        if len(data) > _MAX_ELEMENTS or not _WRAPPING:
            return _decode(with_our_timestamps(data, _scan_all(data)), _ext)
        if suspects:
            data = with_our_timestamps(data, fine_timestamps(data, suspects, _MAX_DEPTH, _MAX_ELEMENTS))
        if len(data) <= _UNMEASURED_BYTES_MAX:
            return _decode_to_depth(data)
        try:
            return decode_frugally(data, _MAX_MEMORY)
        except MemoryDoubt:
            _scan_all(data)
            return _decode(data, _ext)
    except Malformed:
        raise
    except StackError:
        raise Malformed(f"nested deeper than {_MAX_DEPTH} containers") from None
    except _MISFITS as error:
        raise Malformed(f"no value: {error or type(error).__name__}") from error


def check_received(data: bytes | memoryview) -> None:
    """Raise Malformed if these bytes are not one value within the limits, or take more memory than is granted.

    It is for what another decoder reads, and makes no value: some 100 nanoseconds an element.
    """
    _scan_all(bytes(data))


def _decode(
    data: bytes,
    ext_hook: Callable[[int, bytes], Any],
    map_hook: Callable[[list[tuple[Any, Any]]], dict[Any, Any]] | None = None,
) -> Any:
    return unpackb(
        data,
        strict_map_key=False,
        object_pairs_hook=map_hook or _map,
        ext_hook=ext_hook,
        timestamp=_TIMESTAMP_AS_DATETIME,
    )


# --- depth: see above --------------------------------------------------------------------------------------------

_STACK: Final = 1024
_UNWRAPPED_AT_ONCE: Final = 8
_LIST_OR_DICT: Final = frozenset({list, dict})

# Up to here counting what may be headers costs less than the wrapping.
_COUNTED_BYTES_MAX: Final = 32 * 1024


def _make_wrapping() -> bytes:
    """Headers of arrays of one that leave our limit free on msgpack's stack; none if its stack is not as known.

    Then (msgpack in pure Python, or another version) all that is long enough to nest too deeply is scanned.
    """
    try:
        unpackb(b"\x91" * _STACK + b"\xc0")
    except (StackError, RecursionError):
        return b""
    try:
        unpackb(b"\x91" * (_STACK + 1) + b"\xc0")
    except StackError:
        return b"\x91" * (_STACK - _MAX_DEPTH)
    return b""


_WRAPPING: Final = _make_wrapping()


def _decode_to_depth(data: bytes) -> Any:
    """Decode bytes of any nesting.  Raises StackError, or what :data:`_MISFITS` lists."""
    if len(data) <= _COUNTED_BYTES_MAX:
        headers_max = len(data.translate(None, _NO_CONTAINER_HEADERS))
        if headers_max <= _MAX_DEPTH:
            return _decode(data, _outer_ext)
        # A batch: if its elements are arrays or maps, each has taken a header that nests nothing deeper than itself.
        if headers_max - _declared_elements(data) < _MAX_DEPTH:
            value = _decode(data, _outer_ext)
            if type(value) is list and _LIST_OR_DICT.issuperset(map(type, value)):
                return value
    return _unwrapped(_decode(_WRAPPING + data, _outer_ext))


def _unwrapped(value: Any) -> Any:
    for _ in range(len(_WRAPPING) // _UNWRAPPED_AT_ONCE):
        value = value[0][0][0][0][0][0][0][0]
    return value


def _declared_elements(data: bytes) -> int:
    """How many elements the array has that these bytes begin; 0 for anything else."""
    if 0x90 <= data[0] < 0xA0:
        return data[0] & 0x0F
    return int.from_bytes(data[1:3], "big") if data[0] == 0xDC else 0


# --- memory: see above -------------------------------------------------------------------------------------------

# All but the bytes that may begin a map of at most 15 entries; and all but those that may begin an array or a negative
# int of one byte.  A map takes 240 bytes, the others 72 and 40; whatever else there is at most 28 for each of its own.
_NO_SMALL_MAPS: Final = bytes({*range(256)} - {*range(0x80, 0x90)})
_NO_ARRAYS_OR_NEGATIVES: Final = bytes({*range(256)} - {*range(0x90, 0xA0), 0xDC, 0xDD, *range(0xE0, 0x100)})
_NO_DEAR_BYTES: Final = bytes({*_NO_SMALL_MAPS} & {*_NO_ARRAYS_OR_NEGATIVES})
_SMALL_MAP: Final = 220
_ARRAY_OR_NEGATIVE: Final = 44
_ANY_BYTE: Final = 28
_FEW_ELEMENTS: Final = 128
_SMALL_ENTRIES_MAX: Final = 15
_ENTRY: Final = 150  # of a larger map
_EXT_BYTE: Final = 280  # of a tuple or set, which may be a set of small ints


class MemoryDoubt(Exception):
    """The cheap bounds on memory do not do for these bytes."""


class _Ledger:
    """What is left of the memory that is granted, and hooks that take from it."""

    def __init__(self, left: int) -> None:
        self._left = left

    def _take(self, memory: int) -> None:
        self._left -= memory
        if self._left < 0:
            raise MemoryDoubt

    def map(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        if len(pairs) > _SMALL_ENTRIES_MAX:
            self._take(_ENTRY * len(pairs))
        return _map(pairs)

    def ext(self, code: int, payload: bytes) -> Any:
        if code in ext.CONTAINER_CODES:
            self._take(_EXT_BYTE * len(payload))
        return _outer_ext(code, payload)


def fits_frugally(data: bytes, memory: int) -> bool:
    """Whether the value of these bytes, which are one, surely takes no more than is granted for them (see below)."""
    if len(data) > _MAX_ELEMENTS or not _WRAPPING:
        return False
    try:
        decode_frugally(data, memory)
    except (MemoryDoubt, *_MISFITS):  # Malformed, too: what is wrong otherwise is not asked here.
        return False
    return True


def decode_frugally(data: bytes, memory: int) -> Any:
    """Decode bytes that surely take no more than ``memory`` and what is granted for each byte; else MemoryDoubt.

    Rows of four fields in 186 KiB take 1.12 times as long as without these bounds.

    Raises also StackError, or what :data:`_MISFITS` lists.
    """
    # Few long things: 30 us, whereas to count the bytes of a megabyte takes up to two milliseconds.
    with suppress(Malformed):
        if measure(data, _MAX_DEPTH, _FEW_ELEMENTS)[0] <= memory + _MEMORY_PER_BYTE * len(data):
            return _decode(data, _ext)
    granted = memory + (_MEMORY_PER_BYTE - _ANY_BYTE) * len(data)
    left = granted - _SMALL_MAP * len(data.translate(None, _NO_DEAR_BYTES))
    if left < granted // 4:  # told apart they may well take less
        left = granted - _SMALL_MAP * len(data.translate(None, _NO_SMALL_MAPS))
        left -= _ARRAY_OR_NEGATIVE * len(data.translate(None, _NO_ARRAYS_OR_NEGATIVES))
    if left < 0:
        raise MemoryDoubt
    ledger = _Ledger(left)
    return _unwrapped(_decode(_WRAPPING + data, ledger.ext, ledger.map))


def _scan_all(data: bytes) -> list[int]:
    if len(data) > _MAX_BYTES:
        raise Malformed(f"{len(data)} bytes, more than {_MAX_BYTES}")
    granted = _MAX_MEMORY + _MEMORY_PER_BYTE * len(data)
    _, places = measure(data, _MAX_DEPTH, _MAX_ELEMENTS, granted)
    return places


# Comparing so few keys with each other takes no longer than decoding them.
_KEYS_UNCHECKED_MAX: Final = 32
# Never are more found by chance; but 33 floats (of powers of 2**61), or a few networks, may have one hash.
_ONE_HASH_MAX: Final = 64
_SAFELY_HASHED: Final = frozenset({str, bytes, int, float, bool, type(None)})
_first: Final = itemgetter(0)


# --- hooks -------------------------------------------------------------------------------------------------------


def _outer_ext(code: int, payload: bytes) -> Any:
    """The value of an ext type, whose nesting has not been checked yet.

    Each nested tuple has a copy of all that is in it while it is decoded, so its memory is reckoned, too.
    """
    if (
        code in ext.CONTAINER_CODES
        and len(payload) > _MAX_DEPTH
        and len(payload.translate(None, _NO_CONTAINER_HEADERS)) > _MAX_DEPTH
    ):
        _scan_all(payload)
    return _ext(code, payload)


def _ext(code: int, payload: bytes) -> Any:
    leaf = ext.LEAF_DECODERS.get(code)
    if leaf is not None:
        return leaf(payload)
    if code == ext.TUPLE:
        return tuple(_array(payload))
    if code == ext.SET:
        return _members(payload, set)
    if code == ext.FROZENSET:
        return _members(payload, frozenset)
    raise Malformed(f"ext type {code} is not known")


def _array(payload: bytes) -> list[Any]:
    # Looked at before it is decoded: ext types directly inside each other would nest without an array to count.
    if not payload or payload[0] not in ARRAY_HEADERS:
        raise Malformed("an ext payload that is not one array")
    elements: list[Any] = _decode(payload, _ext)
    return elements


def _members(payload: bytes, kind: type[set[Any] | frozenset[Any]]) -> set[Any] | frozenset[Any]:
    elements = _array(payload)
    if len(elements) > _KEYS_UNCHECKED_MAX and not _SAFELY_HASHED.issuperset(map(type, elements)):
        check_hashes(elements)
    try:
        members = kind(elements)
    except TypeError:
        members = kind(map(_frozen, elements))
    if len(members) != len(elements):
        raise Malformed("a set with members that Python cannot tell apart, such as 1, 1.0 and True")
    return members


def _map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    # A tenth more for a dict of a thousand texts.
    if len(pairs) > _KEYS_UNCHECKED_MAX and not _SAFELY_HASHED.issuperset(map(type, map(_first, pairs))):
        check_hashes(list(map(_first, pairs)))
    try:
        entries = dict(pairs)
    except TypeError:
        entries = {_frozen(key): value for key, value in pairs}
    if len(entries) != len(pairs):
        raise Malformed("a map with keys that Python cannot tell apart, such as 1, 1.0 and True")
    return entries


def check_hashes(keys: list[Any]) -> None:
    """Raise Malformed if so many keys have one hash that to compare them all with each other would take long."""
    try:
        hashes = Counter(map(hash, keys))
    except TypeError:
        hashes = Counter([hash(_frozen(key)) for key in keys])
    if max(hashes.values(), default=0) > _ONE_HASH_MAX:
        raise Malformed("keys or members that were chosen to have one hash, which would take long to tell apart")


def _frozen(value: Any) -> Any:
    """A hashable value in the place of one that may not be.  Raises Malformed if there is none."""
    kind = type(value)
    if kind is list or kind is tuple:
        return tuple(map(_frozen, value))
    if kind is set:
        return frozenset(value)
    if kind is dict:
        raise Malformed("a map as a key or as a member of a set")
    return value
