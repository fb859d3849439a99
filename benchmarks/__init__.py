"""Measurements of broker beside its peers: both sides in the same run, on the same machine, in turns.

``python -m benchmarks NAME`` prints one table, ``--json`` one object.  A module a benchmark (``events``, ``rtt``,
``fanout``, ``subscriptions``, ``codec``, ``import_time``, ``relay``, ``simulation``, ``scale``); ``ours`` and ``peers``
hold what runs in the measured processes; ``child`` and ``processes`` are the two ends of the pipe between them and the
benchmark; ``meshes`` has the simulated meshes of ``scale``; ``harness`` the statistics and the reports.
"""

from __future__ import annotations
