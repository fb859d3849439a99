"""The value types that Python does not have: :class:`Port`, :class:`Count` and :class:`EnumValue`.

They exist because other systems tell them from plain integers and strings, Zeek above all; a value must come back as
what it was.
"""

from __future__ import annotations

from typing import Any, Literal, Self, SupportsInt, get_args

import attrs

from broker.values.limits import DEFAULT_LIMITS

__all__ = ["COUNT_MAX", "PROTOCOLS", "Count", "EnumValue", "Port", "Protocol"]

Protocol = Literal["unknown", "tcp", "udp", "icmp"]
"""The transport protocol of a :class:`Port`."""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
"""All protocols; the place in this tuple is the number on the wire."""

COUNT_MAX = 2**64 - 1
"""The largest :class:`Count`, and the largest ``int`` that is carried."""


def _check_number(_port: Any, _attribute: Any, number: Any) -> None:
    if type(number) is not int:
        raise TypeError(f"a port's number is an int, not {type(number).__name__}")
    if not 0 <= number <= 65535:
        raise ValueError(f"a port's number is 0 to 65535, not {number}")


def _check_protocol(_port: Any, _attribute: Any, protocol: Any) -> None:
    if type(protocol) is not str or protocol not in PROTOCOLS:
        raise ValueError(f"a port's protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")


@attrs.frozen(order=True)
class Port:
    """A transport port: ``Port(53, "udp")``, as text ``53/udp``.  For ICMP the number is the message's type.

    Raises TypeError or ValueError for a number outside 0 to 65535 and for any other protocol than those of
    :data:`Protocol`.
    """

    number: int = attrs.field(validator=_check_number)
    protocol: Protocol = attrs.field(validator=_check_protocol)

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


class Count(int):
    """An unsigned integer, 0 to 2**64 - 1, for systems that tell it from a signed one.

    It is an ``int`` in every respect (arithmetic gives plain ``int``).  Raises ValueError outside the range.
    """

    __slots__ = ()

    def __new__(cls, number: SupportsInt | str = 0) -> Self:  # noqa: D102 - told by the class
        self = super().__new__(cls, number)
        if not 0 <= self <= COUNT_MAX:
            raise ValueError(f"a Count is 0 to 2**64 - 1, not {int(self)}")
        return self

    def __repr__(self) -> str:
        return f"Count({int(self)})"

    def __str__(self) -> str:
        return int.__repr__(self)


def _check_name(_value: Any, _attribute: Any, name: Any) -> None:
    if type(name) is not str:
        raise TypeError(f"an EnumValue's name is a str, not {type(name).__name__}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError("an EnumValue's name is Unicode text: it cannot hold lone surrogates") from None
    if not 0 < size <= DEFAULT_LIMITS.max_enum_name_bytes:
        raise ValueError(
            f"an EnumValue's name has 1 to {DEFAULT_LIMITS.max_enum_name_bytes} bytes of UTF-8, not {size}"
        )


@attrs.frozen(order=True)
class EnumValue:
    """The name of an enumeration's member, with its scope, such as ``EnumValue("Notice::ACTION_LOG")``.

    Raises TypeError or ValueError for a name that is not 1 to 255 bytes of UTF-8.
    """

    name: str = attrs.field(validator=_check_name)

    def __str__(self) -> str:
        return self.name
