"""Messages as JSON objects, one a line: what ``broker sub`` prints and ``broker pub`` reads.

    {"topic": ..., "time": ..., "origin": ..., "event": NAME, "args": [...]}       of an event without a class here
    {"topic": ..., "time": ..., "origin": ..., "event": NAME, "fields": {...}}     of one with a class

Values are as in :mod:`broker.cli.jsonform`; objects inside events are the lists of their fields, as on the wire.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from broker import Event, Message
from broker.cli.jsonform import FormError, dumps, from_json, loads, to_json
from broker.events import encode, name_of
from broker.values import unpack

__all__ = ["event_name", "line_of", "named_args", "record_of", "to_publish"]

_KEYS = frozenset({"topic", "time", "origin", "event", "args", "fields"})


def event_name(event: object) -> str:
    """The name that an event has on the wire."""
    return event.name if type(event) is Event else name_of(type(event))


def named_args(event: object) -> list[tuple[str, Any]]:
    """The event's values as they travel, in order, each with its field's name ("" where there is no class)."""
    if type(event) is Event:
        return [("", value) for value in event.args]
    _, data = encode(event, 0)
    fields: Any = attrs.fields(cast("type[attrs.AttrsInstance]", type(event)))
    return list(zip([field.name for field in fields], unpack(data)[1:], strict=True))


def record_of(message: Message) -> dict[str, Any]:
    """The JSON object of a message."""
    event = message.event
    record: dict[str, Any] = {
        "topic": message.topic,
        "time": message.time.isoformat(),
        "origin": message.origin,
        "event": event_name(event),
    }
    values = named_args(event)
    if type(event) is Event:
        record["args"] = [to_json(value) for _, value in values]
    else:
        record["fields"] = {name: to_json(value) for name, value in values}
    return record


def line_of(message: Message) -> str:
    """The line of a message, with its line break."""
    return dumps(record_of(message)) + "\n"


def to_publish(text: str, topic: str | None, name: str | None) -> tuple[str, Event]:
    """What a line of input asks to publish; ``topic`` and ``name`` stand in for what it leaves open.

    An object with "args" or "fields" is a message as ``broker sub`` prints it, with its own topic and event; a list is
    the event's arguments; anything else is its only argument.  Raises :class:`FormError`.
    """
    form = loads(text)
    if type(form) is dict and ("args" in form or "fields" in form):
        return _from_record(form, topic, name)
    args = from_json(form) if type(form) is list else [from_json(form)]
    return _complete(topic, name, tuple(args))


def _from_record(form: dict[str, Any], topic: str | None, name: str | None) -> tuple[str, Event]:
    unknown = form.keys() - _KEYS
    if unknown or ("args" in form and "fields" in form):
        raise FormError(
            f"a message has topic, event and either args or fields; this one has {', '.join(sorted(form))}. "
            f"An object that is an argument itself goes into a list: [{{...}}]"
        )
    own_topic, own_name = form.get("topic", topic), form.get("event", name)
    for key, value in (("topic", own_topic), ("event", own_name)):
        if value is not None and type(value) is not str:
            raise FormError(f"the {key} is text, not {dumps(value):.60}")
    args, fields = form.get("args", []), form.get("fields", {})
    if type(args) is not list or type(fields) is not dict:
        raise FormError("args are a list and fields are an object")
    return _complete(own_topic, own_name, tuple(from_json(value) for value in (*args, *fields.values())))


def _complete(topic: str | None, name: str | None, args: tuple[Any, ...]) -> tuple[str, Event]:
    if topic is None or name is None:
        missing = "topic" if topic is None else "event name"
        raise FormError(f"no {missing}: give it on the command line or in the line")
    return topic, Event(name, args)
