"""ZeroMQ sockets under trio.

A ZeroMQ socket has a file descriptor that becomes readable when *something* about the socket may have changed.  It is
edge-triggered: any call on the socket, a send too, may consume the edge, and one that then waits for the descriptor
waits for ever although a frame is there.  So nobody waits before having looked at ``EVENTS``, and whoever has sent
looks at it again: :meth:`Network.settle <broker.net.network.Network.settle>`.
"""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import trio
import zmq
from zmq.utils.monitor import parse_monitor_message

from broker.protocol.frames import FRAME_BYTES_MAX

__all__ = [
    "FRAMES_PER_TURN",
    "LINGER_MS",
    "NOBLOCK",
    "NOBLOCK_MORE",
    "OTHER_MECHANISM",
    "TURN_S",
    "context",
    "monitor_event",
    "new_monitor",
    "new_socket",
    "read_loop",
    "readable",
    "skip_parts",
]

# Plain ints: ZeroMQ's own are enum members, whose every `&` and `|` takes a microsecond.
_POLLIN = int(zmq.POLLIN)
NOBLOCK = int(zmq.NOBLOCK)
# How a monitor says that one end wants keys and the other has none.
OTHER_MECHANISM = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)

# Frames taken from one socket before others get their turn, and for how long at most: frames of stores take half a
# millisecond each, and a write that waits for its turn four times is not to wait for 32 of them each time.
FRAMES_PER_TURN = 32
TURN_S = 0.003
# Of each connection so many received frames are held when the program is too busy to take them; TCP holds the others.
# As many as one turn takes: a peer may send nothing but frames of 8 MiB, and most are told after the first.
_RECEIVE_FRAMES_MAX = FRAMES_PER_TURN
# A link's window is 4,096 frames: a peer for which twice as many wait has asked for answers and does not read them, and
# its wire is given up.
_SEND_FRAMES_MAX = 8192
# How long a closed socket may take to get its last frames (a REFUSE, a BYE) out.
LINGER_MS = 500
_HANDSHAKE_MS = 3000

_monitors = itertools.count()
_context: zmq.Context[zmq.Socket[bytes]] | None = None
_context_pid = 0


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the process's ZeroMQ context: one, so that endpoints of one process can meet over inproc."""
    global _context, _context_pid  # noqa: PLW0603  # one per process is what ZeroMQ asks for
    if _context is None or _context.closed or _context_pid != os.getpid():
        _context = zmq.Context()
        _context.set(zmq.MAX_SOCKETS, int(_context.get(zmq.SOCKET_LIMIT)))
        _context_pid = os.getpid()
    return _context


def _finish() -> None:
    """Let the last frames (a BYE, a REFUSE) out before the process ends, for as long as sockets linger."""
    if _context is not None and _context_pid == os.getpid():
        _context.destroy(linger=LINGER_MS)


# pyzmq does not wait at the end of the process.
atexit.register(_finish)


def new_socket(kind: int) -> zmq.Socket[bytes]:
    """Return a socket with the options that every socket of ours has."""
    socket = context().socket(kind)
    socket.linger = LINGER_MS
    socket.set(zmq.SNDHWM, _SEND_FRAMES_MAX)
    socket.set(zmq.RCVHWM, _RECEIVE_FRAMES_MAX)
    socket.set(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
    socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    return socket


def new_monitor(socket: zmq.Socket[bytes], events: int) -> zmq.Socket[bytes]:
    """Return a socket that tells of these events of another one.

    It has no limit: ZeroMQ's I/O thread, which all sockets of the process share, would stop at one until the program
    has read.  What waits there are two short messages for each connection that came or went meanwhile.
    """
    monitor = context().socket(zmq.PAIR)
    monitor.linger = 0
    monitor.set(zmq.RCVHWM, 0)
    address = f"inproc://broker-monitor-{next(_monitors)}"
    socket.monitor(address, events)
    monitor.connect(address)
    return monitor


def readable(socket: zmq.Socket[bytes]) -> bool:
    """Look whether a frame can be received; from here on the descriptor tells of the next one."""
    events: Any = socket.get(zmq.EVENTS)
    return bool(events & _POLLIN)


def monitor_event(monitor: zmq.Socket[bytes]) -> tuple[int, int]:
    """Receive from a monitor that is readable: the event, and its value (a descriptor, or what its kind says)."""
    message: Any = parse_monitor_message(monitor.recv_multipart(NOBLOCK))
    return int(message["event"]), int(message["value"])


def skip_parts(socket: zmq.Socket[bytes], end: float) -> bool:
    """Drop the rest of a message of several parts; returns whether all was dropped before ``end`` (perf_counter)."""
    while socket.get(zmq.RCVMORE):
        socket.recv(NOBLOCK)
        if perf_counter() >= end:
            return not socket.get(zmq.RCVMORE)
    return True


@trio.lowlevel.enable_ki_protection
async def read_loop(socket: zmq.Socket[bytes], drain: Callable[[], bool]) -> None:
    """Call ``drain`` whenever the socket may have frames, until it is closed.

    ``drain`` returns whether it left some, and has looked: False means that :func:`readable` was false at last.
    """
    descriptor = socket.FD
    while not socket.closed:
        if drain():
            await trio.lowlevel.checkpoint()
        elif not socket.closed:
            await trio.lowlevel.wait_readable(descriptor)
