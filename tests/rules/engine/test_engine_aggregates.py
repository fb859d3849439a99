"""Aggregates that are kept up to date are those that are computed anew."""

from __future__ import annotations

import math

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.rules.engine.aggregates import Kept, WindowFigures
from broker.rules.model import Constant
from broker.rules.operations import AGGREGATES

numbers = st.floats(-1e300, 1e300) | st.integers(-(2**63), 2**64) | st.sampled_from([0.1, 0.2, 1e16, -1e16, 1, 0.0])
others = st.sampled_from([None, math.nan, math.inf, -math.inf, 1e301, True])
KEPT = [Kept(name, Constant(0), None) for name in ("sum", "mean", "min", "max")]
KEPT += [Kept("percentile", Constant(0), parameter) for parameter in (0.0, 33.0, 100.0)]


@settings(max_examples=150)
@given(st.lists(numbers | others, max_size=30), st.integers(1, 6))
@example([1e16, 1.0, -1e16, 0.1, 0.2, 0.3], 3)
def test_they_leave_no_trace_of_what_has_left(items: list[float | None], size: int) -> None:
    window = WindowFigures(KEPT, [lambda item: item for _ in KEPT])
    kept: list[float | None] = []
    for item in items:
        kept.append(item)
        window.add(item)
        if len(kept) > size:
            kept.pop(0)
            window.remove(1)
        plain = all(type(each) in (int, float) and abs(each or 0) <= 1e300 for each in kept)
        assert window.regular is plain
        if plain:
            figures = window.update()
            for place, each in enumerate(KEPT):
                further = () if each.parameter is None else (each.parameter,)
                assert getattr(figures, f"f{place}") == AGGREGATES[each.function](kept, *further), attrs.asdict(each)
