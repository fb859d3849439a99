"""How ``broker mesh`` draws a mesh in a terminal: each test is a mesh made by hand and what is seen of it."""

from __future__ import annotations

import random
import re
import time

import pytest
from cli_meshes import ANY, ident, made
from rich.cells import cell_len
from rich.console import Console

from broker import Mesh, MeshSubscription
from broker.cli.mesh.draw import drawing


def seen(mesh: Mesh, columns: int = 80, *, everything: bool = False, colours: bool = False) -> list[str]:
    console = Console(width=columns, color_system="standard" if colours else None, highlight=False)
    with console.capture() as capture:
        console.print(drawing(mesh, columns, everything=everything))
    return capture.get().splitlines()


def tree(mesh: Mesh, columns: int = 80, *, everything: bool = False) -> list[str]:
    """The lines of the tree, without its heading; runs of spaces between cells are two."""
    lines = seen(mesh, columns, everything=everything)
    assert lines[1] == ""
    assert lines[2].startswith("endpoint ")
    return [re.sub(r"(?<=\S) {3,}", "  ", line) for line in lines[3 : lines.index("", 3)]]


def subscriptions(mesh: Mesh, columns: int = 80, *, everything: bool = False) -> list[str]:
    lines = seen(mesh, columns, everything=everything)
    after_tree = lines.index("", 2)
    return lines[after_tree + 1 :]


# --- the tree -----------------------------------------------------------------------------------------------------


def test_a_chain_goes_down_from_the_endpoint_that_was_connected_to() -> None:
    mesh = made("me-hub", "hub-relay", "relay-web", leaves=["web"], wants={"web": ANY})
    assert seen(mesh)[:6] == [
        "3 endpoints (2 relays, 1 leaf), 2 links",
        "",
        "endpoint      kind   hops  subscriptions  link",
        "hub           relay     1              0  0.25 ms",
        "└─ relay      relay     2              0  0.25 ms",
        "   └─ web     leaf      3              1  0.25 ms",
    ]


def test_our_own_endpoint_is_the_root_when_everything_is_wanted() -> None:
    assert tree(made("me-hub"), everything=True) == ["me  leaf  0  0", "└─ hub  relay  1  0  0.25 ms"]
    assert seen(made("me-hub"))[0] == "1 endpoint (1 relay, 0 leaves), 0 links"
    assert seen(made("me-hub"), everything=True)[0] == "2 endpoints (1 relay, 1 leaf), 1 link"


def test_the_ring_s_last_link_stands_below_both_its_ends() -> None:
    assert tree(made("me-a", "a-b", "b-c", "c-d", "d-a")) == [
        "a  relay  1  0  0.25 ms",
        "├─ d  relay  2  0  0.25 ms",
        "│  ╰ also linked with c (0.25 ms)",
        "└─ b  relay  2  0  0.25 ms",
        "   └─ c  relay  3  0  0.25 ms",
        "      ╰ also linked with d (0.25 ms)",
    ]


def test_links_beside_the_tree_stand_between_an_endpoint_and_what_is_below_it() -> None:
    lines = tree(made("me-a", "a-b", "a-c", "b-c", "b-d"))
    assert lines[1:] == [
        "├─ c  relay  2  0  0.25 ms",
        "│  ╰ also linked with b (0.25 ms)",
        "└─ b  relay  2  0  0.25 ms",
        "   │  ╰ also linked with c (0.25 ms)",
        "   └─ d  relay  3  0  0.25 ms",
    ]


def test_each_endpoint_that_was_connected_to_begins_a_tree() -> None:
    assert tree(made("me-a", "me-b", "a-b", "b-c")) == [
        "a  relay  1  0  0.25 ms",
        "╰ also linked with b (0.25 ms)",
        "b  relay  1  0  0.25 ms",
        "│  ╰ also linked with a (0.25 ms)",
        "└─ c  relay  2  0  0.25 ms",
    ]


def test_an_endpoint_behind_an_interrupted_link_hangs_where_it_was_last_linked() -> None:
    mesh = made("me-hub", "hub~relay", "relay-web")
    assert tree(mesh) == [
        "hub  relay  1  0  0.25 ms",
        "└╌ relay  relay  away  0  interrupted",
        "   └─ web  relay  away  0  0.25 ms",
    ]
    assert seen(mesh)[0] == "3 endpoints (3 relays, 0 leaves, 2 not reachable), 2 links (1 interrupted)"
    red = [line for line in seen(mesh, colours=True) if "interrupted" in line]
    assert all("\x1b[1;31m" in line for line in red)
    assert len(red) == 2


def test_the_tree_goes_round_an_interrupted_link_and_tells_of_it_at_both_ends() -> None:
    assert tree(made("me-a", "a~c", "a-b", "b-c")) == [
        "a  relay  1  0  0.25 ms",
        "│  ╰ also linked with c (interrupted)",
        "└─ b  relay  2  0  0.25 ms",
        "   └─ c  relay  3  0  0.25 ms",
        "      ╰ also linked with a (interrupted)",
    ]


def test_the_tree_does_not_go_through_a_leaf_where_there_is_another_way() -> None:
    assert tree(made("me-hub", "hub-leaf", "leaf-far", "hub-one", "one-two", "two-far", leaves=["leaf"])) == [
        "hub  relay  1  0  0.25 ms",
        "├─ leaf  leaf  2  0  0.25 ms",
        "│  ╰ also linked with far (0.25 ms)",
        "└─ one  relay  2  0  0.25 ms",
        "   └─ two  relay  3  0  0.25 ms",
        "      └─ far  relay  4  0  0.25 ms",
        "         ╰ also linked with leaf (0.25 ms)",
    ]


def test_endpoints_that_are_linked_with_nobody_here_are_told_apart() -> None:
    mesh = made("me-hub", "hub-web", "east-west", "east-north", alone=["lost"])
    assert tree(mesh)[2:] == [
        "no link to the rest is known of:",
        "east  relay  away  0",
        "├─ north  relay  away  0  0.25 ms",
        "└─ west  relay  away  0  0.25 ms",
        "lost  relay  away  0",
    ]


def test_endpoints_of_one_name_are_told_apart_by_their_ids() -> None:
    mesh = made("me-hub", "hub-x", "hub-y", "x-web1", "y-web2", names={"web1": "web", "web2": "web"})
    text = "\n".join(seen(mesh))
    assert f"web ({ident('web1')[:6]})" in text
    assert f"web ({ident('web2')[:6]})" in text
    assert "hub (" not in text


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_hostile_names_neither_reach_the_terminal_nor_break_a_line(columns: int, everything: bool) -> None:
    names = {
        "a": "\x1b[31mred\x9b2J",
        "b": "\u202egnp.exe",
        "c": "two\nlines\r\t",
        "d": "[bold]mark[/bold] :smile:",
        "e": "宽" * 85,
        "f": "x" * 255,
        "g": "",
        "h": "e\u0301" * 80,
    }
    hostile = tuple(MeshSubscription(name, (name, name)) for name in names.values())
    mesh = made("me-a", *(f"a-{key}" for key in "bcdefgh"), "b-c", names=names, wants={"a": hostile, "b": ANY})
    lines = seen(mesh, columns, everything=everything)
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= columns
    if columns == 200:
        text = "\n".join(lines)
        assert r"\x1b[31mred\x9b2J" in text
        assert r"\u202egnp.exe" in text
        assert "[bold]mark[/bold] :smile:" in text


def test_many_leaves_that_look_alike_are_cut_to_a_few_and_a_number() -> None:
    leaves = [f"web{number:02}" for number in range(42)]
    links = ["me-hub", "hub-store", "store-disk", *(f"hub-{leaf}" for leaf in leaves)]
    mesh = made(*links, leaves=leaves, wants=dict.fromkeys(leaves, ANY))
    assert tree(mesh) == [
        "hub  relay  1  0  0.25 ms",
        *(f"├─ web0{number}  leaf  2  1  0.25 ms" for number in range(5)),
        "├─ … and 37 more leaves  leaf  2  37  ≤ 0.25 ms",
        "└─ store  relay  2  0  0.25 ms",
        "   └─ disk  relay  3  0  0.25 ms",
    ]
    whole = tree(mesh, everything=True)
    assert len(whole) == 46
    assert not [line for line in whole if "more" in line]


def test_a_leaf_that_is_cut_off_is_seen_among_many_that_are_not() -> None:
    leaves = [f"web{number:02}" for number in range(42)]
    links = ["me-hub", *(f"hub{'~' if leaf == 'web33' else '-'}{leaf}" for leaf in leaves)]
    lines = tree(made(*links, leaves=leaves))
    assert "… and 36 more leaves" in lines[6]
    assert lines[7] == "└╌ web33  leaf  away  0  interrupted"


def test_leaves_of_two_relays_look_alike_too() -> None:
    leaves = [f"web{number:02}" for number in range(42)]
    lines = tree(made("me-a", "a-b", *(f"{relay}-{leaf}" for leaf in leaves for relay in "ab"), leaves=leaves))
    assert lines[1:5] == [
        "├─ b  relay  2  0  0.25 ms",
        "│  ╰ also linked with web00 (0.25 ms), web01 (0.25 ms) and 40 more",
        "├─ web00  leaf  2  0  0.25 ms",
        "│  ╰ also linked with b (0.25 ms)",
    ]
    assert lines[13:] == ["└─ … and 37 more leaves  leaf  2  0  ≤ 0.25 ms"]


def test_deep_below_the_root_the_beginning_of_the_lines_gives_way_to_the_names() -> None:
    links = ["me-relay0", *(f"relay{number}-relay{number + 1}" for number in range(99))]
    lines = tree(made(*links))
    assert len(lines) == 100
    assert lines[-1].split() == ["…", "└─", "relay99", "relay", "100", "0", "0.25", "ms"]
    assert len({line.index("└─") for line in lines[-80:]}) == 1


def test_a_narrow_terminal_has_names_hops_and_links_alone() -> None:
    assert seen(made("me-hub", "hub~web"), 40)[:6] == [
        "2 endpoints (2 relays, 0 leaves, 1 not ",
        "reachable), 1 link (1 interrupted)",
        "",
        "endpoint      hops  link",
        "hub              1  0.25 ms",
        "└╌ web        away  interrupted",
    ]


def test_alone_in_the_mesh_there_is_nobody_to_draw() -> None:
    assert seen(made()) == [
        "0 endpoints (0 relays, 0 leaves), 0 links",
        "",
        "endpoint      kind   hops  subscriptions  link",
        "",
        "no subscriptions",
    ]


# --- the table of subscriptions -----------------------------------------------------------------------------------


def test_subscriptions_stand_by_endpoint_with_their_events() -> None:
    wanted = (MeshSubscription("log/", None), MeshSubscription("", ("CpuLoad", "DiskUsage")))
    assert subscriptions(made("me-hub", "hub-web", wants={"hub": wanted})) == [
        "endpoint  topics that begin with  events",
        "hub       (all)                   CpuLoad, DiskUsage",
        "          log/                    any",
    ]


def test_nobody_who_subscribes_is_told() -> None:
    assert subscriptions(made("me-hub", "hub-web")) == ["no subscriptions"]


def test_endpoints_that_want_the_same_share_their_lines() -> None:
    webs = [f"web{number:02}" for number in range(40)]
    mesh = made("me-hub", *(f"hub-{web}" for web in webs), wants=dict.fromkeys(webs, ANY) | {"hub": ANY})
    (line,) = subscriptions(mesh)[1:]
    assert line == "hub, web00 and 39 more    (all)                   any"
    assert len(subscriptions(mesh, everything=True)) == 1 + 41


def test_many_prefixes_events_and_endpoints_are_cut_and_counted() -> None:
    events = tuple(f"Event{number}" for number in range(30))
    prefixes = tuple(MeshSubscription(f"host/{number:02}/", events) for number in range(20))
    others = {f"web{number:02}": (MeshSubscription(f"web/{number}", None),) for number in range(40)}
    mesh = made("me-hub", *(f"hub-{web}" for web in others), wants={"hub": prefixes, **others})
    lines = subscriptions(mesh)
    assert lines[1].startswith("hub       host/00/                Event0, Event1, ")
    assert re.search(r", Event\d+ and \d+ more$", lines[1])
    assert lines[6] == "          … and 15 more"
    assert lines[7].startswith("web00 ")
    assert lines[-1] == "… and the subscriptions of 16 more endpoints: --all shows them"
    whole = subscriptions(mesh, everything=True)
    assert not [line for line in whole if "more" in line]
    assert sum(line.count("Event") for line in whole) == 20 * 30


# --- size ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("everything", [False, True])
def test_a_thousand_endpoints_are_drawn_at_once(everything: bool) -> None:
    chance = random.Random(7)
    links = {("n0", "me")} | {(f"n{chance.randrange(number)}", f"n{number}") for number in range(1, 1000)}
    for _ in range(1000):
        one, other = sorted(chance.sample(range(1000), 2))
        links.add((f"n{one}", f"n{other}"))
    wants = {f"n{number}": (MeshSubscription(f"host/{number}/", None),) * 3 for number in range(1000)}
    mesh = made(*(f"{one}-{other}" for one, other in sorted(links)), wants=wants)
    began = time.process_time()
    lines = seen(mesh, everything=everything)
    assert time.process_time() - began < 3  # on two slow cores that others use too: a fifth of it
    assert lines[0].startswith(f"{1001 if everything else 1000:,} endpoints")
    assert max(map(cell_len, lines)) <= 80
    assert len({line for line in lines if re.search(r"\bn\d+ +(relay|leaf)", line)}) > 500


def test_a_thousand_leaves_around_one_relay_are_a_few_lines() -> None:
    leaves = [f"web{number}" for number in range(1000)]
    mesh = made("me-hub", *(f"hub-{leaf}" for leaf in leaves), leaves=leaves, wants=dict.fromkeys(leaves, ANY))
    assert len(seen(mesh)) < 15
