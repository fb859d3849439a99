"""A point in time with whole nanoseconds, that is a ``datetime`` too.

``datetime`` ends at microseconds; packet and kernel clocks do not.  A :class:`Timestamp` is a ``datetime`` whose last
three digits ride along: whatever takes a ``datetime`` takes it, and what the three digits decide (equality, order,
hash, text, adding a ``timedelta``) is decided by all nine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self, SupportsIndex, overload

__all__ = ["EPOCH", "Timestamp", "nanoseconds_of"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NS_MIN = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND * 1000
_NS_MAX = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND * 1000 + 999


def nanoseconds_of(moment: datetime) -> int:
    """Nanoseconds from 1970-01-01T00:00Z to an aware ``datetime`` (a :class:`Timestamp`'s own, exactly)."""
    if isinstance(moment, Timestamp):
        return moment.nanoseconds
    return (moment - EPOCH) // _MICROSECOND * 1000


class Timestamp(datetime):
    """An instant in UTC in whole nanoseconds since 1970-01-01T00:00Z; years 1 to 9999.

    Make one with :meth:`from_ns`, or as a ``datetime`` is made (``tzinfo`` defaults to UTC and may be nothing else).
    It equals a plain aware ``datetime`` of the same instant, and hashes alike, when it has no digits below the
    microsecond; else it equals only another ``Timestamp``.
    """

    __slots__ = ("_below_us",)
    _below_us: int

    def __new__(  # noqa: D102 - told by the class; the arguments are datetime's, by place as there
        cls,
        year: int,
        month: int,
        day: int,
        hour: int = 0,
        minute: int = 0,
        second: int = 0,
        microsecond: int = 0,
        tzinfo: tzinfo | None = UTC,
        *,
        fold: int = 0,
    ) -> Self:
        if tzinfo is not UTC:
            raise ValueError("a Timestamp is in UTC: use a plain datetime for other time zones")
        self = super().__new__(cls, year, month, day, hour, minute, second, microsecond, tzinfo, fold=fold)
        self._below_us = 0
        return self

    @classmethod
    def from_ns(cls, nanoseconds: int) -> Self:
        """The instant that many nanoseconds after 1970-01-01T00:00Z (before it, if negative).

        Raises TypeError for anything but an ``int`` and ValueError outside the years 1 to 9999.
        """
        if type(nanoseconds) is not int:
            raise TypeError(f"nanoseconds are an int, not {type(nanoseconds).__name__}")
        if not _NS_MIN <= nanoseconds <= _NS_MAX:
            raise ValueError(f"{nanoseconds} ns is outside the years 1 to 9999")
        microseconds, below_us = divmod(nanoseconds, 1000)
        plain = EPOCH + timedelta(microseconds=microseconds)
        self = cls(plain.year, plain.month, plain.day, plain.hour, plain.minute, plain.second, plain.microsecond)
        self._below_us = below_us
        return self

    @property
    def nanoseconds(self) -> int:
        """Nanoseconds since 1970-01-01T00:00Z."""
        return (self.to_datetime() - EPOCH) // _MICROSECOND * 1000 + self._below_us

    def to_datetime(self) -> datetime:
        """The same instant as a plain ``datetime`` in UTC, cut to whole microseconds."""
        return datetime(self.year, self.month, self.day, self.hour, self.minute, self.second, self.microsecond, UTC)

    # What would come back as a Timestamp of another zone, or without its last digits, comes back as a datetime.

    def astimezone(self, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """A plain ``datetime`` in another time zone, cut to whole microseconds."""
        return self.to_datetime().astimezone(tz)

    def replace(self, *args: Any, **kwargs: Any) -> datetime:  # type: ignore[override]
        """A plain ``datetime`` with fields replaced, as ``datetime.replace`` does, cut to whole microseconds."""
        return self.to_datetime().replace(*args, **kwargs)

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        """ISO 8601; with all nine digits when ``timespec`` is "auto" and there are any below the microsecond."""
        plain = self.to_datetime()
        if timespec != "auto" or not self._below_us:
            return plain.isoformat(sep, timespec)
        return f"{plain.replace(tzinfo=None).isoformat(sep, 'microseconds')}{self._below_us:03}+00:00"

    def __str__(self) -> str:
        return self.isoformat(" ")

    def __repr__(self) -> str:
        return f"Timestamp.from_ns({self.nanoseconds})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return type(self).from_ns, (self.nanoseconds,)

    def __hash__(self) -> int:
        plain = hash(self.to_datetime())
        return hash((plain, self._below_us)) if self._below_us else plain

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, datetime):
            return NotImplemented
        below_us = other._below_us if isinstance(other, Timestamp) else 0
        return super().__eq__(other) and self._below_us == below_us

    def __ne__(self, other: object) -> bool:
        # datetime has its own, which does not ask __eq__.
        return not self == other if isinstance(other, datetime) else NotImplemented

    def _is_before(self, other: datetime, *, or_equal: bool) -> bool:
        # super().__eq__ compares the microseconds; naive datetimes make super().__lt__ raise TypeError as ever.
        if not super().__eq__(other):
            return super().__lt__(other)
        below_us = other.nanoseconds % 1000 if isinstance(other, Timestamp) else 0
        return self._below_us <= below_us if or_equal else self._below_us < below_us

    def __lt__(self, other: object) -> bool:
        return self._is_before(other, or_equal=False) if isinstance(other, datetime) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self._is_before(other, or_equal=True) if isinstance(other, datetime) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return not self._is_before(other, or_equal=True) if isinstance(other, datetime) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return not self._is_before(other, or_equal=False) if isinstance(other, datetime) else NotImplemented

    def __add__(self, other: timedelta, /) -> Self:
        return self.from_ns(self.nanoseconds + other // _MICROSECOND * 1000)

    __radd__ = __add__

    # The stubs let a subclass be subtracted from itself alone; a datetime is as good.
    @overload  # type: ignore[override]
    def __sub__(self, other: datetime, /) -> timedelta: ...
    @overload
    def __sub__(self, other: timedelta, /) -> Self: ...
    def __sub__(self, other: datetime | timedelta, /) -> datetime | timedelta:
        if isinstance(other, timedelta):
            return self + -other
        return self.to_datetime() - other
