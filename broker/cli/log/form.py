"""Records of log streams as JSON objects, one a line.

    {"stream": ..., "time": ..., "origin": NAME, "number": 7, "position": ..., "record": NAME, "fields": {...}}

Fields are called as their columns are; values are as in :mod:`broker.cli.jsonform`.  A record of a plain topic has no
"number" and no "position"; "lost_before" and "redelivered" are there when they say something.
"""

from __future__ import annotations

from typing import Any

import msgspec

import broker
from broker.cli.events.records import event_name, named_args
from broker.cli.jsonform import dumps, to_json
from broker.log_records import columns_of

__all__ = ["Shown", "fields_of", "line_of", "shown_of"]


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A record that is to be shown, of a durable stream or of a plain topic; it is one for :mod:`broker.sinks`, too."""

    stream: str
    record: Any
    time_ns: int
    origin: str
    columns: tuple[broker.Column, ...]
    message: broker.LogMessage | None  # of a durable stream

    @property
    def time(self) -> broker.Timestamp:
        """The writer's clock."""
        return broker.Timestamp.from_ns(self.time_ns)


def shown_of(message: broker.LogMessage | broker.Message, stream: str) -> Shown:
    """What is shown of a message."""
    if isinstance(message, broker.LogMessage):
        return Shown(stream, message.record, message.time_ns, message.origin, message.columns, message)
    event = message.event
    if type(event) is broker.Event:
        columns = tuple(broker.Column(f"arg{number}", "any") for number, _ in enumerate(event.args, 1))
    else:
        columns = columns_of(type(event))
    return Shown(stream, event, message.time_ns, message.origin, columns, None)


def fields_of(shown: Shown) -> list[tuple[str, Any]]:
    """The values of a record as they travel, each with its column's name."""
    names = [column.name for column in shown.columns]
    values = [value for _, value in named_args(shown.record)]
    # An older program's records lack appended columns, a newer one's may have more than were told.
    names += [f"arg{number}" for number in range(len(names) + 1, len(values) + 1)]
    return list(zip(names, values, strict=False))


def line_of(shown: Shown) -> str:
    """The line of a record, with its line break."""
    form: dict[str, Any] = {"stream": shown.stream, "time": shown.time.isoformat(), "origin": shown.origin}
    message = shown.message
    if message is not None:
        form |= {"number": message.number, "position": str(message.position)}
        if message.lost_before:
            form["lost_before"] = message.lost_before
        if message.redelivered:
            form["redelivered"] = True
    form["record"] = event_name(shown.record)
    form["fields"] = {name: to_json(value) for name, value in fields_of(shown)}
    return dumps(form) + "\n"
