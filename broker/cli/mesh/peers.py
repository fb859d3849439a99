"""``broker peers``: the links of the endpoint at an address, as it tells of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from rich.text import Text

import broker
from broker.cli.identity import Identity
from broker.cli.mesh.cells import link_words, values_of_endpoint
from broker.cli.mesh.form import form_of, json_line
from broker.cli.running import counted
from broker.cli.standard import Output, printable
from broker.cli.tables import drawn, new_table

__all__ = ["Peers"]


@attrs.frozen
class Peers:
    """One run of the command."""

    addresses: Sequence[str]
    identity: Identity
    everything: bool  # our own link, too
    timeout_s: float

    async def __call__(self, output: Output) -> int:
        """Show the links of each endpoint that was asked for."""
        async with self.identity.endpoint(linger_s=0, forward=False) as endpoint:
            await self.identity.peer_all(endpoint, self.addresses, self.timeout_s)
            mesh = endpoint.mesh()
            for address, asked in _asked(endpoint, mesh, self.addresses):
                links = list(self._links(mesh, asked))
                if output.is_terminal:
                    await output.write(_table(address, asked, links))
                else:
                    lines = (json_line({"of": asked.name, "address": address, **_form(*link)}) for link in links)
                    await output.write("".join(lines))
        return 0

    def _links(
        self, mesh: broker.Mesh, asked: broker.MeshEndpoint
    ) -> Iterator[tuple[broker.MeshEndpoint, broker.MeshLink]]:
        """Whom it is linked with, in the mesh's order, and the link."""
        by_id = {link.far_end(asked.id): link for link in mesh.links if asked.id in (link.one, link.other)}
        for far in mesh.endpoints:
            if far.id in by_id and (self.everything or far is not mesh.ourselves):
                yield far, by_id[far.id]


def _asked(
    endpoint: broker.Endpoint, mesh: broker.Mesh, addresses: Sequence[str]
) -> Iterator[tuple[str, broker.MeshEndpoint]]:
    """The endpoint at each address: a name is unique among our peers."""
    names = {peer.address: peer.name for peer in endpoint.peers() if peer.dialled}
    ours = {far.name: far for far in mesh.neighbours(mesh.ourselves.id)}
    for address in addresses:
        if names.get(address) in ours:
            yield address, ours[names[address]]


def _form(far: broker.MeshEndpoint, link: broker.MeshLink) -> dict[str, Any]:
    form = form_of(far)
    return {"peer": form, "rtt_s": link.rtt_s, "interrupted": link.interrupted}


def _table(
    address: str, asked: broker.MeshEndpoint, links: Sequence[tuple[broker.MeshEndpoint, broker.MeshLink]]
) -> str:
    kind = "relay" if asked.forward else "leaf"
    title = f"{printable(asked.name)} ({printable(address)}), a {kind}: {counted(len(links), 'link')} besides ours"
    if not links:
        return title + "\n"
    table = new_table()
    table.add_column("peer", no_wrap=True)
    for heading in ("kind", "subscriptions", "link"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "kind" else "right")
    for far, link in links:
        values = values_of_endpoint(far)
        cells = [Text(*values["kind"]), Text(*values["subscriptions"]), Text(*link_words(link))]
        table.add_row(Text(printable(far.name), style="cyan"), *cells)
    return f"{title}\n\n{drawn(table)}"
