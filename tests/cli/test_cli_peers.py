"""``broker peers``: the links of the endpoint that is asked, and of no other."""

from __future__ import annotations

from cli_outputs import Kept

import broker
from broker.cli.identity import Identity
from broker.cli.mesh.peers import Peers


async def test_it_shows_the_links_of_the_endpoint_at_each_address() -> None:
    async with (
        broker.Endpoint("hub") as hub,
        broker.Endpoint("far") as far,
        broker.Endpoint("leaf", forward=False) as leaf,
    ):
        at_hub, at_far = await hub.listen("tcp://127.0.0.1:0"), await far.listen("tcp://127.0.0.1:0")
        await far.peer(at_hub)
        async with leaf.subscribe("host/"):
            await leaf.peer(at_far)
            output = Kept()
            assert await Peers([at_hub, at_far], Identity(), False, 5.0)(output) == 0
            shown = [(form["of"], form["address"], form["peer"]["name"]) for form in output.forms]
            assert shown == [("hub", at_hub, "far"), ("far", at_far, "hub"), ("far", at_far, "leaf")]
            form = output.forms[2]
            assert (form["peer"]["forward"], form["interrupted"]) == (False, False)
            assert form["peer"]["subscriptions"] == [{"prefix": "host/", "events": None}]

            output = Kept()
            assert await Peers([at_hub], Identity("visitor"), True, 5.0)(output) == 0
            assert [form["peer"]["name"] for form in output.forms] == ["visitor", "far"]

            output = Kept(terminal=True)
            assert await Peers([at_far], Identity(), False, 5.0)(output) == 0
            first, _, heading, *rows = output.text.splitlines()
            assert first == f"far ({at_far}), a relay: 2 links besides ours"
            assert heading.split() == ["peer", "kind", "subscriptions", "link"]
            assert [row.split()[:3] for row in rows] == [["hub", "relay", "0"], ["leaf", "leaf", "1"]]
