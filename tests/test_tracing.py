"""The trace that an event belongs to, from the span that it was published in to who receives it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest
import trio.testing
from msgspec import Struct
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

import broker
from broker import Endpoint, Message, Trace, blocking
from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.frames import Batch, Run, encode_batch
from broker.testing import SimulatedNetwork
from broker.tracing import context_of, current

TRACER = TracerProvider().get_tracer("test")
TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@broker.event(name="tracing.Tick")
class Tick:
    number: int


def _span(state: TraceState | None = None, span_id: int = SPAN_ID) -> trace.Span:
    """A span of a trace that came from elsewhere."""
    return NonRecordingSpan(SpanContext(TRACE_ID, span_id, True, TraceFlags(TraceFlags.SAMPLED), state))


@pytest.fixture
async def chain(autojump_clock: trio.testing.MockClock) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """One that tells of traces, and one that knows nothing of them, with a relay between them.

    Tests ask for the clock, too: it jumps for those alone.
    """
    network = SimulatedNetwork()
    async with (
        Endpoint("one", network=network, tracing=True) as one,
        Endpoint("relay", network=network) as relay,
        Endpoint("two", network=network) as two,
    ):
        await one.peer(await relay.listen("sim://relay"))
        await two.peer("sim://relay")
        yield one, two


async def test_an_event_takes_its_span_along_over_a_relay(
    chain: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = chain
    async with two.subscribe("x") as messages, one.subscribe("x") as own:
        with TRACER.start_as_current_span("measure") as span:
            await one.publish("x", Tick(1))
        for reader in (messages, own):
            message = await reader.receive()
            found = trace.get_current_span(context_of(message)).get_span_context()
            assert found.is_remote
            assert (found.trace_id, found.span_id) == (
                span.get_span_context().trace_id,
                span.get_span_context().span_id,
            )
        with TRACER.start_as_current_span("handle", context=context_of(message)) as handling:
            assert handling.get_span_context().trace_id == span.get_span_context().trace_id


async def test_each_event_has_its_own_and_they_stay_in_order(
    chain: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = chain
    expected: list[tuple[int, str, str | None]] = []
    async with two.subscribe("x") as messages:
        for number in range(40):
            topic = f"x/{number % 3}"
            if number % 4 == 0:
                await one.publish(topic, Tick(number))
                expected.append((number, topic, None))
                continue
            span_id = number // 10 + 1
            with trace.use_span(_span(span_id=span_id)):
                one.publish_nowait(topic, Tick(number))
            expected.append((number, topic, f"00-{TRACE_ID:032x}-{span_id:016x}-01"))
        got = [await messages.receive() for _ in expected]
    assert [(m.event.number, m.topic, m.trace and m.trace.parent) for m in got] == expected


async def test_events_that_join_an_open_run_are_looked_at_one_by_one(
    chain: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, _ = chain
    async with one.subscribe("x") as messages:
        await one.publish("x", Tick(0))
        for number in range(1, 7):  # of one topic, and close to each other
            with trace.use_span(_span(span_id=number // 2 + 1)):
                await one.publish("x", Tick(number))
        await one.publish("x", Tick(7))
        got = [await messages.receive() for _ in range(8)]
    spans = [message.trace and int(message.trace.parent[36:52], 16) for message in got]
    assert spans == [None, 1, 2, 2, 3, 3, 4, None]


async def test_who_does_not_tell_of_traces_has_none(
    chain: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = chain
    async with one.subscribe("x") as messages:
        with trace.use_span(_span()):
            await two.publish("x", Tick(1))
        message = await messages.receive()
    assert message.trace is None
    assert not trace.get_current_span(context_of(message)).get_span_context().is_valid


async def test_reports_have_no_trace(autojump_clock: trio.testing.MockClock) -> None:
    async with (
        Endpoint("one", network=SimulatedNetwork(), tracing=True, report_every=1) as one,
        one.subscribe("$broker/") as reports,
        one.subscribe("x") as messages,
    ):
        with trace.use_span(_span()):
            await one.publish("x", Tick(1))
            assert (await messages.receive()).trace == Trace(PARENT)
            assert (await reports.receive()).trace is None


def test_a_blocking_program_s_spans_are_those_of_its_threads() -> None:
    with blocking.Endpoint("one", tracing=True) as endpoint, endpoint.subscribe("x") as messages:
        for span_id in (1, 2):
            with trace.use_span(_span(span_id=span_id)):
                endpoint.publish("x", Tick(span_id))
        endpoint.publish("x", Tick(3))
        got = [messages.receive(timeout=10) for _ in range(3)]
    assert [message.trace and message.trace.parent[36:52] for message in got] == [f"{1:016x}", f"{2:016x}", None]


# -- what is said of a span --------------------------------------------------------------------------------------------


def test_a_span_is_told_as_the_standard_has_it() -> None:
    assert current() is None
    with trace.use_span(_span(TraceState([("vendor", "a"), ("other", "b")]))):
        assert current() == Trace(PARENT, "vendor=a,other=b")
        assert current() is current()  # a burst in one span pays for it once


def test_too_long_a_state_is_left_out() -> None:
    with trace.use_span(_span(TraceState([(f"vendor{n}", "v" * 100) for n in range(6)]))):
        assert current() == Trace(PARENT)


@pytest.mark.parametrize(
    "parent", ["", "nonsense", PARENT.upper(), PARENT[:-1], "00-" + "0" * 32 + PARENT[35:], "ff" + PARENT[2:]]
)
def test_what_is_no_trace_gives_no_context(parent: str) -> None:
    context = context_of(Message("x", None, 0, "one", 0, Trace(parent, "é=\x00")))
    assert not trace.get_current_span(context).get_span_context().is_valid


def test_a_state_comes_back() -> None:
    context = context_of(Message("x", None, 0, "one", 0, Trace(PARENT, "vendor=a")))
    found = trace.get_current_span(context).get_span_context()
    assert (found.trace_id, found.span_id, found.trace_state.to_header()) == (TRACE_ID, SPAN_ID, "vendor=a")


# -- bytes -------------------------------------------------------------------------------------------------------------


class FormerRun(Struct, array_like=True):
    """As versions have it that know nothing of traces."""

    topics: list[str]
    name: str
    count: int
    which: bytes
    body: bytes


class FormerBatch(Struct, array_like=True):
    runs: list[FormerRun]


PLAIN = Run(["x"], "E", 1, b"", b"\x91\x92\x01\x02")
TRACED = Run(["x"], "E", 1, b"", b"\x91\x92\x01\x02", Trace(PARENT, "vendor=a"))


def test_a_run_without_a_trace_has_the_bytes_that_it_always_had() -> None:
    fields = (["x"], "E", 1, b"", b"\x91\x92\x01\x02")
    assert encode_batch([PLAIN]) == msgspec.msgpack.encode(FormerBatch([FormerRun(*fields)]))
    assert frames.decode(Batch, encode_batch([PLAIN])).runs == [PLAIN]


def test_former_versions_read_a_run_with_a_trace() -> None:
    body = encode_batch([TRACED, PLAIN])
    former = msgspec.msgpack.decode(body, type=FormerBatch)
    assert [run.body for run in former.runs] == [TRACED.body, PLAIN.body]
    assert frames.decode(Batch, body).runs == [TRACED, PLAIN]


@pytest.mark.parametrize("told", [["x" * 129], [PARENT, "x" * 513], [7], [], "text"])
def test_a_trace_that_makes_no_sense_breaks_the_protocol(told: object) -> None:
    body = msgspec.msgpack.encode([[["x"], "E", 1, b"", b"\x90", told]])
    with pytest.raises(Malformed, match="not a Batch"):
        frames.decode(Batch, msgspec.msgpack.encode([msgspec.msgpack.decode(body)]))


def test_without_opentelemetry_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import broker; broker.Endpoint('one', tracing=True)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "pip install 'broker-mesh[tracing]'" in ended.stderr.splitlines()[-1]
