"""Hypothesis strategies for everything that may be carried, for tests of code that sends or stores values.

``values()`` is the whole data model, nested; the others are its parts.  What they give can be packed within the
default limits.  Hypothesis, which only this module needs, comes with ``pip install 'broker-mesh[testing]'``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from broker.extras import needed_for
from broker.values import Count, EnumValue, Port, Timestamp

with needed_for("strategies of values"):
    from hypothesis import strategies as st

__all__ = [
    "containers",
    "counts",
    "datetimes",
    "enum_values",
    "hashable_values",
    "integers",
    "networks",
    "ports",
    "scalars",
    "texts",
    "timestamps",
    "values",
]

_OFFSET_MINUTES_MAX = 14 * 60


def integers() -> st.SearchStrategy[int]:
    """Every ``int`` that is carried, -2**63 to 2**64 - 1, its edges often."""
    edges = [0, -1, 127, 128, -32, -33, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
    return st.integers(-(2**63), 2**64 - 1) | st.sampled_from(edges)


def texts(max_size: int = 20) -> st.SearchStrategy[str]:
    """Unicode text without surrogates, at most ``max_size`` characters."""
    return st.text(st.characters(codec="utf-8"), max_size=max_size)


def counts() -> st.SearchStrategy[Count]:
    """Counts, 0 to 2**64 - 1."""
    return st.integers(0, 2**64 - 1).map(Count)


def ports() -> st.SearchStrategy[Port]:
    """Ports of all protocols."""
    return st.builds(Port, st.integers(0, 65535), st.sampled_from(["unknown", "tcp", "udp", "icmp"]))


def enum_values() -> st.SearchStrategy[EnumValue]:
    """Enum values with names of 1 to 60 characters."""
    return texts(60).filter(bool).map(EnumValue)


def datetimes() -> st.SearchStrategy[datetime]:
    """Aware datetimes at any offset of whole minutes, with an instant in the years 1 to 9999 of UTC."""
    offsets = st.integers(-_OFFSET_MINUTES_MAX, _OFFSET_MINUTES_MAX).map(lambda m: timezone(timedelta(minutes=m)))
    # A day from the ends, so that the instant is inside in UTC too; Hypothesis wants the bounds naive.
    first, last = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001
    return st.datetimes(first, last, timezones=st.just(UTC) | offsets)


def timestamps() -> st.SearchStrategy[Timestamp]:
    """Timestamps in whole nanoseconds; years 1 to 9999."""
    return st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1).map(Timestamp.from_ns)


def networks() -> st.SearchStrategy[IPv4Network | IPv6Network]:
    """IPv4 and IPv6 networks of every prefix length."""
    four = st.builds(
        lambda bits, prefix: IPv4Network((bits >> (32 - prefix) << (32 - prefix), prefix)),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    )
    six = st.builds(
        lambda bits, prefix: IPv6Network((bits >> (128 - prefix) << (128 - prefix), prefix)),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    )
    return four | six


def scalars() -> st.SearchStrategy[Any]:
    """Every carried value that is no container; NaN, the infinities and -0.0 among them.  All are hashable."""
    return st.one_of(
        st.none(),
        st.booleans(),
        integers(),
        st.floats(),
        texts(),
        st.binary(max_size=20),
        st.ip_addresses(),
        networks(),
        ports(),
        counts(),
        enum_values(),
        datetimes(),
        timestamps(),
        st.timedeltas(),
        st.uuids(),
    )


def hashable_values() -> st.SearchStrategy[Any]:
    """Values that can be keys and members: scalars but NaN, and tuples and frozensets of them, nested.

    NaN is left out because it equals nothing, itself included: a test cannot look for it.
    """
    leaves = scalars().filter(lambda value: value == value)  # noqa: PLR0124 - true of everything but NaN
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
        max_leaves=4,
    )


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers of each type, with elements from ``inner`` where they need not be hashable; up to 4 elements."""
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable_values(), inner, max_size=4),
        st.sets(hashable_values(), max_size=4),
        st.frozensets(hashable_values(), max_size=4),
    )


def values(max_leaves: int = 10) -> st.SearchStrategy[Any]:
    """Everything that may be carried, nested, with about ``max_leaves`` scalars at most."""
    return st.recursive(scalars(), containers, max_leaves=max_leaves)
