"""The data model: which values are carried, their bytes, and their limits.

What comes back from :func:`unpack` equals what was given to :func:`pack` and is of the same type, or it was refused
before it was sent.  The theory and the table of ext types are in DESIGN.md beside this file; the golden bytes for
every language in ``tests/vectors``.

No I/O here: no sockets, threads, clocks or chance.
"""

from __future__ import annotations

from broker.values.decoding import check_received, unpack
from broker.values.limits import DEFAULT_LIMITS, Limits
from broker.values.lowering import SMALL_BYTES, check_memory, lower, pack, packer
from broker.values.timestamps import Timestamp
from broker.values.types import Count, EnumValue, Port, Protocol

__all__ = [
    "DEFAULT_LIMITS",
    "SMALL_BYTES",
    "Count",
    "EnumValue",
    "Limits",
    "Port",
    "Protocol",
    "Timestamp",
    "check_memory",
    "check_received",
    "lower",
    "pack",
    "packer",
    "unpack",
]
