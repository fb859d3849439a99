"""What a user of ``@broker.event`` can rely on, from the class body to the subscriber."""

from __future__ import annotations

import traceback
from types import ModuleType
from typing import Any

import attrs
import msgpack
import pytest

from broker import events
from broker.errors import EventDefinitionError, EventMisfit, Malformed, NotCarried
from broker.events import Event, Misfit
from broker.messages import Message
from broker.values import pack


@events.event
class DiskUsage:
    host: str
    mount: str
    used: float
    inodes: int = 0


@events.event
class Checked:
    percent: int = attrs.field(validator=attrs.validators.le(100))
    unit: str = attrs.field(default="%", converter=str.strip)


class Outer:
    @events.event
    class Inner:
        number: int


def run_of(*published: object, time_ns: int = 1_000) -> tuple[str, bytes, int]:
    encoded = [events.encode(event, time_ns + index) for index, event in enumerate(published)]
    (name,) = {name for name, _ in encoded}
    return name, msgpack.Packer().pack_array_header(len(encoded)) + b"".join(row for _, row in encoded), len(encoded)


def receive(*published: object) -> tuple[list[Message], list[Misfit]]:
    name, body, count = run_of(*published)
    return events.decoder_for(name)(body, count, "host/a", "agent")


def misfit_of(*published: object) -> EventMisfit:
    messages, (misfit,) = receive(*published)
    assert messages == []
    return misfit.error


# --- a message ---------------------------------------------------------------------------------------------------


def test_an_event_arrives_as_its_class_with_topic_time_and_origin() -> None:
    event = DiskUsage("web-01", "/", 0.91, 7)
    messages, misfits = receive(event)
    assert messages == [Message("host/a", event, 1_000, "agent")]
    assert misfits == []
    assert type(messages[0].event) is DiskUsage
    assert messages[0].lost_before == 0


def test_a_message_tells_its_time_with_nanoseconds() -> None:
    message = Message("t", DiskUsage("a", "/", 1), 1_700_000_000_123_456_789, "agent")
    assert message.time.isoformat() == "2023-11-14T22:13:20.123456789+00:00"
    assert message.time.utcoffset() is not None


def test_a_message_is_frozen_and_shows_all_it_holds() -> None:
    message = Message("t", DiskUsage("a", "/", 1), 5, "agent")
    assert repr(message) == (
        "Message(topic='t', event=DiskUsage(host='a', mount='/', used=1, inodes=0), time_ns=5, origin='agent', "
        "lost_before=0, trace=None)"
    )
    with pytest.raises(AttributeError):
        message.topic = "u"  # type: ignore[misc]


def test_events_of_a_run_keep_their_order() -> None:
    published = [DiskUsage("web-01", "/", float(number)) for number in range(300)]
    messages, _ = receive(*published)
    assert [message.event for message in messages] == published
    assert [message.time_ns for message in messages] == list(range(1_000, 1_300))


def test_a_run_is_read_from_a_memoryview() -> None:
    name, body, count = run_of(DiskUsage("a", "/", 0.5))
    messages, _ = events.decoder_for(name)(memoryview(b"__" + body)[2:], count, "t", "o")
    assert messages[0].event == DiskUsage("a", "/", 0.5)


def test_an_int_in_a_float_field_arrives_as_an_int() -> None:
    (message,), _ = receive(DiskUsage("a", "/", 1))
    assert type(message.event.used) is int


# --- misfits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field", "expected", "found"),
    [
        (DiskUsage("a", "/", "full"), "used", "float", "str 'full'"),  # type: ignore[arg-type]
        (DiskUsage("a", "/", True), "used", "float", "bool True"),
        (DiskUsage("a", "/", 1.0, True), "inodes", "int", "bool True"),
        (DiskUsage("a", "/", 1.0, 2.0), "inodes", "int", "float 2.0"),  # type: ignore[arg-type]
        (DiskUsage(None, "/", 1.0), "host", "str", "None"),  # type: ignore[arg-type]
        (DiskUsage(b"a", "/", 1.0), "host", "str", "bytes b'a'"),  # type: ignore[arg-type]
    ],
)
def test_the_publisher_is_told_which_field_does_not_fit(event: Any, field: Any, expected: Any, found: Any) -> None:
    with pytest.raises(EventMisfit) as caught:
        events.encode(event, 1)
    error = caught.value
    assert (error.event, error.field, error.expected, error.found) == ("DiskUsage", field, expected, found)


def test_a_subclass_of_str_does_not_fit_str() -> None:
    class Name(str):
        __slots__ = ()

    with pytest.raises(EventMisfit, match=r"DiskUsage\.host: expected str, found Name 'a'"):
        events.encode(DiskUsage(Name("a"), "/", 1.0), 1)


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (DiskUsage("a", "/", 1, 2**64), ".inodes"),
        (DiskUsage("a", "\ud800", 1), ".mount"),
        (DiskUsage("a", "/", -(2**63) - 1), ".used"),
    ],
)
def test_what_fits_but_cannot_be_carried_is_refused_with_its_path(event: Any, path: Any) -> None:
    with pytest.raises(NotCarried) as caught:
        events.encode(event, 1)
    assert caught.value.path == path


def test_an_encoder_works_on_after_it_has_refused() -> None:
    with pytest.raises(NotCarried):
        events.encode(DiskUsage("a", "/", 1, 2**64), 1)
    assert events.encode(DiskUsage("a", "/", 1, 2), 1) == ("DiskUsage", pack([1, "a", "/", 1, 2]))


def test_a_misfit_does_not_keep_its_neighbours_from_arriving() -> None:
    messages, misfits = receive(
        Event("DiskUsage", ("a", "/", 1.0)),
        Event("DiskUsage", ("a", "/", "full")),
        Event("DiskUsage", ("b", "/", 2.0, 3)),
        Event("DiskUsage", ("b", 7, 2.0, 3)),
    )
    assert [message.event for message in messages] == [DiskUsage("a", "/", 1.0), DiskUsage("b", "/", 2.0, 3)]
    assert [message.time_ns for message in messages] == [1_000, 1_002]
    assert [(misfit.index, misfit.error.field, misfit.error.found) for misfit in misfits] == [
        (1, "used", "str 'full'"),
        (3, "mount", "int 7"),
    ]


def test_a_validator_of_the_receiver_makes_a_misfit_that_names_its_field() -> None:
    error = misfit_of(Event("Checked", (101,)))
    assert (error.event, error.field, error.found) == ("Checked", "percent", "int 101")
    assert "'percent' must be <= 100" in error.expected


def test_converters_run_on_the_receiver_too() -> None:
    (message,), _ = receive(Event("Checked", (5, "  GB ")))
    assert message.event == Checked(5, "GB")


def test_what_was_found_is_quoted_in_short() -> None:
    error = misfit_of(Event("DiskUsage", ("a", "/", "x" * 100_000)))
    assert len(error.found) < 100


# --- old and new programs ----------------------------------------------------------------------------------------


def test_a_missing_field_takes_its_default() -> None:
    (message,), _ = receive(Event("DiskUsage", ("a", "/", 0.5)))
    assert message.event == DiskUsage("a", "/", 0.5, 0)


def test_fields_unknown_here_are_left_out() -> None:
    (message,), _ = receive(Event("DiskUsage", ("a", "/", 0.5, 3, "new", [1])))
    assert message.event == DiskUsage("a", "/", 0.5, 3)


def test_a_missing_field_without_default_is_a_misfit_that_names_it() -> None:
    error = misfit_of(Event("DiskUsage", ("a", "/")))
    assert (error.field, error.expected) == ("used", "float")
    assert error.found.startswith("nothing")


def test_a_default_need_not_fit_its_annotation_to_be_taken() -> None:
    @events.event
    class Unset:
        a: int
        b: int = None  # type: ignore[assignment] # seen in the wild

    (message,), misfits = receive(Event("Unset", (1,)))
    assert (message.event, misfits) == (Unset(1), [])


def test_a_missing_field_takes_its_factory() -> None:
    @events.event
    class Grown:
        a: int
        tags: list[str] = attrs.field(factory=list)
        b: int = attrs.field(default=attrs.Factory(lambda self: self.a + 1, takes_self=True))

    (one, two), _ = receive(Event("Grown", (1,)), Event("Grown", (2,)))
    assert (one.event, two.event) == (Grown(1, [], 2), Grown(2, [], 3))
    assert one.event.tags is not two.event.tags


# --- events without a class --------------------------------------------------------------------------------------


def test_an_unknown_name_arrives_as_event_with_its_fields() -> None:
    published = Event("Reboot", ("web-01", 3, None, (1, 2)))
    (message,), misfits = receive(published)
    assert message.event == published
    assert misfits == []
    assert hash(message.event) == hash(published)


def test_a_class_defined_later_takes_over_the_name() -> None:
    name, body, count = run_of(Event("Later", (1,)))
    assert type(events.decoder_for(name)(body, count, "t", "o")[0][0].event) is Event

    @events.event
    class Later:
        number: int

    assert events.decoder_for(name)(body, count, "t", "o")[0][0].event == Later(1)


def test_what_an_event_cannot_carry_is_named_by_its_place() -> None:
    with pytest.raises(NotCarried) as caught:
        events.encode(Event("Reboot", (1, {"a": [object()]})), 1)
    assert caught.value.path == ".args[1]['a'][0]"


@pytest.mark.parametrize("name", ["", 3, "x" * 256, "\ud800"])
def test_an_event_needs_a_name(name: Any) -> None:
    with pytest.raises(EventMisfit, match=r"Event\.name"):
        Event(name, ())


def test_an_event_needs_a_tuple() -> None:
    with pytest.raises(EventMisfit, match=r"Event\.args: expected tuple"):
        Event("Reboot", [1])


# --- bytes from elsewhere ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DiskUsage", "Checked", "NobodyKnowsThis"])
@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 1),
        (b"\xc1", 1),
        (pack([[1, "a", "/", 0.5, 1]]), 2),
        (pack([[1, "a", "/", 0.5, 1]]) + b"\xc0", 1),
        (pack([1]), 1),
        (pack([[]]), 1),
        (pack([["now", "a", "/", 0.5, 1]]), 1),
        (pack([[True, "a", "/", 0.5, 1]]), 1),
        (pack([{1: 2}]), 1),
        (pack({1: [1]}), 1),
        (pack(b"abcde"), 5),
        (pack([[1, "a", "/", 0.5, {1: 2}]])[:-3] + b"\x82\x01\x02\x01\x02", 1),
        (b"\xdd\xff\xff\xff\xff", 2**32 - 1),
        (b"\xdd\x00\x00\x00\x02" + pack([1, "a", "/", 0.5, 1]), 2),
    ],
)
def test_a_body_that_is_no_run_is_malformed(name: Any, body: Any, count: Any) -> None:
    with pytest.raises(Malformed):
        events.decoder_for(name)(body, count, "t", "o")


# --- definitions -------------------------------------------------------------------------------------------------


def test_the_name_is_that_of_the_class_and_the_classes_around_it() -> None:
    @events.event
    class Local:
        number: int

    assert [events.name_of(cls) for cls in (DiskUsage, Outer.Inner, Local)] == ["DiskUsage", "Outer.Inner", "Local"]


def test_a_name_can_be_given() -> None:
    @events.event(name="disk::Full")
    class Full:
        mount: str

    assert events.encode(Full("/"), 1)[0] == "disk::Full"
    assert receive(Full("/"))[0][0].event == Full("/")


def test_two_classes_of_one_name_are_refused_with_advice() -> None:
    with pytest.raises(EventDefinitionError, match=r"two event classes are named 'DiskUsage'.*name=\.\.\."):

        @events.event(name="DiskUsage")
        class Other:
            number: int


def test_a_module_loaded_again_takes_the_place_of_its_former_self() -> None:
    source = "from broker import events\n@events.event\nclass Reloaded:\n    a: int\n"
    first, second = ModuleType("agent"), ModuleType("agent")
    exec(source, first.__dict__)  # noqa: S102 - a module's body
    exec(source + "    b: int = 2\n", second.__dict__)  # noqa: S102
    (message,), _ = receive(first.__dict__["Reloaded"](1))
    assert message.event == second.__dict__["Reloaded"](1, 2)


@pytest.mark.parametrize("cls", [int, object, attrs.make_class("Plain", ["a"])])
def test_other_classes_are_no_events(cls: Any) -> None:
    with pytest.raises(EventDefinitionError, match=r"@broker\.event"):
        events.encoder_for(cls)
    with pytest.raises(EventDefinitionError, match=r"@broker\.event"):
        events.name_of(cls)


def test_an_attrs_class_is_not_decorated_twice() -> None:
    with pytest.raises(EventDefinitionError, match="attrs class already"):
        events.event(attrs.make_class("Twice", ["a"]))


def test_a_subclass_that_is_no_event_itself_cannot_be_published() -> None:
    class Sub(DiskUsage):
        pass

    with pytest.raises(EventDefinitionError, match="Sub is not an event class"):
        events.encode(Sub("a", "/", 1.0), 1)


def test_an_event_inherits_the_fields_of_another() -> None:
    @events.event
    class DiskUsageOf(DiskUsage):
        user: str = "root"

    (message,), _ = receive(DiskUsageOf("a", "/", 0.5, 1, "alice"))
    assert message.event == DiskUsageOf("a", "/", 0.5, 1, "alice")
    assert isinstance(message.event, DiskUsage)


def test_an_event_without_fields() -> None:
    @events.event
    class Ping:
        pass

    assert receive(Ping(), Ping())[0][1].event == Ping()


def test_a_class_with_an_init_of_its_own_is_made_field_by_field() -> None:
    @events.event
    class Parsed:
        host: str
        port: int

        def __init__(self, address: str) -> None:
            host, _, port = address.partition(":")
            self.__attrs_init__(host, int(port))  # type: ignore[attr-defined]

    assert receive(Parsed("a:1"))[0][0].event == Parsed("a:1")


def test_a_traceback_through_generated_code_shows_its_source() -> None:
    _, encode = events.encoder_for(DiskUsage)
    with pytest.raises(AttributeError) as caught:
        encode(Outer(), 1)
    assert "v_host = event.host" in "".join(traceback.format_exception(caught.value))


def test_the_fields_of_a_run_may_have_any_names() -> None:
    names = ["row", "time_ns", "messages", "append", "instance", "topic", "origin", "rows", "event", "_private", "cls"]
    made: Any = events.event(type("OddNames", (), {"__annotations__": dict.fromkeys(names, int)}))
    assert receive(made(*range(11)))[0][0].event == made(*range(11))
