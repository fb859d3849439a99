"""The command line: ``broker listen``, ``pub``, ``sub``, ``mesh``, ``store``, ``log``, ``journal``, ``keys`` and
``demo``.

It stands on the public names of :mod:`broker`, but for ``journal`` and ``keys``.  click and rich come with the extra
``cli``, psutil with ``demo``; nothing here imports them before it is known whether they are there.

Exit codes: 0 all is well; 1 the mesh or the machine said no (a peer that is not there, a port in use, messages lost);
2 the command line or its input is wrong; 130 stopped with Ctrl-C (128 and the signal's number for others).
"""

from __future__ import annotations

import sys

from broker.errors import ExtraMissing
from broker.extras import needed_for

__all__ = ["main"]


def main() -> int:
    """Run the command line that the program was started with; returns the exit code."""
    try:
        with needed_for("this command"):
            from broker.cli.app import run_app

            return run_app(sys.argv[1:])
    except ExtraMissing as error:
        print(f"broker: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
