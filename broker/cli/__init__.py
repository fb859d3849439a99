"""The command line: ``broker listen``, ``pub``, ``sub``, ``mesh``, ``store``, ``log``, ``journal``, ``keys`` and
``demo``.

It stands on the public names of :mod:`broker`, but for ``journal`` and ``keys``.  click and rich come with the extra
``cli``, psutil with ``demo``; nothing here imports them before it is known whether they are there.

Exit codes: 0 all is well; 1 the mesh or the machine said no (a peer that is not there, a port in use, messages lost);
2 the command line or its input is wrong; 130 stopped with Ctrl-C (128 and the signal's number for others).
"""

from __future__ import annotations

import sys

__all__ = ["main"]


_EXTRAS = {"click": "cli", "rich": "cli", "psutil": "demo"}


def main() -> int:
    """Run the command line that the program was started with; returns the exit code."""
    try:
        from broker.cli.app import run_app

        return run_app(sys.argv[1:])
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(package)
        if extra is None:
            raise
        print(f"broker: {package} is not installed: pip install 'broker-mesh[{extra}]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
