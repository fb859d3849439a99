"""What an endpoint tells of itself on its reserved topics, on a simulated network."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import trio.testing
from msgspec import Struct, structs

import broker
from broker import Access, Endpoint, NotPermitted, Rights, SecretKey, TopicError, Trusted, blocking, events, reports
from broker.figures import EndpointFigures, LinkFigures, SubscriptionFigures
from broker.testing import SimulatedNetwork

GOLDEN = Path(__file__).parent / "vectors" / "reports.txt"


def _some(annotation: Any) -> Any:
    """A value of a type, that is no other one's."""
    if get_origin(annotation) is tuple:
        return (_some(get_args(annotation)[0]),) * 2
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation(*[_some(field.type) for field in structs.fields(annotation)])
    kind = get_args(annotation)[0] if get_args(annotation) else annotation
    return {int: 1 << 40, float: 0.25, str: "é", bool: True}[kind]


@pytest.mark.parametrize("kind", reports._classes, ids=lambda kind: kind.__name__)
def test_what_is_reported_comes_back_from_the_wire(kind: type[Struct]) -> None:
    value = _some(kind)
    name, data = events.encode(reports.event_of(value), 7)
    messages, misfits = events.decoder_for(name)(b"\x91" + data, 1, "$broker/x/status", "x")
    assert not misfits
    assert reports.value_of(messages[0].event) == value


def test_names_and_fields_are_those_that_other_versions_know() -> None:
    """Append fields, each with a default, to the class and to its line in the file; change nothing else."""
    lines = [f"broker::{kind.__name__} {' '.join(kind.__struct_fields__)}" for kind in reports._classes]
    assert GOLDEN.read_text().splitlines() == sorted(lines)


def test_topics_have_room_for_any_name() -> None:
    assert reports.figures_topic("web-01") == "$broker/web-01/figures"
    assert reports.status_topic("web-01") == "$broker/web-01/status"
    assert len(reports.figures_topic("é" * 127).encode()) <= 255


def test_a_program_s_own_event_stands_for_nothing_of_broker_s() -> None:
    with pytest.raises(broker.EventDefinitionError, match=r"no event of broker's own: see broker\.reports"):
        reports.value_of(broker.Event("x"))


@pytest.fixture
async def pair(autojump_clock: trio.testing.MockClock) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """One that reports every ten seconds, and one that it is linked with; what is waited for comes within a minute.

    Tests ask for the clock, too: it jumps for those alone.
    """
    network = SimulatedNetwork()
    async with (
        Endpoint("one", network=network, report_every=10.0) as one,
        Endpoint("two", network=network) as two,
    ):
        await one.peer(await two.listen("sim://two"))
        with trio.fail_after(60):
            yield one, two


async def test_figures_are_told_every_so_many_seconds(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    _, two = pair
    async with two.subscribe("$broker/") as messages:
        for number in (1, 2):
            kinds = []
            while EndpointFigures not in kinds:  # it is the last one
                message = await messages.receive()
                assert (message.topic, message.origin) == ("$broker/one/figures", "one")
                value = reports.value_of(message.event)
                kinds.append(type(value))
            assert LinkFigures in kinds
            assert isinstance(value, EndpointFigures)
            assert value.endpoint == "one"
            assert value.uptime_s == pytest.approx(10 * number, abs=0.1)
        assert trio.current_time() == pytest.approx(20, abs=1)


async def test_status_events_are_told_when_they_happen(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with (
        two.subscribe("$broker/one/status") as messages,
        two.subscribe("x", queue_messages=5, overflow="drop_newest"),
    ):
        for number in range(8):
            await one.publish("x", broker.Event("Tick", (number,)))
        value = reports.value_of((await messages.receive()).event)
        assert isinstance(value, broker.MessagesLost)
        assert (value.peer, value.count, value.direction) == ("two", 3, "out")


async def test_who_subscribes_to_everything_gets_no_reports(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    _, two = pair
    async with two.subscribe("") as everything, two.subscribe("$broker/one/figures") as figures:
        await figures.receive()
        await two.publish("x", broker.Event("Tick"))
        assert (await everything.receive()).topic == "x"
        with pytest.raises(trio.WouldBlock):
            everything.receive_nowait()


async def test_a_program_publishes_nothing_on_reserved_topics(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with two.subscribe("$broker/") as messages:
        event = (await messages.receive()).event
        for endpoint in pair:
            with pytest.raises(TopicError, match=r"begin with '\$broker/' are broker's own"):
                await endpoint.publish("$broker/one/figures", event)
            with pytest.raises(TopicError, match=r"begin with '\$broker/' are broker's own"):
                endpoint.publish_nowait("$broker//one/figures", event)
        await one.publish("$broker", event)  # that is not below it


def test_nor_does_a_blocking_one() -> None:
    with blocking.Endpoint("one") as endpoint, pytest.raises(TopicError, match="broker's own"):
        endpoint.publish("$broker/one/figures", broker.Event("x"))


async def test_a_slow_reader_of_reports_holds_up_nobody(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, _ = pair
    async with one.subscribe("$broker/one/figures", queue_messages=2, stall_timeout=float("inf")) as messages:
        await trio.sleep(35)
        subscription = one.figures().subscriptions[0]
        assert isinstance(subscription, SubscriptionFigures)
        assert (subscription.holding, subscription.lost) == (True, 0)
        dropped = one.figures().endpoint.reports_dropped
        assert dropped > 0
        with trio.fail_after(15):
            while not (
                isinstance(value := reports.value_of((await messages.receive()).event), EndpointFigures)
                and value.reports_dropped
            ):
                pass
        assert value.reports_dropped >= dropped


@pytest.mark.parametrize("every", [0, -1, 0.05, float("nan")])
def test_a_time_that_makes_no_sense_is_refused(every: float) -> None:
    with pytest.raises(ValueError, match=r"report_every is a number of seconds, at least 0\.1"):
        Endpoint("one", report_every=every)


async def test_who_has_no_right_to_report_says_so_once_and_goes_on(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    key = SecretKey.generate()
    trusted = {"one": Trusted(keys=(key.public,), own=Rights(publish=("host/",), subscribe=("$broker/",)))}
    network = SimulatedNetwork()
    async with (
        Endpoint("one", keys=key, access=Access(trusted=trusted), network=network, report_every=1.0) as one,
        one.subscribe("$broker/") as messages,
    ):
        with caplog.at_level(logging.WARNING, "broker"):
            await trio.sleep(5.5)
        assert len([record for record in caplog.records if "reports nothing" in record.message]) == 1
        with pytest.raises(trio.WouldBlock):
            messages.receive_nowait()
        right = Rights(publish=("$broker/{name}/",), subscribe=("$broker/",))
        one.change_access(Access(trusted={"one": Trusted(keys=(key.public,), own=right)}))
        with trio.fail_after(2):
            await messages.receive()
        with pytest.raises(NotPermitted):
            await one.publish("host/x", broker.Event("x"))


def test_what_is_about_reports_alone_is_not_reported() -> None:
    about = broker.MessagesLost("two", 3, "in", "slow", ("$broker/",))
    assert reports.is_about_reports(about)
    assert not reports.is_about_reports(structs.replace(about, topics=("$broker/", "host/")))
    assert not reports.is_about_reports(structs.replace(about, topics=()))
    assert reports.is_about_reports(broker.AccessRefused("one", "k", "publish", "$broker/one/status", "two", 1))
    assert reports.is_about_reports(broker.EventMisfitted("$broker/one/status", "one", "x", "f", "int", "str"))
    assert not reports.is_about_reports(broker.PeerAdded("two", "sim://two"))
