"""Sizes and durations as people write them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["seconds_of", "size_of"]

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604_800.0}
_UNITS_BYTES: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min|m|h|d|w)")
_SIZE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([KMGT]?)(i?)B?", re.IGNORECASE)


def seconds_of(text: str) -> float:
    """The seconds in "500ms", "30s", "10 min" (or "10m"), "1h", "7d", "2w"; raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r:.60} is not a time such as 30s, 10m, 1h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def size_of(text: str) -> int:
    """The bytes in "4096", "100MB", "1 GiB"; raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r:.60} is not a size such as 100MB or 1GiB")
    unit = _UNITS_BYTES[found[2].upper()]
    if found[3]:
        unit = 1 << 10 * (len(str(unit)) // 3)
    size = int(float(found[1]) * unit)
    if size < 1:
        raise ValueError(f"{text!r:.60} is no byte at all")
    return size
