"""What is written to the log: sentences for people, fields for machines."""

from __future__ import annotations

import json
import logging
import sys

import pytest
import trio.testing

import broker
from broker import Endpoint, status
from broker.handles.status_log import _LOGGERS, log_status
from broker.log_format import JsonFormatter, TextFormatter, about
from broker.testing import SimulatedNetwork

LOST = broker.MessagesLost("two", 3, "in", "it was slow", ("x/y", "x/z"))


def _record(message: str = "%d lost", *arguments: object, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("broker.messages")
    record = logger.makeRecord(logger.name, logging.WARNING, __file__, 1, message, arguments or (3,), None, extra=extra)
    record.created = 1767225600.5
    return record


def test_json_has_what_a_record_is_about() -> None:
    line = JsonFormatter().format(_record(**about("one", event="MessagesLost", count=3, topics=("x/y",))))
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.500Z",
        "level": "warning",
        "logger": "broker.messages",
        "message": "3 lost",
        "endpoint": "one",
        "event": "MessagesLost",
        "count": 3,
        "topics": ["x/y"],
    }


def test_json_is_one_line_and_keeps_its_own_names() -> None:
    line = JsonFormatter().format(_record("a\nb%s", "é", **about(level="mine", path=object), request="r1"))
    assert "\n" not in line
    form = json.loads(line)
    assert (form["message"], form["level"], form["request"]) == ("a\nbé", "warning", "r1")
    assert form["path"] == "<class 'object'>"


def test_json_has_the_exception() -> None:
    record = _record()
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        record.exc_info = sys.exc_info()
    assert json.loads(JsonFormatter().format(record))["exception"].endswith("ZeroDivisionError: no")


def test_a_record_of_another_library_is_shown_as_well() -> None:
    record = _record(broker="text, not fields")
    assert set(json.loads(JsonFormatter().format(record))) == {"time", "level", "logger", "message"}


def test_text_is_one_line_that_moves_no_cursor() -> None:
    line = TextFormatter().format(_record("from %s", "a\x1b[2Jb\nc", **about("one")))
    assert line == r"2026-01-01T00:00:00.500Z WARNING from a\x1b[2Jb\nc"


def test_every_status_event_has_a_logger_and_a_level() -> None:
    told = {getattr(status, name) for name in status.__all__} - {status.Status, status.StatusLost}
    assert set(_LOGGERS) == told  # StatusLost is told to a reader alone


@pytest.mark.parametrize(
    ("told", "logger", "level"),
    [
        (LOST, "broker.messages", "WARNING"),
        (broker.PeerAdded("two", "sim://two"), "broker.peers", "INFO"),
        (broker.PeeringFailed("sim://two", "refused", "no", final=False), "broker.peers", "DEBUG"),
        (broker.PeeringFailed("sim://two", "version", "no", final=True), "broker.peers", "WARNING"),
        (broker.AccessRules("a.toml", accepted=True, reason=""), "broker.access", "INFO"),
        (broker.AccessRules("a.toml", accepted=False, reason="no"), "broker.access", "WARNING"),
    ],
)
def test_what_is_lost_or_fails_is_a_warning(
    told: broker.Status, logger: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "broker"):
        log_status("one", told)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == (logger, level, f"one: {told}")


def test_a_refusal_that_somebody_gets_as_an_exception_is_no_warning_besides(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "broker"):
        log_status("one", broker.PeeringFailed("sim://two", "version", "no", final=True), {"sim://two"})
    assert caplog.records[0].levelname == "DEBUG"


def test_a_status_event_s_fields_stand_beside_its_words(caplog: pytest.LogCaptureFixture) -> None:
    log_status("one", LOST)
    assert vars(caplog.records[0])["broker"] == {
        "endpoint": "one",
        "event": "MessagesLost",
        "peer": "two",
        "count": 3,
        "direction": "in",
        "reason": "it was slow",
        "topics": ("x/y", "x/z"),
    }


async def test_an_endpoint_logs_what_happens_to_it(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network = SimulatedNetwork()
    with caplog.at_level(logging.INFO, "broker"):
        async with Endpoint("one", network=network) as one, Endpoint("two", network=network) as two:
            await one.peer(await two.listen("sim://two"))
    told = [vars(record)["broker"] for record in caplog.records]
    assert {(fields["endpoint"], fields["event"], fields["peer"]) for fields in told} >= {
        ("one", "PeerAdded", "two"),
        ("two", "PeerAdded", "one"),
        ("one", "PeerLost", "two"),
    }
