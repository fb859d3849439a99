"""The telling of figures and status events to others, on the endpoint's reserved topics: see :mod:`broker.reports`."""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING, Any

import trio

from broker import reports
from broker.errors import NotPermitted
from broker.figures import REPORT_S_MIN
from broker.handles.figures import figures_of
from broker.log_format import about
from broker.protocol.exchange import BLOCKED
from broker.status import Status

if TYPE_CHECKING:
    from broker.endpoint_life import EndpointLife


__all__ = ["Reporting"]

_log = logging.getLogger("broker.reports")


class Reporting:
    """What one endpoint reports.  It never waits: what a slow reader has no room for is dropped and counted."""

    def __init__(self, endpoint: EndpointLife, every_s: float) -> None:
        if not every_s >= REPORT_S_MIN:
            raise ValueError(f"report_every is a number of seconds, at least {REPORT_S_MIN}: {every_s!r}")
        self._endpoint = endpoint
        self._every_s = every_s
        self._figures_topic = reports.figures_topic(endpoint.name)
        self._status_topic = reports.status_topic(endpoint.name)
        self._forbidden = False  # that we have no right to report was told
        self.dropped = 0

    async def run(self) -> None:
        """Report the figures, for ever."""
        endpoint = self._endpoint
        while True:
            await trio.sleep(self._every_s)
            for event in reports.events_of(figures_of(endpoint)):
                self._publish(self._figures_topic, event)
            endpoint._published.unpark()

    def tell(self, status: Status) -> None:
        """Report a status event."""
        if not reports.is_about_reports(status):
            self._publish(self._status_topic, reports.event_of(status))
            self._endpoint._published.unpark()

    def _publish(self, topic: str, event: Any) -> None:
        try:
            code = self._endpoint._exchange.publish_reserved(topic, event, time_ns())
        except NotPermitted as error:
            if not self._forbidden:
                self._forbidden = True
                name = self._endpoint.name
                told_of = about(name, topic=topic, reason=str(error))
                _log.warning("%s: reports nothing on %s: %s", name, topic, error, extra=told_of)
            return
        self._forbidden = False
        if code is BLOCKED:
            self.dropped += 1
