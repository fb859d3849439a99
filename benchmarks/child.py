"""The measured process's end: run one role of one side and obey the benchmark's orders.

``python -m benchmarks.child MODULE ROLE ARGUMENTS`` calls ``MODULE.ROLE(channel, **ARGUMENTS)``.  Orders come as JSON
lines on standard input: ``{"count": n}`` (do n of what the role does), ``{"usage": true}`` (tell the processor time
used so far) and ``{"stop": true}``.  What the role tells goes out as JSON lines on standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import resource
import signal
import sys
import threading
from io import RawIOBase
from typing import BinaryIO

__all__ = ["Channel"]


class Channel:
    """Orders in, news out; used from any thread.

    A thread of its own reads the orders, so that a process whose benchmark died ends at once instead of becoming
    an orphan, whatever its role is busy with.
    """

    def __init__(self, incoming: RawIOBase, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._counts: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def tell(self, **news: object) -> None:
        """Send one line of news to the benchmark."""
        self._outgoing.write(json.dumps(news).encode() + b"\n")
        self._outgoing.flush()

    def order(self) -> int | None:
        """Wait for the next order: how many to do, or None to stop."""
        return self._counts.get()

    def _read(self) -> None:
        for line in self._incoming:
            order = json.loads(line)
            if "usage" in order:
                usage = resource.getrusage(resource.RUSAGE_SELF)
                self.tell(cpu=usage.ru_utime + usage.ru_stime)
            elif "stop" in order:
                self._counts.put(None)
                return
            else:
                self._counts.put(order["count"])
        os._exit(os.EX_IOERR)


def main() -> None:
    """Run the role that the command line names."""
    module, role, arguments = sys.argv[1:]
    # Ctrl-C is for the benchmark, which then ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A library that prints must not spoil the news: its output goes to standard error.
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Unbuffered: the interpreter cannot end while a thread waits inside a buffered reader.
    channel = Channel(os.fdopen(0, "rb", buffering=0), outgoing)
    getattr(importlib.import_module(module), role)(channel, **json.loads(arguments))


if __name__ == "__main__":
    main()
