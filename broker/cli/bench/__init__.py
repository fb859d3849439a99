"""``broker bench``: rate and round trip between two processes of this machine, or by way of a real endpoint.

:mod:`~broker.cli.bench.run` measures, :mod:`~broker.cli.bench.partner` is the other process, and
:mod:`~broker.cli.bench.traffic` is what they say to each other.  It is a quick look: a benchmark of several runs, with
what it is compared to, is ``python -m benchmarks`` of the sources.
"""

from __future__ import annotations
