"""``broker doctor``: why a peering does not come up, step by step, from the address to the mesh behind it.

:mod:`~broker.cli.doctor.wire` looks at what is below the library, with a connection of its own: name, port, path, and
whether ZeroMQ answers there.  :mod:`~broker.cli.doctor.linked` then peers as any endpoint does, and looks at what it
gets: handshake, rights, round trip, large frames, clock.  Each step is a :class:`~broker.cli.doctor.steps.Finding`.
"""

from __future__ import annotations
