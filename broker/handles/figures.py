"""An endpoint's figures: its node's, and what its files tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import trio
from msgspec import structs

from broker.figures import Figures, LogFigures, StoreFigures
from broker.handles.store import Store

if TYPE_CHECKING:
    from broker.endpoint_life import EndpointLife

__all__ = ["figures_of"]


def figures_of(endpoint: EndpointLife) -> Figures:
    """Return the figures as they are now."""
    figures = endpoint._node.figures(trio.current_time(), endpoint._started_at)
    if endpoint._reporting is not None:
        own = structs.replace(figures.endpoint, reports_dropped=endpoint._reporting.dropped)
        figures = structs.replace(figures, endpoint=own)
    if not figures.stores and not figures.logs:
        return figures
    stores = tuple(_store(endpoint, store) for store in figures.stores)
    logs = tuple(_log(endpoint, log) for log in figures.logs)
    return structs.replace(figures, stores=stores, logs=logs)


def _store(endpoint: EndpointLife, store: StoreFigures) -> StoreFigures:
    handle = endpoint._store_driver.handles.get(store.store)
    if not isinstance(handle, Store) or handle.disk is None or handle._path is None:
        return store
    return structs.replace(store, commit_s=handle.disk.commit_s, file_bytes=_size(handle._path))


def _log(endpoint: EndpointLife, log: LogFigures) -> LogFigures:
    return structs.replace(log, commit_s=endpoint._log_driver.commit_s(log.stream))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it was moved away, or its disk is gone
        return 0
