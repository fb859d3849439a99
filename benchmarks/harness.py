"""Turns, medians and the report: what every benchmark shares.

A benchmark gives *takes*, one a side: a function that measures once and returns a figure.  :func:`in_turns` calls them
A B A B, so that whatever else the machine does falls on all sides alike.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

__all__ = ["Options", "Report", "Result", "Series", "Table", "in_turns", "machine"]

REPEAT_MIN = 5


@attrs.frozen
class Options:
    """What the command line asks for: repetitions, and how much to do in each (None: the benchmark's own default)."""

    repeat: int = REPEAT_MIN
    count: int | None = None


class Report(Protocol):
    """A benchmark's outcome."""

    def as_json(self) -> str:
        """Return the one object that ``--json`` prints."""

    def as_table(self) -> str:
        """Return the plain table that is printed without ``--json``."""


@attrs.frozen
class Series:
    """One side's repeated figures."""

    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the figures."""
        return statistics.median(self.figures)

    @property
    def spread(self) -> list[float]:
        """The lowest and the highest figure."""
        return [min(self.figures), max(self.figures)]


@attrs.frozen
class Result:
    """A benchmark's outcome: our series, the peers' series, and why a peer has none."""

    name: str
    unit: str
    # "higher" or "lower": which figure is the better one.
    better: str
    ours: Series
    version: str
    peers: Mapping[str, Series] = attrs.field(factory=dict)
    versions: Mapping[str, str] = attrs.field(factory=dict)
    missing: Mapping[str, str] = attrs.field(factory=dict)
    # What each ratio is to reach.
    targets: Mapping[str, float] = attrs.field(factory=dict)
    # Further figures by name, for whoever wants to look closer.
    details: Mapping[str, float] = attrs.field(factory=dict)
    # How the sides were used.
    notes: tuple[str, ...] = ()

    def ratio(self, peer: str) -> float:
        """Return how many times better ours is than the peer: above 1 ours is better, whatever the unit."""
        ours, theirs = self.ours.median, self.peers[peer].median
        return ours / theirs if self.better == "higher" else theirs / ours

    def as_json(self) -> str:
        """Return the one object that ``--json`` prints."""
        peers: dict[str, dict[str, object]] = {
            name: {"figure": series.median, "version": self.versions[name], "spread": series.spread}
            for name, series in self.peers.items()
        }
        peers |= {name: {"figure": None, "why": why} for name, why in self.missing.items()}
        return json.dumps(
            {
                "name": self.name,
                "unit": self.unit,
                "ours": self.ours.median,
                "spread": self.ours.spread,
                "peers": peers,
                "ratios": {name: self.ratio(name) for name in self.peers},
                "targets": dict(self.targets),
                "details": dict(self.details),
                "repetitions": len(self.ours.figures),
                "version": self.version,
                "machine": machine(),
                "notes": list(self.notes),
            }
        )

    def as_table(self) -> str:
        """Return the plain table that is printed without ``--json``."""
        rows = [("", f"median ({self.unit})", "min .. max", "ratio", "target", "version")]
        rows.append(("ours", _number(self.ours.median), _range(self.ours), "", "", self.version))
        for name, series in self.peers.items():
            target = f">= {self.targets[name]:.2f}" if name in self.targets else ""
            ratio = f"{self.ratio(name):.2f}"
            rows.append((name, _number(series.median), _range(series), ratio, target, self.versions[name]))
        rows += [(name, "missing", "", "", "", why) for name, why in self.missing.items()]
        lines = [f"{self.name}: {self.unit}, {self.better} is better, {len(self.ours.figures)} repetitions in turns"]
        lines += _aligned(rows)
        lines += [f"  {name}: {_number(figure)}" for name, figure in self.details.items()]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


@attrs.frozen
class Table:
    """The outcome of a benchmark without peers: rows of figures, and what some figures that follow from them may be."""

    name: str
    title: str
    # Each has a cell for every column of the first: its names say the units.
    rows: tuple[Mapping[str, str | float], ...]
    version: str
    # Figures by name, and the most that each may be.
    figures: Mapping[str, float] = attrs.field(factory=dict)
    limits: Mapping[str, float] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()

    def as_json(self) -> str:
        """Return the one object that ``--json`` prints."""
        return json.dumps(
            {
                "name": self.name,
                "title": self.title,
                "rows": [dict(row) for row in self.rows],
                "figures": dict(self.figures),
                "limits": dict(self.limits),
                "version": self.version,
                "machine": machine(),
                "notes": list(self.notes),
            }
        )

    def as_table(self) -> str:
        """Return the plain table that is printed without ``--json``."""
        cells = [tuple(self.rows[0])]
        cells += [tuple(c if isinstance(c, str) else _number(c) for c in row.values()) for row in self.rows]
        lines = [f"{self.name}: {self.title}", *_aligned(cells)]
        for name, figure in self.figures.items():
            limit = f" (at most {self.limits[name]:.4g})" if name in self.limits else ""
            lines.append(f"  {name}: {_number(figure)}{limit}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def in_turns(takes: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, Series]:
    """Take every side's measure ``repeat`` times, in turns, and return a series for each."""
    figures: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(repeat):
        for name, take in takes.items():
            figures[name].append(take())
    return {name: Series(tuple(values)) for name, values in figures.items()}


def machine() -> str:
    """Return the processor, the number of cores, the system and the Python that the figures belong to."""
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}"


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            model = next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
    return model.split(":", 1)[1].strip()


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.4g}"


def _range(series: Series) -> str:
    low, high = series.spread
    return f"{_number(low)} .. {_number(high)}"
