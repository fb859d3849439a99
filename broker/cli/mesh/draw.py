"""A mesh as text for a terminal: who is linked with whom as a tree, and who subscribes to what as a table.

    endpoint        kind   hops  subscriptions  link
    hub             relay     1              0  0.31 ms
    ├─ web-01       leaf      2              2  0.42 ms
    ├╌ web-02       leaf   away              2  interrupted
    └─ store        relay     2              1  0.55 ms
       │  ╰ also linked with backup (1.20 ms)
       └─ backup    relay     3              1  0.70 ms

Lines are laid out by hand, not by rich's tables: those take a second for a thousand rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from broker import Mesh, MeshEndpoint, MeshLink
from broker.cli.mesh.cells import (
    Words,
    events_of,
    fit,
    is_interrupted,
    link_words,
    listed,
    prefix_of,
    table_line,
    values_of,
    values_of_alike,
)
from broker.cli.mesh.tree import Row, forest, rows
from broker.cli.running import counted
from broker.cli.standard import printable

__all__ = ["drawing", "labels"]

_Field = tuple[str, int, bool]  # heading, cells, whether its values stand at the right
# The columns behind the tree.  In a terminal of fewer columns the first and the third go.
_COLUMNS: Final[tuple[_Field, ...]] = (
    ("kind", 5, False),
    ("hops", 4, True),
    ("subscriptions", 13, True),
    ("link", 11, False),
)
_NARROW: Final = (_COLUMNS[1], _COLUMNS[3])
_CELLS_FOR_ALL: Final = 70
_NAME_CELLS_MIN: Final = 12
# Deep trees: where so much of a name would not fit beside the lines that lead to it, those lose their beginning.
_NAME_CELLS_KEPT: Final = 20

# What the table of subscriptions shows, unless everything is wanted: as much as a look can take in.
_READERS_SHOWN: Final = 25
_PREFIXES_SHOWN: Final = 5


def labels(mesh: Mesh) -> dict[str, str]:
    """What to call each endpoint, by id: its name, and the first digits of its id where another has the same name."""
    names = {endpoint.id: printable(endpoint.name) for endpoint in mesh.endpoints}
    uses = Counter(names.values())
    return {own: name if uses[name] == 1 else f"{name} ({own[:6]})" for own, name in names.items()}


def drawing(mesh: Mesh, columns: int, *, everything: bool = False) -> Group:
    """Draw a mesh for a terminal so many columns wide.

    Unless ``everything`` is wanted, our own endpoint is left out and what is many is cut, with the number of what
    is not shown.  No line is longer than the terminal is wide.
    """
    sketch = _Sketch(mesh, columns, everything=everything)
    lines = [*sketch.tree(), Text(), *sketch.subscriptions()]
    for line in lines:
        line.truncate(columns, overflow="ellipsis")
        line.no_wrap = True
    return Group(sketch.summary(), Text(), *lines)


class _Sketch:
    """One drawing in the making."""

    def __init__(self, mesh: Mesh, columns: int, *, everything: bool) -> None:
        self._mesh = mesh
        self._columns = columns
        self._everything = everything
        self._labels = labels(mesh)
        self._guide_cells = 3 * len(mesh.endpoints)  # no tree is deeper
        ourselves = mesh.ourselves.id
        self._hidden = None if everything else ourselves
        self._endpoints = [endpoint for endpoint in mesh.endpoints if endpoint.id != self._hidden]
        self._links = [link for link in mesh.links if self._hidden not in (link.one, link.other)]

    # -- the tree --------------------------------------------------------------------------------------------------

    def tree(self) -> Iterator[Text]:
        """The endpoints and links, a line each."""
        ours, *apart = forest(self._mesh)
        near = list(rows([ours] if self._everything else ours.children, everything=self._everything))
        far = list(rows(apart, everything=self._everything))
        fields = _COLUMNS if self._columns >= _CELLS_FOR_ALL else _NARROW
        room = max(_NAME_CELLS_MIN, self._columns - sum(cells + 2 for _, cells, _ in fields))
        drawn = [(len(row.guide), cell_len(self._name(row)[0])) for row in chain(near, far)]
        names = max((name for _, name in drawn), default=0)
        widest = max((guide + name for guide, name in drawn), default=0)
        cells = max(_NAME_CELLS_MIN, min(room, widest))
        if widest > room:
            self._guide_cells = max(3, (cells - min(_NAME_CELLS_KEPT, names)) // 3 * 3)
        heading = Text(fit("endpoint", cells), "bold underline")
        for name, width, right in fields:
            heading.append("  " + (name.rjust(width) if right else name.ljust(width)))
        heading.rstrip()
        yield heading
        yield from chain.from_iterable(self._lines(row, cells, fields) for row in near)
        if far:
            yield Text("no link to the rest is known of:", "red")
        yield from chain.from_iterable(self._lines(row, cells, fields) for row in far)

    def _lines(self, row: Row, cells: int, fields: Sequence[_Field]) -> Iterator[Text]:
        yield self._row(row, cells, fields)
        yield from self._others(row)

    def _name(self, row: Row) -> Words:
        endpoint = row.branch.endpoint
        if row.alike:
            return f"… and {len(row.alike):,} more {'relays' if endpoint.forward else 'leaves'}", "italic"
        return self._labels[endpoint.id], "cyan" if endpoint.hops is not None else "red"

    def _row(self, row: Row, cells: int, fields: Sequence[_Field]) -> Text:
        text, style = self._name(row)
        branch = row.branch
        line = self._guide(row, row.guide)
        if is_interrupted(branch.link):
            line.stylize("red", -3)
        line.append(fit(text, cells - len(line)), style)
        values = values_of_alike(row.alike) if row.alike else values_of(branch)
        for name, width, right in fields:
            text, style = values[name]
            line.append("  " + (text.rjust(width) if right else text.ljust(width)), style)
        line.rstrip()
        return line

    def _guide(self, row: Row, lines: str) -> Text:
        """The lines of the tree before a row or below it, without the levels that would leave no room for a name."""
        gone = len(row.guide) - self._guide_cells
        return Text().append(lines if gone <= 0 else "…" + lines[gone + 1 :], "dim")

    def _others(self, row: Row) -> Iterator[Text]:
        """The links of a row's endpoint that the tree does not show."""
        ends = [(link, end) for link, end in row.branch.others if end.id != self._hidden]
        if row.alike or not ends:
            return
        first = self._guide(row, row.below)
        later = first.copy()
        first.append("╰ also linked with ", "dim")
        later.append("  ")
        items = [self._other(link, end) for link, end in ends]
        for line in listed(items, self._columns - first.cell_len, 1 if not self._everything else None):
            yield first + line
            first = later

    def _other(self, link: MeshLink, end: MeshEndpoint) -> Words:
        text, style = link_words(link)
        return f"{self._labels[end.id]}{f' ({text})' if text else ''}", style

    # -- the table of subscriptions ----------------------------------------------------------------------------------

    def subscriptions(self) -> Iterator[Text]:
        """Who subscribes to what; endpoints that want the same share their lines."""
        readers: dict[object, list[MeshEndpoint]] = defaultdict(list)
        for endpoint in self._endpoints:
            if endpoint.subscriptions:
                likeness = endpoint.id if self._everything else frozenset(endpoint.subscriptions)
                readers[likeness].append(endpoint)
        if not readers:
            yield Text("no subscriptions", "dim")
            return
        shown = list(readers.values())
        rest = [] if self._everything or len(shown) <= _READERS_SHOWN else shown[_READERS_SHOWN:]
        shown = shown[: len(shown) - len(rest)]
        widths = self._widths(shown)
        yield table_line(
            zip(("endpoint", "topics that begin with", "events"), ("bold underline",) * 3, widths, strict=True)
        )
        for same in shown:
            yield from self._wanted(same, widths)
        if rest:
            more = sum(map(len, rest))
            yield Text(f"… and the subscriptions of {counted(more, 'more endpoint')}: --all shows them", "italic")

    def _widths(self, shown: Sequence[Sequence[MeshEndpoint]]) -> tuple[int, int, int]:
        who = max(cell_len(self._who(same, self._columns).plain) for same in shown)
        prefixes = (cell_len(prefix_of(wanted)[0]) for same in shown for wanted in same[0].subscriptions)
        first = max(8, min(who, self._columns * 3 // 10))
        second = max(8, min(max(22, *prefixes), self._columns * 4 // 10))
        return first, second, max(8, self._columns - first - second - 4)

    def _who(self, same: Sequence[MeshEndpoint], cells: int) -> Text:
        (line,) = listed([(self._labels[endpoint.id], "cyan") for endpoint in same], cells, 1)
        return line

    def _wanted(self, same: Sequence[MeshEndpoint], widths: tuple[int, int, int]) -> Iterator[Text]:
        wanted = sorted(same[0].subscriptions, key=lambda each: (each.prefix, each.events or ()))
        few = self._everything or len(wanted) <= _PREFIXES_SHOWN + 1
        who = self._who(same, widths[0])
        who.pad_right(widths[0] + 2 - who.cell_len)
        blank = Text(" " * (widths[0] + 2))
        for each in wanted if few else wanted[:_PREFIXES_SHOWN]:
            text, style = prefix_of(each)
            start = who + Text(fit(text, widths[1]) + "  ", style)
            for names in events_of(each, widths[2], None if self._everything else 1):
                yield start + names
                start = Text(" " * start.cell_len)
            who = blank
        if not few:
            yield blank + Text(f"… and {len(wanted) - _PREFIXES_SHOWN:,} more", "italic")

    # -- the sum ---------------------------------------------------------------------------------------------------

    def summary(self) -> Text:
        """How much there is of all that."""
        relays = sum(endpoint.forward for endpoint in self._endpoints)
        leaves = len(self._endpoints) - relays
        line = Text(f"{counted(len(self._endpoints), 'endpoint')} ({counted(relays, 'relay')}, {leaves:,} ")
        line.append("leaf" if leaves == 1 else "leaves")
        away = sum(endpoint.hops is None for endpoint in self._endpoints)
        if away:
            line.append(f", {away:,} not reachable", "bold red")
        line.append(f"), {counted(len(self._links), 'link')}")
        interrupted = sum(link.interrupted for link in self._links)
        if interrupted:
            line.append(f" ({interrupted:,} interrupted)", "bold red")
        return line
