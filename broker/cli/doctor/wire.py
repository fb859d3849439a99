"""Name, port, path and greeting of an address: with a bare connection, below ZeroMQ.

ZeroMQ 3 endpoints greet each other with 64 bytes (ZMTP 3.1, rfc.zeromq.org/spec/37): a signature of ten, from 0xff to
0x7f, a version of two, the name of the security mechanism in twenty, then who is the server, and zeros.  A connection
that is closed behind the greeting is nothing that the endpoint at its other end would tell of.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import trio

from broker.cli.doctor.steps import Finding, StepFailed
from broker.cli.standard import printable
from broker.net.address import Address

__all__ = ["Wire", "connected", "greeted", "path_of", "resolved", "security_of"]

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01"
_GREETING_BYTES: Final = 64
_MECHANISM: Final = slice(12, 32)
# getsockopt(2) and ip(7) of Linux; the socket module does not have it everywhere.
_IP_MTU: Final = getattr(socket, "IP_MTU", 14)
# What Ethernet takes.  Less is no fault, but a tunnel, and those are where large frames get lost.
_USUAL_MTU: Final = 1500

Wire = trio.SocketStream


async def resolved(address: Address) -> tuple[Finding, Sequence[tuple[Any, ...]]]:
    """Look the host's name up; returns all that getaddrinfo gives."""
    try:
        found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StepFailed(
            f"{address.host}: {why}", "is the name right?  Ask for it with: getent hosts " + address.host
        ) from None
    hosts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if hosts == [address.host]:
        return Finding("name", "skipped", "the host is given by its number", details={"addresses": hosts}), found
    return Finding("name", "ok", f"{address.host} is {', '.join(hosts)}", details={"addresses": hosts}), found


async def connected(address: Address, found: Sequence[tuple[Any, ...]], timeout_s: float) -> tuple[Finding, Wire]:
    """Connect to each address that the name stands for; returns the first connection."""
    wire: Wire | None = None
    results: dict[str, str] = {}
    took_s = 0.0
    for family, kind, protocol, _, target in found:
        where = str(target[0]) if address.transport == "tcp" else address.rest
        sock = trio.socket.socket(family, kind, protocol)
        began = trio.current_time()
        results[where] = await _dial(sock, target, timeout_s)
        if results[where] == "connected" and wire is None:
            wire, took_s = trio.SocketStream(sock), trio.current_time() - began
        else:
            sock.close()
    failures = {where: why for where, why in results.items() if why != "connected"}
    told = "; ".join(f"{where}: {why}" for where, why in failures.items())
    if wire is None:
        raise StepFailed(told, _advice(address, list(failures.values())), addresses=results)
    details = {"addresses": results, "connect_s": round(took_s, 6)}
    if failures:
        advice = "endpoints try the addresses of a name in turn: until it is the right one's turn, attempts fail"
        return Finding("connection", "warning", f"connected, but not everywhere: {told}", advice, details), wire
    return Finding("connection", "ok", f"connected in {took_s * 1e3:.1f} ms", details=details), wire


async def _dial(sock: trio.socket.SocketType, target: Any, timeout_s: float) -> str:
    """Connect; returns "connected", or why not in a few words."""
    try:
        with trio.fail_after(timeout_s):
            await sock.connect(target)
    except trio.TooSlowError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return _WHY.get(error.errno or 0, error.strerror or str(error))
    return "connected"


_WHY: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "no way to that network",
    errno.EHOSTUNREACH: "no way to that host",
    errno.ENOENT: "there is no such socket",
    errno.EACCES: "not permitted",
}


def _advice(address: Address, reasons: Sequence[str]) -> str:
    if "refused" in reasons:
        return (
            "nothing listens there: is the program started, is the port right?  On that machine 'ss -ltnp' tells who "
            "listens where; 127.0.0.1 is reached from there alone, tcp://*:PORT from everywhere"
            if address.transport == "tcp"
            else "the socket is left over from a program that has ended: start it again"
        )
    if any(reason.startswith("no answer") for reason in reasons):
        return "a firewall drops what comes, or no machine has that address: 'ping' and the firewall's rules tell"
    if any(reason.startswith("no way") for reason in reasons):
        return "this machine has no route there: 'ip route get ADDRESS' tells"
    return "who may read and write the socket's file may connect to it" if address.transport == "ipc" else ""


def path_of(wire: Wire) -> Finding:
    """Say what the kernel knows of the path: how large packets may be, and segments of TCP."""
    sock = wire.socket
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return Finding("path", "skipped", "a socket of this machine: there is no path")
    mss = mtu = None
    with suppress(OSError):
        mss = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    with suppress(OSError):
        mtu = (
            sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
            if sock.family == socket.AF_INET
            else sock.getsockopt(socket.IPPROTO_IPV6, 24)  # IPV6_MTU
        )
    details = {"mtu_bytes": mtu, "mss_bytes": mss, "local": str(sock.getsockname()[0])}
    if mtu is None and mss is None:
        return Finding("path", "skipped", "this system does not tell of it", details=details)
    text = f"from {details['local']}; packets of {mtu or '?'} bytes, of which {mss or '?'} are TCP's to fill"
    if mtu is not None and mtu < _USUAL_MTU:
        advice = "a tunnel or VPN is on the way: if large frames do not pass below, its ends disagree about that size"
        return Finding("path", "warning", text, advice, details)
    return Finding("path", "ok", text, details=details)


async def greeted(wire: Wire, timeout_s: float) -> tuple[Finding, str]:
    """Begin ZeroMQ's greeting; returns the finding, and the security mechanism that the other end names.

    We say no more than our version: an end that hears of another mechanism than its own closes at once, and tells it.
    """
    answer = await _said(wire, _GREETING, _GREETING_BYTES, timeout_s)
    if not answer:
        target = wire.socket.getpeername()
        await wire.aclose()  # one that serves a connection at a time comes to the next
        answer = await _asked_in_http(wire.socket.family, target, timeout_s)
        if not answer:
            raise StepFailed(
                f"it is silent: nothing came within {timeout_s:g} s",
                "its program hangs or is stopped (Ctrl-Z), or waits for the other end to speak: no ZeroMQ, then",
            )
    if answer == _CLOSED:
        raise StepFailed("it closed the connection without a word", _NOT_OURS + "; or a proxy without its program")
    if answer[0] != 0xFF or (len(answer) >= 10 and not answer[9] & 1):
        raise StepFailed(f"{_speaks(answer)}, not ZeroMQ", _NOT_OURS, answer=printable(answer[:40].decode("latin-1")))
    if len(answer) < _MECHANISM.stop:
        raise StepFailed(f"only {len(answer)} of 64 bytes of ZeroMQ's greeting came", "is it ZeroMQ 4 or newer?")
    version = f"{answer[10]}.{answer[11]}"
    theirs = answer[_MECHANISM].rstrip(b"\0").decode("latin-1")
    return Finding("greeting", "ok", f"ZeroMQ answers (ZMTP {version})", details={"zmtp": version}), theirs


_CLOSED: Final = b"\0"


async def _said(wire: Wire, ours: bytes, wanted: int, timeout_s: float) -> bytes:
    """Say something; returns what came in that time, of ``wanted`` bytes; _CLOSED for an end without a byte."""
    answer = b""
    with trio.move_on_after(timeout_s):
        try:
            await wire.send_all(ours)
            while len(answer) < wanted:
                more = await wire.receive_some(wanted - len(answer))
                if not more:
                    return answer or _CLOSED
                answer += more
                if answer[0] != _GREETING[0]:
                    return answer
        except trio.BrokenResourceError:
            return answer or _CLOSED
    return answer


async def _asked_in_http(family: int, target: Any, timeout_s: float) -> bytes:
    """Who says nothing may wait for a line that ends: ask as a browser does."""
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        if await _dial(sock, target, timeout_s) != "connected":
            return b""
        return await _said(trio.SocketStream(sock), b"HEAD / HTTP/1.0\r\n\r\n", 12, timeout_s)
    finally:
        sock.close()


_NOT_OURS: Final = "another program listens there: is the port right?"


def _speaks(answer: bytes) -> str:
    for start, name in (
        (b"HTTP/", "HTTP"),
        (b"SSH-", "SSH"),
        (b"\x15\x03", "TLS"),
        (b"220", "SMTP or FTP"),
        (b"-ERR", "Redis"),
    ):
        if answer.startswith(start):
            return f"what listens there speaks {name}"
    return f"it answers {printable(answer[:24].decode('latin-1'))!r}"


def security_of(theirs: str, *, have_keys: bool) -> Finding:
    """Compare the security mechanisms of both ends; raises StepFailed when they differ."""
    details = {"theirs": theirs, "ours": "CURVE" if have_keys else "NULL"}
    if theirs == details["ours"]:
        text = "both ends have keys: encrypted" if have_keys else "neither end has keys: in clear, and anybody may come"
        return Finding("security", "ok", text, details=details)
    if theirs == "CURVE":
        raise StepFailed(
            "it asks for keys, and we have none", "say --keys NAME ('broker keys new NAME' makes one)", **details
        )
    if theirs == "NULL":
        advice = "start it with keys (Endpoint(keys=...), --keys), or leave --keys out here if the network is safe"
        raise StepFailed("it has no keys, and with ours we talk only to who has", advice, **details)
    raise StepFailed(
        f"it asks for ZeroMQ's mechanism {printable(theirs)!r}: it is no broker endpoint", _NOT_OURS, **details
    )
