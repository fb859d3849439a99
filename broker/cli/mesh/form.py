"""A mesh as JSON: a line for each endpoint and link, or one object for all of it.

{"endpoint": {"name": ..., "id": ..., "forward": true, "hops": 1,
              "subscriptions": [{"prefix": "host/", "events": ["DiskUsage"]}, {"prefix": "log/", "events": null}]}}
{"link": {"one": ID, "other": ID, "rtt_s": 0.0004, "interrupted": false}}

{"time": ..., "endpoints": [...], "links": [...]}       with the same objects
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from broker import Mesh
from broker.cli.jsonform import dumps

__all__ = ["form_of", "json_line", "lines_of", "snapshot_of", "without_ourselves", "without_times"]


def without_ourselves(mesh: Mesh) -> Mesh:
    """The mesh as it is without the endpoint that looks at it."""
    ours = mesh.ourselves.id
    return Mesh(mesh.endpoints[1:], tuple(link for link in mesh.links if ours not in (link.one, link.other)))


def without_times(mesh: Mesh) -> Mesh:
    """The mesh without round trips, which change all the time."""
    return Mesh(mesh.endpoints, tuple(msgspec.structs.replace(link, rtt_s=None) for link in mesh.links))


def lines_of(mesh: Mesh) -> str:
    """A line for each endpoint, then one for each link, with their line breaks."""
    forms = [{"endpoint": form_of(endpoint)} for endpoint in mesh.endpoints]
    forms += [{"link": form_of(link)} for link in mesh.links]
    return "".join(map(json_line, forms))


def snapshot_of(mesh: Mesh, time: datetime) -> str:
    """The line of the whole mesh as it was at that time, with its line break."""
    instant = time.astimezone(UTC).isoformat(timespec="milliseconds")
    return json_line({"time": instant, **form_of(mesh)})


def form_of(value: Any) -> dict[str, Any]:
    """The JSON object of a mesh, or of a part of it."""
    form: dict[str, Any] = msgspec.to_builtins(value)
    return form


def json_line(form: dict[str, Any]) -> str:
    """The form on a line that is safe for a terminal: what could move its cursor is written as an escape."""
    text = dumps(form)
    return (text if text.isprintable() else json.dumps(form)) + "\n"
