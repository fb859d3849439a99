"""A mesh as JSON, for programs: ``broker mesh`` in a pipe."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
from cli_meshes import ANY, ident, made

from broker import Mesh, MeshSubscription
from broker.cli.mesh.form import lines_of, snapshot_of, without_ourselves, without_times


def test_each_endpoint_and_each_link_is_an_object_on_a_line() -> None:
    wants = {"hub": ANY, "web": (MeshSubscription("host/", ("CpuLoad", "DiskUsage")),)}
    mesh = made("me-hub", "hub~web", leaves=["web"], wants=wants)
    lines = [json.loads(line) for line in lines_of(mesh).splitlines()]
    hub, web = ident("hub"), ident("web")
    assert lines[:3] == [
        {"endpoint": {"name": "me", "id": ident("me"), "forward": False, "hops": 0, "subscriptions": []}},
        {
            "endpoint": {
                "name": "hub",
                "id": hub,
                "forward": True,
                "hops": 1,
                "subscriptions": [{"prefix": "", "events": None}],
            }
        },
        {
            "endpoint": {
                "name": "web",
                "id": web,
                "forward": False,
                "hops": None,
                "subscriptions": [{"prefix": "host/", "events": ["CpuLoad", "DiskUsage"]}],
            }
        },
    ]
    assert {"link": {"one": min(hub, web), "other": max(hub, web), "rtt_s": None, "interrupted": True}} in lines[3:]
    assert len(lines) == 5


def test_without_ourselves_neither_our_endpoint_nor_its_links_are_left() -> None:
    mesh = without_ourselves(made("me-hub", "me-web", "hub-web"))
    assert [endpoint.name for endpoint in mesh.endpoints] == ["hub", "web"]
    assert [{link.one, link.other} for link in mesh.links] == [{ident("hub"), ident("web")}]


def test_a_snapshot_is_the_whole_mesh_with_its_time_on_one_line() -> None:
    mesh = made("me-hub", "hub-web", wants={"web": ANY})
    time = datetime(2026, 1, 1, 12, 0, 0, 5000, tzinfo=timezone(timedelta(hours=2)))
    line = snapshot_of(mesh, time)
    assert line.count("\n") == 1
    snapshot = json.loads(line)
    assert snapshot.pop("time") == "2026-01-01T10:00:00.005+00:00"
    assert list(snapshot) == ["endpoints", "links"]
    assert msgspec.convert(snapshot, Mesh) == mesh


def test_hostile_names_are_escaped_and_come_back_as_they_were() -> None:
    name = 'a\x1b[31m\x9b2J\u202e\u2028"\\\n😀'
    mesh = made("me-a", names={"a": name})
    for line in (*lines_of(mesh).split("\n")[:-1], snapshot_of(mesh, datetime.now(UTC)).rstrip("\n")):
        assert line.isprintable()
    assert json.loads(lines_of(mesh).splitlines()[1])["endpoint"]["name"] == name


def test_round_trips_alone_make_no_difference_to_a_mesh_without_times() -> None:
    mesh = made("me-hub", "hub-web")
    slower = msgspec.structs.replace(mesh, links=tuple(msgspec.structs.replace(link, rtt_s=1.0) for link in mesh.links))
    assert mesh != slower
    assert without_times(mesh) == without_times(slower)
    assert without_times(mesh) != without_times(made("me-hub", "hub~web"))


def test_a_thousand_endpoints_are_two_thousand_lines() -> None:
    mesh = made("me-hub", *(f"hub-web{number}" for number in range(1000)))
    assert lines_of(mesh).count("\n") == 1002 + 1001
