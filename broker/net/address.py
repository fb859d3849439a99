"""Addresses: ``tcp://host:port``, ``ipc://path`` and ``inproc://name``."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from broker.errors import AddressError

__all__ = ["Address", "parse_address"]

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\[\]/:\s]+)):(?P<port>\d{1,9}|\*)")
# The length of sun_path on Linux, less its closing zero.
_IPC_BYTES_MAX: Final = 107
_HOW = "an address is tcp://HOST:PORT (an IPv6 host in brackets), ipc://PATH or inproc://NAME"


class Address(Struct, frozen=True):
    """An address, taken apart: ``host`` and ``port`` are of tcp, ``rest`` is the path or the name of the others."""

    text: str
    transport: str
    host: str = ""
    port: int = 0
    rest: str = ""

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is written as an IPv6 address."""
        return ":" in self.host

    @property
    def is_of_this_machine(self) -> bool:
        """Whether nobody on another machine can be at its other end; a name may be anybody's."""
        if self.transport != "tcp":
            return True
        if self.host in ("localhost", "lo"):
            return True
        try:
            return ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def with_host(self, host: str) -> str:
        """Return the text that ZeroMQ wants, with another host in it."""
        return f"tcp://[{host}]:{self.port}" if ":" in host else f"tcp://{host}:{self.port}"


def parse_address(text: str, *, to_dial: bool) -> Address:
    """Take an address apart; raises :class:`~broker.errors.AddressError` that says what is wrong with it.

    Port 0 (any free port) and the host ``*`` (all interfaces) are for listening only.
    """
    if type(text) is not str:
        raise AddressError(f"an address is a str, not {type(text).__name__}: {_HOW}")
    if not text.isprintable():
        raise AddressError(f"{text!r:.100} holds characters that cannot be printed: {_HOW}")
    transport, separator, rest = text.partition("://")
    if not separator:
        meant = f": did you mean 'tcp://{text}'?; " if _TCP.fullmatch(text) else ": "
        raise AddressError(f"{text!r} does not name a transport{meant}{_HOW}")
    if transport == "tcp":
        return _parse_tcp(text, rest, to_dial)
    if transport not in ("ipc", "inproc"):
        raise AddressError(f"{text!r}: the transport {transport!r} is not supported: {_HOW}")
    if not rest:
        raise AddressError(f"{text!r} has nothing behind ://: {_HOW}")
    if transport == "ipc" and len(rest.encode()) > _IPC_BYTES_MAX:
        raise AddressError(f"{text!r}: a socket's path has at most {_IPC_BYTES_MAX} bytes")
    return Address(text, transport, rest=rest)


def _parse_tcp(text: str, rest: str, to_dial: bool) -> Address:
    found = _TCP.fullmatch(rest)
    if found is None:
        raise AddressError(f"{text!r} is not tcp://HOST:PORT: {_HOW}")
    port = 0 if found["port"] == "*" else int(found["port"])
    host = found["v6"] or found["host"]
    if port > 65535:
        raise AddressError(f"{text!r}: a port is at most 65535")
    if to_dial and (port == 0 or host == "*"):
        raise AddressError(f"{text!r} can be listened on, but not dialled: name the host and the port")
    return Address(text, "tcp", host, port)
