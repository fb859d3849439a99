"""What an endpoint tells of itself to whoever subscribes to it: its figures and status events, as events.

An endpoint with ``report_every=SECONDS`` publishes them on topics of its own, below the reserved :data:`RESERVED`::

    $broker/NAME/figures   every so many seconds: the parts of endpoint.figures(), and last the EndpointFigures
    $broker/NAME/status    each status event, when it happens: PeerLost, MessagesLost...

Nobody else may publish there, and the empty prefix does not bring them: who wants them subscribes to ``$broker/``.
With access rules, who reports needs the right to publish ``$broker/{name}/``, who reads it the right to subscribe to
``$broker/``.  What a slow reader has no room for is not published, and counted: reporting holds up nobody.

The events are named as the classes of :mod:`broker.figures` and :mod:`broker.status`, with ``broker::`` before.  A
program that has not imported this module gets them as :class:`broker.Event`; :func:`value_of` gives the figures, or the
status event, that they stand for::

    async with endpoint.subscribe("$broker/") as messages:
        async for message in messages:
            match reports.value_of(message.event):
                case StoreFigures(store=store, staleness_s=seconds) if seconds > 10:
                    print(f"{message.origin}: {store} is {seconds:.0f} s behind")
                case broker.MessagesLost() as lost:
                    print(f"{message.origin}: {lost}")
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import islice
from types import GenericAlias
from typing import Any, Final, get_args, get_origin

import attrs
from msgspec import NODEFAULT, Struct, structs

from broker import events, status
from broker.errors import EventDefinitionError
from broker.figures import (
    CollectorFigures,
    EndpointFigures,
    Figures,
    LinkFigures,
    LogFigures,
    ReceiverFigures,
    StoreFigures,
    SubscriptionFigures,
)
from broker.topics import RESERVED, TOPIC_BYTES_MAX, normalize_prefix

__all__ = [
    "PARTS_MAX",
    "event_class",
    "event_of",
    "events_of",
    "figures_topic",
    "is_about_reports",
    "status_topic",
    "value_of",
]

_PREFIX: Final = "broker::"
# Of each kind in one report: an endpoint with ten thousand subscriptions is not to flood who watches it.
PARTS_MAX: Final = 1000
_NAME_BYTES_MAX: Final = TOPIC_BYTES_MAX - len(RESERVED) - len("/figures")

_PARTS: Final[tuple[type[Struct], ...]] = (
    LinkFigures,
    ReceiverFigures,
    SubscriptionFigures,
    StoreFigures,
    LogFigures,
    CollectorFigures,
    EndpointFigures,
)
_STATUSES: Final[tuple[type[Struct], ...]] = tuple(vars(status)[name] for name in status.__all__ if name != "Status")

_classes: dict[type[Struct], type] = {}
_structs: dict[type, type[Struct]] = {}


# -- topics -----------------------------------------------------------------------------------------------------------


def figures_topic(endpoint: str) -> str:
    """Return the topic on which an endpoint of that name tells its figures."""
    return normalize_prefix(f"{RESERVED}{_cut(endpoint)}/figures")


def status_topic(endpoint: str) -> str:
    """Return the topic on which an endpoint of that name tells its status events."""
    return normalize_prefix(f"{RESERVED}{_cut(endpoint)}/status")


def _cut(name: str) -> str:
    """Return as much of a name as has room in a topic."""
    return unicodedata.normalize("NFC", name).encode()[:_NAME_BYTES_MAX].decode(errors="ignore")


# -- classes ----------------------------------------------------------------------------------------------------------


def event_class(kind: type[Struct]) -> type:
    """Return the event class that stands for a class of figures or of status events; KeyError: it is neither."""
    return _classes[kind]


def _make(kind: type[Struct]) -> type:
    """Make the event class with the fields of a class of figures or of status events."""
    body: dict[str, Any] = {"__annotations__": {}, "__doc__": kind.__doc__, "__module__": __name__}
    for field in structs.fields(kind):
        body["__annotations__"][field.name] = _carried(field.type)
        if field.default is not NODEFAULT:
            body[field.name] = attrs.field(default=field.default)
    made: type = events.define(type(kind.__name__, (), body), _PREFIX + kind.__name__, {}, "event")
    _classes[kind], _structs[made] = made, kind
    return made


def _carried(annotation: Any) -> Any:
    """Return what an annotation is in the event: figures within figures are events, too."""
    if get_origin(annotation) is tuple:
        return GenericAlias(tuple, tuple(map(_carried, get_args(annotation))))
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return _classes.get(annotation) or _make(annotation)
    return annotation


for _kind in (*_PARTS, *_STATUSES):
    _make(_kind)


# -- there and back ---------------------------------------------------------------------------------------------------


def event_of(value: Struct) -> Any:
    """Return a part of figures, or a status event, as the event that is published."""
    kind = type(value)
    return _classes[kind](*[_out(getattr(value, name)) for name in kind.__struct_fields__])


def _out(item: Any) -> Any:
    if isinstance(item, tuple):
        return tuple(map(_out, item))
    return event_of(item) if isinstance(item, Struct) else item


def value_of(event: object) -> Struct:
    """Return the part of figures, or the status event, that an event on a reserved topic stands for.

    One that came as a :class:`broker.Event`, and one of another program, raises EventDefinitionError.
    """
    kind = _structs.get(type(event))
    if kind is None:
        raise EventDefinitionError(f"{type(event).__qualname__} is no event of broker's own: see broker.reports")
    return kind(*[_in(getattr(event, name)) for name in kind.__struct_fields__])


def _in(item: Any) -> Any:
    if isinstance(item, tuple):
        return tuple(map(_in, item))
    return value_of(item) if type(item) in _structs else item


def events_of(figures: Figures) -> Iterator[Any]:
    """Give the events of one report; that with an endpoint's own figures is the last one.

    Of each kind at most a thousand.
    """
    for parts in (
        figures.links,
        figures.receivers,
        figures.subscriptions,
        figures.stores,
        figures.logs,
        figures.collectors,
    ):
        yield from map(event_of, islice(parts, PARTS_MAX))
    yield event_of(figures.endpoint)


def is_about_reports(value: status.Status) -> bool:
    """Whether a status event is about reports alone: it is not reported, as that might lead to the next one."""
    if isinstance(value, status.AccessRefused):
        return value.what.startswith(RESERVED)
    if isinstance(value, status.MessagesLost):
        return bool(value.topics) and all(topic.startswith(RESERVED) for topic in value.topics)
    return isinstance(value, status.EventMisfitted) and value.topic.startswith(RESERVED)
