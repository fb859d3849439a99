"""Figures of endpoints for Prometheus; needs the extra ``metrics``.

::

    metrics = Metrics(endpoint)
    with metrics.serving("127.0.0.1:9464"):         # http://127.0.0.1:9464/metrics, in a thread of its own
        ...
    await metrics.serve("127.0.0.1:9464")           # the same in a trio program: nursery.start_soon(metrics.serve, ...)

    prometheus_client.make_asgi_app(metrics.registry)       # in a web program that there is already
    prometheus_client.generate_latest(metrics.registry)     # the text itself

All metrics have the label ``endpoint``; which others there are stands in :mod:`broker.metrics.families`.  Figures are
asked for when Prometheus asks, and nothing is done in between.
"""

from __future__ import annotations

from broker.extras import needed_for

with needed_for("metrics for Prometheus"):
    import prometheus_client  # noqa: F401 - said here once, before the modules that use it

from broker.metrics.collector import LABELS_MAX, HasFigures, Metrics

__all__ = ["LABELS_MAX", "HasFigures", "Metrics"]
