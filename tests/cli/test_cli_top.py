"""``broker top``: reports become rates, the worst stands first, and it ends in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cli_meshes import made
from cli_outputs import Kept
from processes import broker as command
from processes import in_terminal
from rich.console import Console

import broker
from broker.cli.identity import Identity
from broker.cli.top.board import Board
from broker.cli.top.draw import drawing
from broker.cli.top.rows import form_of
from broker.cli.top.run import Top
from broker.figures import (
    EndpointFigures,
    FollowerFigures,
    LinkFigures,
    LogFigures,
    LossFigures,
    NameFigures,
    ReceiverFigures,
    StoreFigures,
    SubscriptionFigures,
)
from broker.keyring import write_access, write_key
from broker.trust.access import Access, Trusted
from broker.trust.keys import SecretKey

MESH = made("me-hub", "hub-web", "hub-old")


def own(name: str, uptime_s: float, *, published: int = 0, lost: int = 0) -> EndpointFigures:
    losses = (LossFigures("out", "slow", lost),) if lost else ()
    counters = [name for name in EndpointFigures.__struct_fields__ if name not in ("endpoint", "uptime_s", "lost")]
    return EndpointFigures(
        endpoint=name, uptime_s=uptime_s, lost=losses, **(dict.fromkeys(counters, 0) | {"published": published})
    )


def link(peer: str, sent: int, *, stalled: bool = False) -> LinkFigures:
    return LinkFigures(peer, "tcp://x:1", True, "linked", 0.002, 1, sent, 1, 0, 0, 0, 0, 0, 0, stalled)


def store(role: str, sequence: int, *, behind: int = 0, staleness_s: float = 0.0) -> StoreFigures:
    followers = (FollowerFigures("web", sequence - behind, behind, False),) if role == "master" else ()
    return StoreFigures(
        "hosts", role, "hub", 7, 1, sequence, staleness_s, 0, 0, sequence, 0, 0.0, 0, "", followers=followers
    )


def reported(board: Board, name: str, at_s: float, *parts: Any) -> None:
    """A report that is made and comes at a time; its clock is an hour off."""
    for part in parts:
        board.take(name, part, int((at_s + 3600) * 1e9), at_s)


def test_counters_become_rates_by_the_clock_of_who_reports() -> None:
    board = Board()
    reported(board, "web", 10.0, link("hub", 1000), own("web", 5.0, published=100))
    (row,) = [row for row in board.snapshot(MESH, 10.0).endpoints if row.endpoint == "web"]
    assert (row.reports, row.out_per_s, row.sent_bytes_per_s) == (True, None, None)
    assert not board.has_rates_of(["web"])
    reported(board, "web", 12.0, link("hub", 1500), link("new", 40), own("web", 7.0, published=300))
    assert board.has_rates_of(["web"])
    (row,) = [row for row in board.snapshot(MESH, 12.5).endpoints if row.endpoint == "web"]
    assert (row.out_per_s, row.sent_bytes_per_s, row.report_age_s) == (100.0, 270.0, 0.5)


def test_an_endpoint_that_began_anew_has_no_rates_until_it_has_reported_twice() -> None:
    board = Board()
    reported(board, "web", 10.0, own("web", 5.0, published=100))
    reported(board, "web", 11.0, own("web", 6.0, published=200))
    reported(board, "web", 12.0, own("web", 0.5, published=3))
    assert board.snapshot(MESH, 12.0).endpoints[0].out_per_s is None
    reported(board, "web", 13.0, own("web", 1.5, published=13))
    (row,) = [row for row in board.snapshot(MESH, 13.0).endpoints if row.endpoint == "web"]
    assert row.out_per_s == 10.0


def test_what_needs_looking_at_stands_first_and_says_who_holds_it_up() -> None:
    board = Board()
    for at_s in (1.0, 2.0):
        queue = SubscriptionFigures("host/", (), "block", 5, 0, 9, 900, 10, 1000, True, False)
        slow = ReceiverFigures("web", 10, 4, True, False)
        reported(board, "hub", at_s, link("web", 0, stalled=True), slow, queue, own("hub", at_s))
        reported(board, "web", at_s, own("web", at_s, published=int(at_s) * 10**6, lost=int(at_s)))
        reported(board, "far", at_s, own("far", at_s))
    snapshot = board.snapshot(MESH, 2.0)
    assert [row.endpoint for row in snapshot.endpoints] == ["far", "web", "hub", "old"]
    far, web, hub, old = snapshot.endpoints
    assert (far.reachable, web.lost_per_s, old.reports) == (False, 1.0, False)
    assert (hub.slow, hub.queued_bytes) == (("web", "own reader of 'host/'"), 900)
    assert [(row.endpoint, row.peer) for row in snapshot.links] == [("hub", "web")]


def test_an_endpoint_that_is_gone_is_shown_for_a_while() -> None:
    board = Board()
    reported(board, "far", 1.0, own("far", 1.0))
    assert "far" in [row.endpoint for row in board.snapshot(MESH, 15.0).endpoints]
    assert "far" not in [row.endpoint for row in board.snapshot(MESH, 17.0).endpoints]


def test_a_clone_is_as_far_behind_as_its_master_sees_it() -> None:
    board = Board()
    reported(board, "hub", 1.0, store("master", 50, behind=8), own("hub", 1.0))
    reported(board, "web", 1.0, store("clone", 42, staleness_s=float("inf")), own("web", 1.0))
    rows = {row.role: row for row in board.snapshot(MESH, 1.0).stores}
    assert (rows["master"].behind, rows["clone"].behind) == (8, 8)
    assert (rows["clone"].staleness_s, rows["master"].followers) == (None, 1)
    assert next(iter(rows)) == "clone"


def full_board(names: int) -> Board:
    board = Board()
    for at_s in (1.0, 2.0):
        for number in range(names):
            log = LogFigures(
                "conn", 9, 95, 100, 0, int(at_s) * 10, 0, 1, 0.1, "", (NameFigures("archive", 4, 5, 2.5, 0, 0, 3),)
            )
            reported(board, f"web-{number}", at_s, log, store("clone", 1), own(f"web-{number}", at_s, published=50_000))
    board.take_status("web-0", broker.PeerLost("evil\x1b[2J", "tcp://x:1", "cut", "gone"), "2026-01-01T00:00:00+00:00")
    return board


def drawn(board: Board, columns: int, lines: int | None) -> list[str]:
    console = Console(width=columns, height=lines or 50, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(drawing(board.snapshot(MESH, 2.0), columns, lines))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(("columns", "lines"), [(120, 24), (80, 24), (80, 40)])
def test_the_picture_fits_and_says_what_it_leaves_out(columns: int, lines: int) -> None:
    picture = drawn(full_board(30), columns, lines)
    assert len(picture) <= lines
    assert max(map(len, picture)) <= columns
    for section in ("endpoints (", "stores (", "log streams ("):
        assert any(line.startswith(section) and line.endswith("more)") for line in picture), section
    assert any("evil\\x1b[2J" in line for line in picture)
    whole = "\n".join(drawn(full_board(30), 120, None))
    assert all(f"web-{number} " in whole for number in range(30))
    assert "more)" not in whole
    assert "95 B (95%)" in whole
    assert "3 lost; not here" in whole


def test_when_nobody_reports_it_says_how_to() -> None:
    picture = drawn(Board(), 80, 24)
    assert any("no reports" in line for line in picture)
    assert picture[-1] == "nobody reports: endpoints do with Endpoint(report_every=1)"
    assert form_of(Board().snapshot(MESH, 1.0), "now")["endpoints"][0]["reports"] is False


def test_rules_that_keep_reports_from_us_are_told() -> None:
    board = Board()
    board.refused_by.add("hub")
    told = "the access rules of hub do not let us subscribe to '$broker/'"
    assert drawn(board, 80, 24)[-1] == told
    assert form_of(board.snapshot(MESH, 1.0), "now")["refused_by"] == ("hub",)


async def test_rules_at_the_other_end_that_keep_reports_from_us_are_noticed(tmp_path: Path) -> None:
    hub_key, our_key = SecretKey(bytes([1]) * 32), SecretKey(bytes([2]) * 32)
    known = Access(trusted={"us": Trusted(keys=(our_key.public,))})
    write_key(tmp_path / "us.key", "us", our_key)
    write_access(tmp_path / "access.toml", f'[keys.hub]\nkey = "{hub_key.public}"\n')
    async with broker.Endpoint("hub", keys=hub_key, access=known, report_every=0.1) as hub:
        address = await hub.listen("tcp://127.0.0.1:0")
        output = Kept()
        identity = Identity(keys=str(tmp_path / "us.key"), peer_key="hub")
        assert await Top([address], identity, False, 0.2, 1, 5.0)(output) == 0
        assert output.forms[0]["refused_by"] == ["hub"]
        assert [row["reports"] for row in output.forms[0]["endpoints"]] == [False]


@broker.event(name="cli top load")
class Load:
    value: int


@asynccontextmanager
async def busy() -> AsyncIterator[str]:
    """A mesh of three, two of which report; the agent publishes and has a clone of the hub's store."""
    async with (
        broker.Endpoint("hub", report_every=0.1) as hub,
        broker.Endpoint("agent", report_every=0.1) as agent,
        broker.Endpoint("mute", forward=False) as mute,
        hub.master("hosts") as hosts,
        hub.subscribe("load", overflow="drop_oldest"),
    ):
        address = await hub.listen("tcp://127.0.0.1:0")
        await agent.peer(address)
        await mute.peer(address)
        async with agent.clone("hosts"), trio.open_nursery() as nursery:

            async def work() -> None:
                while True:
                    await hosts.put("key", 1)
                    await agent.publish("load", Load(1))
                    await trio.sleep(0.01)

            nursery.start_soon(work)
            yield address
            nursery.cancel_scope.cancel()


async def test_it_shows_a_mesh_and_ctrl_c_ends_it_in_order() -> None:
    async with busy() as address:
        output = Kept()
        assert await Top([address], Identity(), False, 0.4, 2, 5.0)(output) == 0
        assert len(output.forms) == 2
        form = output.forms[1]
        rows = {row["endpoint"]: row for row in form["endpoints"]}
        assert {name: row["reports"] for name, row in rows.items()} == {"hub": True, "agent": True, "mute": False}
        assert rows["agent"]["out_per_s"] > 5
        assert {(row["endpoint"], row["role"]) for row in form["stores"]} == {("hub", "master"), ("agent", "clone")}
        async with in_terminal(*command("top", address, "--interval", "0.2"), columns=110) as program:
            await program.out.next_with("3 endpoints, 2 reporting, 1 store")
            program.interrupt()
            # The last picture stays on the terminal's first screen.
            rest = await program.out.rest()
            assert any("hosts" in line for line in rest)
            assert await program.end() == 0
