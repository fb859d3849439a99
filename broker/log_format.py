"""What broker writes to :mod:`logging`, and two formatters that show it.

Loggers are ``broker`` and those below it: ``broker.peers``, ``broker.messages``, ``broker.access``, ``broker.stores``
and ``broker.logs`` for status events; ``broker.net``, ``broker.sinks``, ``broker.reports`` for what is none.  The
message is a sentence; what it is about stands besides, in a dict, in the record's attribute ``broker``::

    {"endpoint": "manager", "event": "MessagesLost", "peer": "web-01", "count": 15, "direction": "in", ...}

``event`` is the class of a status event (:mod:`broker.status`), whose fields follow it.  So any formatter or filter can
get at it: ``record.broker["peer"]``.  Here is how a program has all of it written as lines of JSON::

    handler = logging.StreamHandler()
    handler.setFormatter(broker.log_format.JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])

Levels: WARNING for what was lost, refused or fails; INFO for what changes (a peer comes, goes, a clone is in step);
DEBUG for what is repeated for each attempt or event.  Losses and refusals, which come in floods, are told at once, then
at most once a second.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["JsonFormatter", "TextFormatter", "about"]

_PLAIN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "broker"})


def about(endpoint: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return what a record is about, as ``extra=`` of a logger's methods takes it."""
    return {"broker": fields if endpoint is None else {"endpoint": endpoint, **fields}}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """A line for each record: time (UTC), level, message; nothing in it moves a terminal's cursor."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        """Return the record's time."""
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name for it
        """Return the line, without a traceback."""
        text = super().formatMessage(record)
        if text.isprintable():
            return text
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class JsonFormatter(logging.Formatter):
    """A JSON object on one line for each record.

    ``time`` (UTC), ``level``, ``logger``, ``message``, then what the record is about, then what the program gave as
    ``extra=`` itself, at last the ``exception``.  What is not JSON's is written as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "broker", None)
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        for more in (fields if isinstance(fields, Mapping) else {}, extra):
            for name, value in more.items():
                line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
