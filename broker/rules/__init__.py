"""Rules: filters, matches, patterns over sequences, windows and aggregates on the events of an endpoint.

The theory is in DESIGN.md beside this file; the rooms are:

- ``model``: rules as plain data, whatever they were spelt in;
- ``language``, ``tornado``, ``spelling``: the three spellings;
- ``operations``, ``interpreter``, ``compiling``: what an expression means, slowly and fast;
- ``engine``: event time, patterns, windows, state;
- ``explaining``: each clause, its values, and why it failed.

In Python rules are spelt by the names below, which are loaded with the first one that is asked for:

    disk = broker.rules.of(DiskUsage)
    full = (disk.used > 0.9) & disk.host.matches("^web")

No I/O here: no sockets, files, threads, clocks or chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.rules.event_types import event_type
    from broker.rules.explaining import explain, explain_where
    from broker.rules.spelling import *  # noqa: F403 - broker.rules.spelling says which

    __all__ = ["event_type", "explain", "explain_where"]
else:
    _FURTHER: Final = {"event_type": "event_types", "explain": "explaining", "explain_where": "explaining"}

    def __getattr__(name: str) -> Any:
        """Load what spells rules when it is first wanted: whoever only carries them need not have it."""
        if not name.startswith("_"):
            from importlib import import_module

            module = import_module(f"broker.rules.{_FURTHER.get(name, 'spelling')}")
            if name in _FURTHER or name in module.__all__:
                return getattr(module, name)
        raise AttributeError(f"module 'broker.rules' has no attribute {name!r}")
