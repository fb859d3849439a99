"""The collector that prometheus_client asks, and the server that Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

import trio
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family

from broker import __version__
from broker.endpoint import Endpoint
from broker.errors import AddressError, EndpointClosed
from broker.figures import Figures
from broker.metrics.families import GROUPS, OTHER, Group, Metric
from broker.net.address import parse_address

__all__ = ["LABELS_MAX", "HasFigures", "Metrics"]

LABELS_MAX: Final = 100
"""Peers, stores, streams... of one endpoint that have series of their own, by default."""

Labels = tuple[str, ...]


class HasFigures(Protocol):
    """An endpoint, of a trio, a blocking or an asyncio program."""

    def figures(self) -> Figures:
        """Return its figures."""


class Metrics:
    """The metrics of one or several endpoints, as a collector of prometheus_client.

    ``endpoints`` are those of :mod:`!broker`, :mod:`broker.blocking` and :mod:`broker.aio`, or functions that return
    :class:`~broker.figures.Figures`.  For a trio endpoint make it in the trio program; any thread may then ask for
    metrics.  An endpoint that is not open is left out.

    ``labels_max``: of each kind (links by their peers, stores, streams, collectors...) so many have series of their
    own, the first that there were; what others have is in a series whose labels are "other": added up, and the largest
    where a sum makes no sense (a round trip, a lag).  So whatever a mesh does, Prometheus is not flooded with series.

    It is registered with ``registry``, by default one of its own: :attr:`registry`.
    """

    def __init__(
        self,
        *endpoints: HasFigures | Callable[[], Figures],
        registry: CollectorRegistry | None = None,
        labels_max: int = LABELS_MAX,
    ) -> None:
        if not endpoints:
            raise ValueError("give the endpoint whose metrics are wanted, or several")
        if labels_max < 1:
            raise ValueError(f"labels_max is a positive number, not {labels_max!r}")
        self._sources = [_source_of(endpoint) for endpoint in endpoints]
        self._labels_max = labels_max
        self._known: dict[tuple[int, str], dict[Labels, None]] = {}  # by group and endpoint: who has its own series
        self.registry = CollectorRegistry() if registry is None else registry
        self.registry.register(self)

    # -- what prometheus_client asks -----------------------------------------------------------------------------------

    def describe(self) -> Iterator[Family]:
        """Give all metrics, without values: so that a registry knows their names without asking endpoints."""
        yield _build_info()
        for group in GROUPS:
            for metric in group.metrics:
                yield _family(metric, group)

    def collect(self) -> Iterator[Family]:
        """Give all metrics, as they are now."""
        snapshots = [figures for source in self._sources if (figures := _asked(source)) is not None]
        info = _build_info()
        info.add_metric([__version__], 1)
        yield info
        for number, group in enumerate(GROUPS):
            parts = [part for figures in snapshots for part in self._bounded(number, group, figures)]
            for metric in group.metrics:
                family = _family(metric, group)
                for labels, value in _merged(metric, parts).items():
                    family.add_metric(labels, value)
                yield family

    def _bounded(self, number: int, group: Group, figures: Figures) -> Iterator[tuple[Labels, Any]]:
        """Give the parts of a group with all labels, of which no more than there may be are different."""
        endpoint = figures.endpoint.endpoint
        parts = [*group.parts(figures)]
        former = self._known.get((number, endpoint), {})
        there = {labels: None for labels, _ in parts}
        ranked = [
            *(labels for labels in former if labels in there),
            *(labels for labels in there if labels not in former),
        ]
        known = self._known[number, endpoint] = dict.fromkeys(ranked[: self._labels_max])
        other = (OTHER,) * len(group.labels)
        for labels, part in parts:
            yield (endpoint, *(labels if labels in known else other)), part

    # -- what Prometheus asks ------------------------------------------------------------------------------------------

    @contextmanager
    def serving(self, address: str = "127.0.0.1:9464", **tls: Any) -> Iterator[str]:
        """Answer ``http://ADDRESS/metrics`` from threads of their own; gives the address, with the port given for 0.

        This is prometheus_client's server: it speaks both text formats, and compresses.  It has no access control, and
        no limit on connections: let it listen where only Prometheus comes.  ``tls``: ``certfile``, ``keyfile``,
        ``client_cafile`` and so on, as :func:`prometheus_client.start_http_server` takes them.

        Raises OSError when the address cannot be had, and ValueError for what is none.
        """
        server, host = self._start(address, tls)
        try:
            yield f"{host}:{server.server_port}"
        finally:
            _stop(server)

    async def serve(
        self,
        address: str = "127.0.0.1:9464",
        *,
        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
        **tls: Any,
    ) -> None:
        """Do that in a trio program, until it is cancelled: ``await nursery.start(metrics.serve, address)``.

        Prometheus's questions come in other threads than trio's; the figures are taken in trio's, between two tasks'
        turns, so they are of one moment.
        """
        server, host = self._start(address, tls)
        try:
            task_status.started(f"{host}:{server.server_port}")
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):  # a thread may be asking for figures: trio must answer meanwhile
                await trio.to_thread.run_sync(_stop, server)

    def _start(self, address: str, tls: dict[str, Any]) -> tuple[Any, str]:
        host, port = _host_and_port(address)
        server, _ = start_http_server(port, host, registry=self.registry, **tls)
        return server, f"[{host}]" if ":" in host else host or "*"


def _stop(server: Any) -> None:
    server.shutdown()
    server.server_close()


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        found = parse_address(f"tcp://{address}", to_dial=False)
    except AddressError:
        raise ValueError(f"an address is HOST:PORT, such as 127.0.0.1:9464, not {address!r:.100}") from None
    return "" if found.host == "*" else found.host, found.port


# -- figures ----------------------------------------------------------------------------------------------------------


def _source_of(endpoint: HasFigures | Callable[[], Figures]) -> Callable[[], Figures]:
    """Return what gives an endpoint's figures, from any thread."""
    if isinstance(endpoint, Endpoint):
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            raise RuntimeError("a trio endpoint's metrics are made in the trio program that it runs in") from None
        return partial(_ask_trio, token, endpoint.figures)
    if hasattr(endpoint, "figures"):
        return endpoint.figures
    return endpoint


def _ask_trio(token: trio.lowlevel.TrioToken, figures: Callable[[], Figures]) -> Figures:
    try:
        here = trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        here = False
    return figures() if here else trio.from_thread.run_sync(figures, trio_token=token)


def _asked(source: Callable[[], Figures]) -> Figures | None:
    """Return figures; None where there is no endpoint any more, or not yet."""
    try:
        return source()
    except (EndpointClosed, trio.RunFinishedError):
        return None


# -- families ---------------------------------------------------------------------------------------------------------


def _build_info() -> GaugeMetricFamily:
    return GaugeMetricFamily("broker_build_info", "The version of broker; the value is 1.", labels=["version"])


def _family(metric: Metric, group: Group) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=["endpoint", *group.labels])


def _merged(metric: Metric, parts: Iterable[tuple[Labels, Any]]) -> dict[Labels, float]:
    """Return a metric's values by labels, where several parts have the same made one."""
    values: dict[Labels, float] = {}
    read = metric.read
    for labels, part in parts:
        value = read(part)
        if value is not None:
            value = float(value)
            values[labels] = metric.merge(values[labels], value) if labels in values else value
    return values
