"""Entries and changes of stores as JSON objects, one a line, and keys and values as they are typed.

    {"key": ..., "value": ..., "expires": null or "2026-01-01T12:00:00.000000001+00:00"}           an entry
    {"key": ..., "cause": "put", "old": ..., "new": ..., "writer": NAME, "time": ..., "position": ..., "final": true}

Keys and values are as in :mod:`broker.cli.jsonform`.  Of a change "old" or "new" is left out where there was or is
nothing, and "key" where all was cleared; "element" is there for a change within a list, dict or set.  Two marks stand
where no value is told: {"$omitted": null}, there was one, and {"$last": null}, the last element of a list.
"""

from __future__ import annotations

from typing import Any, Final

import broker
from broker.cli.jsonform import FormError, dumps, from_json, loads, quoting, to_json
from broker.cli.running import InputError

__all__ = ["change_line", "entry_line", "entry_of", "level_of", "shown", "typed"]

_KEYS: Final = frozenset({"key", "value", "expires"})
_MARKS: Final[dict[object, Any]] = {broker.OMITTED: {"$omitted": None}, broker.LAST: {"$last": None}}
# A table's cell is cut to the terminal anyway; a value of megabytes is cut before that.
_SHOWN_CHARACTERS_MAX: Final = 1000


def typed(text: str, what: str) -> Any:
    """The value of JSON on the command line; raises InputError."""
    try:
        return from_json(loads(text))
    except FormError as error:
        raise InputError(f"{what} {text!r:.60}: {error}{quoting(text)}") from None


def level_of(text: str) -> broker.Level:
    """The level that "applied", "durable" or "replicated:3" names; raises ValueError."""
    if text == "applied":
        return "applied"
    if text == "durable":
        return "durable"
    word, _, number = text.partition(":")
    if word != "replicated" or not number.isdecimal() or not 1 <= int(number) <= 10_000:
        raise ValueError(f"{text!r:.60} is not applied, durable or replicated:N, with N from 1 to 10000")
    return broker.Replicated(int(number))


def shown(value: object) -> str:
    """A value for a table: its JSON, cut if it is long."""
    return dumps(_MARKS[value] if isinstance(value, type(broker.ABSENT)) else to_json(value))[:_SHOWN_CHARACTERS_MAX]


def entry_line(key: object, value: object, expires: broker.Timestamp | None) -> str:
    """The line of an entry, with its line break."""
    form = {"key": to_json(key), "value": to_json(value), "expires": expires.isoformat() if expires else None}
    return dumps(form) + "\n"


def entry_of(line: str) -> tuple[Any, Any, broker.Timestamp | None]:
    """Read what :func:`entry_line` gives; "expires" may be left out.  Raises FormError."""
    form = loads(line)
    if type(form) is not dict or not {"key", "value"} <= form.keys() <= _KEYS:
        raise FormError('an entry is {"key": ..., "value": ..., "expires": null or a time}')
    expires = form.get("expires")
    if expires is not None and type(expires) is not str:
        raise FormError(f"expires is a time such as 2026-01-01T12:00:00+00:00, not {dumps(expires):.60}")
    when = None if expires is None else from_json({"$timestamp": expires})
    return from_json(form["key"]), from_json(form["value"]), when


def change_line(change: broker.Change) -> str:
    """The line of a change, with its line break."""
    form: dict[str, Any] = {}
    parts = (("key", change.key), ("element", change.element), ("old", change.old), ("new", change.new))
    for name, value in parts:
        if value is not broker.ABSENT:
            form[name] = _MARKS[value] if isinstance(value, type(broker.ABSENT)) else to_json(value)
        if name == "key":
            form["cause"] = change.cause
    form |= {
        "writer": change.writer,
        "time": change.time.isoformat(),
        "position": str(change.position),
        "final": change.final,
    }
    return dumps(form) + "\n"
