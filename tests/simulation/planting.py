"""How bugs are planted: what the tests of all simulations have in common.  Each kind of life has bugs of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from simulated_world import Broken

__all__ = ["Plant", "into", "what_shows"]

Plant = Callable[[pytest.MonkeyPatch], None]


def into(plants: dict[str, Plant]) -> Callable[[Plant], Plant]:
    """Return a decorator that adds a plant by its name."""

    def planted(plant: Plant) -> Plant:
        plants[plant.__name__] = plant
        return plant

    return planted


def what_shows(plant: Plant, seeds: Iterable[int], live: Callable[[int], object]) -> str:
    """Plant a bug, live, and return what gave it away; empty when nothing did."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        for seed in seeds:
            try:
                live(seed)
            except Broken as broken:
                return f"seed {seed}: {broken}"
            except Exception as error:  # noqa: BLE001 - a bug that crashes is caught, too
                return f"seed {seed}: {error!r}"
    return ""
