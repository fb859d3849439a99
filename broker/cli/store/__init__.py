"""``broker store``: look into the stores of a mesh, change them, watch them change, save them and put them back."""

from __future__ import annotations
