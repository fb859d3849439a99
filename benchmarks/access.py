"""See :mod:`benchmarks.trust`."""

from __future__ import annotations

from benchmarks.trust import access as run

__all__ = ["run"]
