"""``broker top``: what the endpoints of a mesh report of themselves, live and the worst first.

:mod:`~broker.cli.top.board` makes rates of counters, :mod:`~broker.cli.top.rows` is what is told of each thing, and
:mod:`~broker.cli.top.draw` shows it.
"""

from __future__ import annotations
