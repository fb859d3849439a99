"""``broker top`` in a terminal: tables below each other, cut to its height from where there is most.

Names and what is told come from elsewhere: each goes through :func:`~broker.cli.standard.printable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from broker.cli.mesh.cells import duration
from broker.cli.running import counted
from broker.cli.standard import printable
from broker.cli.top.rows import EndpointRow, LinkRow, Snapshot, StoreRow, StreamRow
from broker.topics import RESERVED

__all__ = ["drawing"]

Cell = tuple[str, str]  # text and style
_BAD: Final = "bold red"
_DOUBTFUL: Final = "yellow"
# A clone is half a second behind in peace, a report may be as old as a few of its intervals.
_STALE_S: Final = 2.0
_SILENT_S: Final = 15.0
_LAGGING: Final = 1000
_ROWS_MIN: Final = 2
# Of each section: its heading, its columns' names, and the empty line before it.
_ROWS_AROUND: Final = 3
# The first line, and a remark with an empty line before it.
_ROWS_OF_FRAME: Final = 3
_CELLS_FOR_ALL: Final = 100
_CELLS_KEPT: Final = 16


def drawing(snapshot: Snapshot, columns: int, lines: int | None) -> RenderableType:
    """Everything that there is to show, in so many columns and lines (None: as many as it takes)."""
    sections: list[tuple[str, Sequence[Any], Callable[[Any], Sequence[Cell]], Sequence[str]]] = [
        ("endpoints", snapshot.endpoints, _endpoint_cells, _ENDPOINT_HEADINGS),
        ("slow and broken links", [link for link in snapshot.links if _is_slow(link)], _link_cells, _LINK_HEADINGS),
        ("stores", snapshot.stores, _store_cells, _STORE_HEADINGS),
        ("log streams", snapshot.streams, _stream_cells, _STREAM_HEADINGS),
        ("what happened", snapshot.events, _event_cells, _EVENT_HEADINGS),
    ]
    sections = [section for section in sections if section[1]]
    limits = _limits([len(section[1]) for section in sections], lines)
    parts: list[RenderableType] = [_title(snapshot)]
    for (name, rows, cells, headings), limit in zip(sections, limits, strict=True):
        parts += [Text(), _section(name, rows[:limit], len(rows), cells, _fitting(headings, columns))]
    if snapshot.refused_by:
        whose = ", ".join(map(printable, snapshot.refused_by))
        text = f"the access rules of {whose} do not let us subscribe to '{RESERVED}'"
        parts += [Text(), Text(text, style=_BAD)]
    elif not any(endpoint.reports for endpoint in snapshot.endpoints):
        parts += [Text(), Text("nobody reports: endpoints do with Endpoint(report_every=1)", style="italic")]
    return Group(*parts)


def _limits(rows: list[int], lines: int | None) -> list[int]:
    """How many rows each section may show: the longest one gives way, of equals the one further below."""
    if lines is None:
        return rows
    rows = list(rows)
    room = lines - _ROWS_OF_FRAME - _ROWS_AROUND * len(rows)
    while rows and sum(rows) > room and max(rows) > _ROWS_MIN:
        rows[max(range(len(rows)), key=lambda at: (rows[at], at))] -= 1
    return rows


def _title(snapshot: Snapshot) -> Text:
    reporting = sum(endpoint.reports for endpoint in snapshot.endpoints)
    stores = len({store.store for store in snapshot.stores})
    streams = len({stream.stream for stream in snapshot.streams})
    losing = sum(bool(endpoint.lost_per_s) for endpoint in snapshot.endpoints)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append_text(Text.assemble(("broker top", "bold"), f"  {datetime.now().astimezone():%H:%M:%S}  "))
    text.append(f"{counted(len(snapshot.endpoints), 'endpoint')}, {reporting} reporting")
    if stores:
        text.append(f", {counted(stores, 'store')}")
    if streams:
        text.append(f", {counted(streams, 'log stream')}")
    if losing:
        text.append(f", {losing} losing messages", _BAD)
    return text


def _fitting(headings: Sequence[str], columns: int) -> Sequence[str | None]:
    """The headings; None for columns that a narrow terminal has no room for (they begin with a minus)."""
    wide = columns >= _CELLS_FOR_ALL
    return [heading.lstrip("-") if wide or not heading.startswith("-") else None for heading in headings]


def _section(
    name: str, rows: Sequence[Any], total: int, cells: Callable[[Any], Sequence[Cell]], headings: Sequence[str | None]
) -> Table:
    more = f" ({total - len(rows):,} more)" if len(rows) < total else ""
    table = Table(
        box=None, pad_edge=False, title=name + more, title_justify="left", title_style="bold cyan", header_style="dim"
    )
    lines = [
        [
            Text(printable(text), style=style)
            for (text, style), heading in zip(cells(row), headings, strict=True)
            if heading
        ]
        for row in rows
    ]
    shown = [heading for heading in headings if heading]
    for number, heading in enumerate(shown):
        # What gives way in a narrow terminal is the last column, of words.
        widest = max(line[number].cell_len for line in lines)
        width = None if number == len(shown) - 1 else min(_CELLS_KEPT, max(len(heading), widest))
        side: Literal["left", "right"] = "left" if heading in _LEFT else "right"
        table.add_column(heading, justify=side, no_wrap=True, overflow="ellipsis", min_width=width)
    for line in lines:
        table.add_row(*line)
    return table


_LEFT: Final = frozenset(
    {"endpoint", "state", "held up by", "from", "to", "store", "at", "role", "stream", "writer", "collector", "note"}
    | {"time", "told by", "what"}
)


# --- endpoints and links ---------------------------------------------------------------------------------------------

_ENDPOINT_HEADINGS: Final = (
    "endpoint",
    "state",
    "out/s",
    "in/s",
    "-relayed/s",
    "-sent/s",
    "-received/s",
    "lost",
    "queued",
    "rtt",
    "held up by",
)


def _endpoint_cells(row: EndpointRow) -> Sequence[Cell]:
    lost: Cell = ("", "") if row.lost is None else (f"{row.lost:,}", _BAD if row.lost_per_s else "")
    return (
        (row.endpoint, "cyan"),
        _state(row),
        (_number(row.out_per_s), ""),
        (_number(row.in_per_s), ""),
        (_number(row.relayed_per_s), "dim"),
        (_bytes(row.sent_bytes_per_s), "dim"),
        (_bytes(row.received_bytes_per_s), "dim"),
        lost,
        (_bytes(row.queued_bytes), _DOUBTFUL if row.queued_bytes else "dim"),
        ("" if row.rtt_s is None else duration(row.rtt_s), ""),
        (", ".join(row.slow), _BAD),
    )


def _state(row: EndpointRow) -> Cell:
    if not row.reachable:
        return "away", _BAD
    if not row.reports:
        return "no reports", "dim"
    if row.report_age_s is not None and row.report_age_s > _SILENT_S:
        return f"silent {row.report_age_s:.0f} s", _DOUBTFUL
    return ("slow", _DOUBTFUL) if row.slow else ("ok", "green")


_LINK_HEADINGS: Final = ("from", "to", "state", "queued", "unacknowledged", "resent", "rtt")


def _is_slow(link: LinkRow) -> bool:
    return link.state != "linked" or link.stalled or bool(link.queued_bytes)


def _link_cells(row: LinkRow) -> Sequence[Cell]:
    state = "stalled" if row.stalled and row.state == "linked" else row.state
    return (
        (row.endpoint, "cyan"),
        (row.peer, "cyan"),
        (state, _BAD if state != "linked" else _DOUBTFUL),
        (_bytes(row.queued_bytes), ""),
        (_bytes(row.unacknowledged_bytes), ""),
        (f"{row.resent:,}", ""),
        ("" if row.rtt_s is None else duration(row.rtt_s), ""),
    )


# --- stores and streams ----------------------------------------------------------------------------------------------

_STORE_HEADINGS: Final = ("store", "at", "role", "entries", "changes/s", "stale", "behind", "-file", "note")


def _store_cells(row: StoreRow) -> Sequence[Cell]:
    stale = "never synced" if row.staleness_s is None else "" if row.role == "master" else f"{row.staleness_s:.1f} s"
    is_stale = row.staleness_s is None or row.staleness_s > _STALE_S
    note = row.failing or ("" if row.master else "its master cannot be reached")
    if not note and row.role == "master":
        note = counted(row.followers, "clone")
    return (
        (row.store, "cyan"),
        (row.endpoint, ""),
        (row.role, "bold" if row.role == "master" else ""),
        (f"{row.entries:,}", ""),
        (_number(row.operations_per_s), ""),
        (stale, _BAD if is_stale and row.role != "master" else ""),
        (f"{row.behind:,}" if row.behind else "", _BAD if row.behind > _LAGGING else ""),
        (_bytes(row.file_bytes) if row.file_bytes else "memory", "dim"),
        (note, _BAD if row.failing or not row.master else "dim"),
    )


_STREAM_HEADINGS: Final = ("stream", "writer", "records/s", "collector", "behind", "lag", "-spool", "note")


def _stream_cells(row: StreamRow) -> Sequence[Cell]:
    full = row.spool_bytes / row.limit_bytes if row.limit_bytes else 0.0
    notes = [row.failing] if row.failing else []
    notes += [f"{row.lost:,} lost"] if row.lost else []
    notes += [f"{row.dropped:,} dropped"] if row.dropped else []
    notes += ["nobody collects it"] if not row.collector else ["not here"] if not row.members else []
    lag = "" if not row.collector else "cannot be read" if row.behind_s is None else f"{row.behind_s:.1f} s"
    return (
        (row.stream, "cyan"),
        (row.writer, ""),
        (_number(row.records_per_s), ""),
        (row.collector, ""),
        (f"{row.behind:,}" if row.collector else "", _BAD if row.behind > _LAGGING else ""),
        (lag, ""),
        (f"{_bytes(row.spool_bytes)} ({full:.0%})", _BAD if full > 0.9 else "dim"),
        ("; ".join(notes), _BAD if row.failing or row.lost or row.dropped else _DOUBTFUL),
    )


_EVENT_HEADINGS: Final = ("time", "told by", "what")


def _event_cells(event: tuple[str, str, str]) -> Sequence[Cell]:
    time, endpoint, text = event
    at = datetime.fromisoformat(time).astimezone()
    return (f"{at:%H:%M:%S}", "dim"), (endpoint, "cyan"), (text.removeprefix(f"{endpoint}: "), "")


# --- amounts ---------------------------------------------------------------------------------------------------------


def _number(rate: float | None) -> str:
    if rate is None:
        return ""
    if rate >= 10_000:
        return f"{rate / 1e6:.2f} M" if rate >= 1e6 else f"{rate / 1e3:.1f} k"
    return f"{rate:,.0f}" if rate >= 10 or rate == int(rate) else f"{rate:.1f}"


def _bytes(amount: float | None) -> str:
    if amount is None:
        return ""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
