"""The command line.  :mod:`~broker.cli.app` has the table of its commands, and where each is.

A room for each group of commands (``events``, ``mesh``, ``store``, ``log``, ``keys``, ``journal``, ``node``, ``top``,
``doctor``, ``bench``, ``demo``), whose ``commands`` module has their arguments and help and loads nothing else until
one runs; what all have in common stands beside this file: ``options`` and ``identity`` (what is typed), ``running``
(signals, errors) and ``exits`` (exit codes), ``standard``, ``tables``, ``jsonform`` and ``progress`` (what is shown).

It stands on the public names of :mod:`broker`, but for ``journal`` and ``keys``.  click and rich come with the extra
``cli``, psutil with ``demo``; nothing here imports them before it is known whether they are there.
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
