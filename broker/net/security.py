"""What an endpoint's connections are secured with, and who is let in: CURVE, and the judge of ZeroMQ's handshakes.

ZeroMQ asks a handler whether to let a client in (ZAP, https://rfc.zeromq.org/spec/27): one for the whole process, at an
address that is fixed.  Without a handler CURVE admits any key whatever.  So it runs before anything is bound, in a
thread of its own, for endpoints in different threads share it and a handshake is not to wait for a busy program.  Each
listening socket has a **domain**, by which the handler finds whom to ask.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

import zmq
from msgspec import Struct

from broker.net.sockets import context
from broker.trust.judge import Judge
from broker.trust.keys import PublicKey, SecretKey, curve_of

__all__ = ["UNKNOWN_KEY", "Gate", "Security", "guard_dialled", "guard_listening", "set_own_key"]

_log = logging.getLogger("broker.net")

# Why an address is not dialled.
UNKNOWN_KEY: Final = (
    "it is not known which key is to be expected there: say peer(..., key=...) or --peer-key, or give the address in "
    "the access rules, as it is dialled ('broker keys trust KEY --name PEER --address ADDRESS')"
)
_ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"
_ZAP_VERSION: Final = b"1.0"
# What is told of clients that were turned away: the last so many.
_REFUSED_MAX: Final = 100

_domains = itertools.count(1)
_gates: dict[bytes, Gate] = {}
_handler: threading.Thread | None = None
_handled: object = None  # the context that has a handler
_starting = threading.Lock()


class Security(Struct, frozen=True):
    """The key of an endpoint, whom it trusts, and the keys it expects at an address that it dials."""

    secret: SecretKey
    judge: Judge
    keys_for: Callable[[str], tuple[PublicKey, ...]]


class Gate:
    """Decides for one listening socket who is let in; asked by the handler's thread.

    A client gets a name that goes with all its frames: its key in hexadecimal digits.
    """

    def __init__(self, security: Security | None) -> None:
        self.security = security
        self.domain = b"broker-%d" % next(_domains)
        self.refused: list[str] = []  # why; taken by take_refused()

    def judge(self, address: str, mechanism: bytes, credentials: list[bytes]) -> str | None:
        """Return the name of a client at an address (of IP; empty without one); None when it is not let in."""
        security = self.security
        if security is None:
            return "" if mechanism == b"NULL" else None
        if mechanism != b"CURVE" or len(credentials) != 1:
            self._refuse(address, "it shows no key")
            return None
        key = security.judge.key_of_curve(credentials[0])
        if key is None:
            self._refuse(
                address,
                f"its key is not trusted here: 'broker keys show' at its end prints it, for 'broker keys trust' here "
                f"(CURVE shows it as {credentials[0].hex()})",
            )
            return None
        if security.judge.holder(key) is None:
            self._refuse(address, security.judge.why_not(key))
            return None
        return key.hex()

    def _refuse(self, address: str, reason: str) -> None:
        if len(self.refused) < _REFUSED_MAX:
            self.refused.append(f"{reason}, from {address}" if address else reason)

    def take_refused(self) -> str:
        """Return why the one was turned away that is told of next."""
        return self.refused.pop(0) if self.refused else "its key is not trusted here"

    def close(self) -> None:
        """Let nobody in any more."""
        _gates.pop(self.domain, None)


def guard_listening(socket: zmq.Socket[bytes], gate: Gate) -> None:
    """Let a socket, before it is bound, ask the gate about each client; and speak CURVE if the gate has a key."""
    _run_handler()
    _gates[gate.domain] = gate
    socket.set(zmq.ZAP_DOMAIN, gate.domain)
    set_own_key(socket, gate.security)


def set_own_key(socket: zmq.Socket[bytes], security: Security | None) -> None:
    """Let a listening socket have this key for whatever it binds from now on."""
    if security is not None:
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, security.secret.curve)


def guard_dialled(socket: zmq.Socket[bytes], security: Security, expected: PublicKey) -> None:
    """Let a socket, before it is connected, show our key and accept no other than the one that is expected."""
    socket.set(zmq.CURVE_SERVERKEY, curve_of(expected.raw))
    socket.set(zmq.CURVE_PUBLICKEY, curve_of(security.secret.public.raw))
    socket.set(zmq.CURVE_SECRETKEY, security.secret.curve)


def _run_handler() -> None:
    """See to it that this process's context has a handler."""
    global _handler, _handled  # noqa: PLW0603  # there is one address for it in a context, and one context
    ours = context()
    with _starting:
        if _handled is ours and _handler is not None and _handler.is_alive():
            return
        # A shadow's sockets are not closed by who destroys the context: the thread, which alone may, closes its own.
        socket: zmq.Socket[bytes] = zmq.Context.shadow(ours.underlying).socket(zmq.REP)
        socket.linger = 0
        socket.bind(_ZAP_ADDRESS)
        _handler = threading.Thread(target=_handle, args=(socket,), name="broker-zap", daemon=True)
        _handled = ours
        _handler.start()


def _handle(socket: zmq.Socket[bytes]) -> None:
    """Answer until the context ends."""
    try:
        while True:
            request = socket.recv_multipart()
            try:
                answer = _answer(request)
            except Exception:  # noqa: BLE001
                # Without an answer nobody would be let in any more, nor turned away.
                _log.exception("a client could not be judged, and is turned away")
                answer = _refusal(request, b"500", b"not judged")
            socket.send_multipart(answer)
    except zmq.ContextTerminated:
        pass
    finally:
        socket.close(0)


def _answer(request: list[bytes]) -> list[bytes]:
    if len(request) < 6 or request[0] != _ZAP_VERSION:
        return _refusal(request, b"500", b"not understood")
    gate = _gates.get(request[2])
    address = request[3].decode(errors="replace")
    name = gate.judge(address, request[5], request[6:]) if gate is not None else None
    if name is None:
        return _refusal(request, b"400", b"not trusted")
    return [_ZAP_VERSION, request[1], b"200", b"OK", name.encode(), b""]


def _refusal(request: list[bytes], code: bytes, why: bytes) -> list[bytes]:
    number = request[1] if len(request) > 1 else b""
    return [_ZAP_VERSION, number, code, why, b"", b""]


def _begin_anew() -> None:
    """Be without a handler in a forked process, whose only thread may have been forked while another one began."""
    global _starting, _handler, _handled  # as in _run_handler
    _starting, _handler, _handled = threading.Lock(), None, None
    _gates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
