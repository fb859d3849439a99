"""The cells of a drawn mesh: what is told of an endpoint, a link and a subscription, and text cut to fit.

Names, topics and event names come from elsewhere: each goes through :func:`~broker.cli.standard.printable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from broker import MeshEndpoint, MeshLink, MeshSubscription
from broker.cli.mesh.tree import Branch
from broker.cli.standard import printable

__all__ = [
    "Words",
    "duration",
    "events_of",
    "fit",
    "is_interrupted",
    "link_words",
    "listed",
    "prefix_of",
    "table_line",
    "values_of",
    "values_of_alike",
    "values_of_endpoint",
]

Words = tuple[str, str]  # text and its style


def values_of(branch: Branch) -> dict[str, Words]:
    """The values of a branch's endpoint and link by the heading of their column."""
    values = values_of_endpoint(branch.endpoint)
    return values | {"link": link_words(branch.link) if branch.link is not None else ("", "")}


def values_of_endpoint(endpoint: MeshEndpoint) -> dict[str, Words]:
    """The values of an endpoint by the heading of their column."""
    wanted = len(endpoint.subscriptions)
    return {
        "kind": ("relay" if endpoint.forward else "leaf", "" if endpoint.forward else "dim"),
        "hops": ("away", "red") if endpoint.hops is None else (str(endpoint.hops), ""),
        "subscriptions": (f"{wanted:,}", "" if wanted else "dim"),
    }


def values_of_alike(alike: Sequence[Branch]) -> dict[str, Words]:
    """The values of many endpoints in one line: their subscriptions together, and the slowest link."""
    values = values_of(alike[0])
    values["subscriptions"] = (f"{sum(len(branch.endpoint.subscriptions) for branch in alike):,}", "")
    times = [branch.link.rtt_s for branch in alike if branch.link and branch.link.rtt_s is not None]
    if times and not is_interrupted(alike[0].link):
        values["link"] = (f"≤ {duration(max(times))}", "")
    return values


def is_interrupted(link: MeshLink | None) -> bool:
    """Whether there is a link and it is interrupted."""
    return link is not None and link.interrupted


def link_words(link: MeshLink) -> Words:
    """The state of a link: how fast it is, or that it is interrupted."""
    if link.interrupted:
        return "interrupted", "bold red"
    return ("", "") if link.rtt_s is None else (duration(link.rtt_s), "")


def duration(seconds: float) -> str:
    """A time in seconds or milliseconds."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def prefix_of(wanted: MeshSubscription) -> Words:
    """The prefix that is subscribed to; the empty one in words."""
    return (printable(wanted.prefix), "green") if wanted.prefix else ("(all)", "dim")


def events_of(wanted: MeshSubscription, cells: int, lines_max: int | None) -> list[Text]:
    """The names of the events that are wanted, on lines of so many cells."""
    if wanted.events is None:
        return [Text("any", "dim")]
    return listed([(printable(name), "") for name in wanted.events], cells, lines_max)


# --- text in so many cells ------------------------------------------------------------------------------------------


def fit(text: str, cells: int) -> str:
    """The text in exactly so many cells, with an ellipsis where it was cut."""
    if len(text) <= cells and text.isascii():
        return text.ljust(cells)
    fitted = Text(text)
    fitted.truncate(max(1, cells), overflow="ellipsis", pad=True)
    return fitted.plain


def table_line(cells: Iterable[tuple[str, str, int]]) -> Text:
    """A line of cells, each given by its text, style and width."""
    line = Text()
    for text, style, width in cells:
        line.append(fit(text, width), style)
        line.append("  ")
    line.rstrip()
    return line


def listed(items: Sequence[Words], cells: int, lines_max: int | None) -> list[Text]:
    """The items with commas on lines of so many cells; what does not go on the last is counted: "a, b and 7 more"."""
    lines = [Text()]
    used = 0
    for at, (text, style) in enumerate(items):
        rest = len(items) - at - 1
        is_last = len(lines) == lines_max
        tail = f" and {rest:,} more" if is_last and rest else "," if rest else ""
        if used and used + 2 + cell_len(text) + len(tail) > cells:
            if is_last:
                lines[-1].append(f" and {rest + 1:,} more", "italic")
                return lines
            lines[-1].append(",")
            lines.append(Text())
            used = 0
        elif used:
            lines[-1].append(", ")
            used += 2
        room = max(4, cells - len(tail))
        fitted = text if cell_len(text) <= room else fit(text, room)
        lines[-1].append(fitted, style)
        used += cell_len(fitted)
    return lines
