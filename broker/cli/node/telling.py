"""What a node tells: on standard output what is open, on standard error its log, to a service manager that it is ready.

Nothing of it ends the node: its reader may be gone, and it goes on.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import suppress
from typing import Any, Final

from broker.cli.jsonform import dumps
from broker.cli.standard import printable
from broker.config.model import Logging
from broker.log_format import JsonFormatter, TextFormatter

__all__ = ["Announcements", "notify", "set_up_logging"]

_HANDLER: Final = logging.StreamHandler(sys.stderr)


class Announcements:
    """Lines on standard output, one for each thing that is open: words, or JSON objects."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, words: str, status: str, **form: Any) -> None:
        """Say something; it is small enough to be written at once."""
        line = dumps({"status": status, **form}) if self._as_json else printable(words)
        with suppress(OSError, ValueError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def notify(*lines: str) -> None:
    """Tell systemd, or whoever else has set NOTIFY_SOCKET (see sd_notify(3)); nobody when it is not set."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where[:1] not in ("/", "@"):
        return
    # A name in Linux's abstract namespace begins with a zero byte, written as @.
    address = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, suppress(OSError):
        sock.connect(address)
        sock.sendall("\n".join(lines).encode())


def set_up_logging(settings: Logging) -> None:
    """Write the log of the library, and of the program, to standard error."""
    _HANDLER.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    if _HANDLER not in root.handlers:
        root.addHandler(_HANDLER)
    root.setLevel(settings.level.upper())
