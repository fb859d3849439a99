"""Lines of recorded events, as messages that rules are given; and what rules make, as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import broker
from broker import events
from broker.cli.events.records import event_name, named_args, to_publish
from broker.cli.jsonform import FormError, dumps, from_json, loads, to_json
from broker.cli.standard import LineTooLong
from broker.rules.model import EventType

__all__ = ["LINE_ERRORS", "Reader", "made_line"]

LINE_ERRORS = (
    FormError,
    LineTooLong,
    UnicodeDecodeError,
    broker.TopicError,
    broker.NotCarried,
    broker.EventMisfit,
)
"""What a line of input can have wrong with it."""


class Reader:
    """Makes messages of lines: members may have names, where rules or this program know the event."""

    def __init__(
        self, types: Mapping[str, EventType], topic: str | None, event: str | None, clock: Callable[[], int]
    ) -> None:
        self._types = types
        self._topic = "input" if topic is None else topic
        self._event = event
        self._clock = clock

    def message(self, text: str) -> tuple[broker.Message, bool]:
        """Return the message of a line, and whether it says its time; raises what is in :data:`LINE_ERRORS`."""
        form = loads(text)
        if type(form) is dict and "type" in form and "payload" in form:
            return self._of_tornado(form)
        if type(form) is dict and self._is_fields(form):
            form = {"fields": form}
        time_ns, origin = None, "input"
        if type(form) is dict and ("args" in form or "fields" in form):
            time_ns = _time(form.get("time"))
            origin = form.get("origin", origin)
            if type(origin) is not str:
                raise FormError(f"the origin is text, not {dumps(origin):.60}")
            text = dumps(self._ordered(form))
        topic, event = to_publish(text, self._topic, self._event)
        at_ns = self._clock() if time_ns is None else time_ns
        return broker.Message(topic, _of_class(event, topic, origin), at_ns, origin), time_ns is not None

    def _is_fields(self, form: dict[str, Any]) -> bool:
        """Whether an object is the members of the one event type that the command names, and nothing else."""
        known = self._types.get(self._event or "")
        return known is not None and not form.keys() & {"args", "fields"} and all(map(known.member, form))

    def _of_tornado(self, form: dict[str, Any]) -> tuple[broker.Message, bool]:
        """The message of an event as Tornado has it."""
        name, payload, metadata = form["type"], form["payload"], form.get("metadata", {})
        created_ms = form.get("created_ms")
        if type(name) is not str or type(payload) is not dict or type(metadata) is not dict:
            raise FormError("an event of Tornado's has a text as its type, and objects as payload and metadata")
        if type(created_ms) not in {int, type(None)} or not 0 <= (created_ms or 0) < 1 << 43:
            raise FormError(f"created_ms is a number of milliseconds since 1970, not {dumps(created_ms):.60}")
        at_ns = self._clock() if created_ms is None else created_ms * 1_000_000
        event = broker.Event(name, (payload, metadata) if metadata else (payload,))
        return broker.Message(self._topic, event, at_ns, "input"), created_ms is not None

    def _ordered(self, form: dict[str, Any]) -> dict[str, Any]:
        """The form with its fields in the order of their event type's members, if that is known."""
        fields, name = form.get("fields"), form.get("event", self._event)
        known = self._types.get(name) if type(name) is str else None
        if type(fields) is not dict or known is None:
            return form
        members = [member.name for member in known.members]
        for field in fields:
            if field not in members:
                raise FormError(f"{name}.{field}: there is no such member: there are {', '.join(members) or 'none'}")
        missing = [member.name for member in known.members if member.name not in fields and not member.optional]
        if missing and not known.known:  # a class may have defaults
            raise FormError(f"{name}.{missing[0]}: it is missing")
        return form | {
            "fields": {member: fields.get(member) for member in members if member in fields or not known.known}
        }


def _time(given: Any) -> int | None:
    if given is None:
        return None
    if type(given) is not str:
        raise FormError(f"the time is text such as 2026-01-01T12:00:00+00:00, not {dumps(given):.60}")
    found: broker.Timestamp = from_json({"$timestamp": given})
    return found.nanoseconds


def _of_class(event: broker.Event, topic: str, origin: str) -> Any:
    """The event, of its class if this program knows one; raises EventMisfit."""
    if events.class_named(event.name) is None:
        return event
    name, data = events.encode(event, 0)
    messages, misfits = events.decoder_for(name)(b"\x91" + data, 1, topic, origin)
    if misfits:
        raise misfits[0].error
    return messages[0].event


def made_line(types: Mapping[str, EventType], *, rule: str, action: str, topic: str, time_ns: int, event: Any) -> str:
    """The line of what a rule has made, with its line break."""
    form: dict[str, Any] = {"rule": rule}
    if action:
        form["action"] = action
    if topic:
        form["topic"] = topic
    form["time"] = broker.Timestamp.from_ns(time_ns).isoformat()
    if event is None:
        return dumps(form) + "\n"
    form["event"] = name = event_name(event)
    values = named_args(event)
    known = types.get(name)
    if type(event) is broker.Event and (known is None or len(known.members) != len(values)):
        form["args"] = [to_json(value) for _, value in values]
    else:
        names = [member.name for member in known.members] if known is not None else [field for field, _ in values]
        form["fields"] = {field: to_json(value) for field, (_, value) in zip(names, values, strict=True)}
    return dumps(form) + "\n"
