"""The command line's entry, outside the package ``broker``: it tells when another ``broker`` is in its place.

The package is imported as ``broker``; so are an unrelated distribution on PyPI, Zeek's own bindings, and many a script
that somebody has called ``broker.py``.  If Python finds one of those first, nothing of ours runs: programs see
"module 'broker' has no attribute 'Endpoint'".  This module has the distribution's name, which nobody else's has.
``broker`` and ``python -m broker`` begin here; where even these are somebody else's,

    python -m broker_mesh

is the same command line, and says why.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

__all__ = ["explain", "main", "sharing"]

# The package belongs beside this file.
_OURS = Path(__file__).with_name("broker")
_MARK = "from broker.public import "
_AGAIN = "python -m pip install --force-reinstall --no-deps broker-mesh"
_REMOVED = "another distribution with a package named broker may have taken it along when it was removed"


def main() -> int:
    """Run the command line that the program was started with; returns the exit code."""
    try:
        why = explain()
        if why is not None:
            print(f"broker: {why}", file=sys.stderr)
            return 1
        from broker.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


def explain() -> str | None:
    """Say what ``import broker`` finds in the place of broker-mesh and what to do about it; None if it finds ours.

    Nothing is run to find out: it may be anybody's program.
    """
    spec = find_spec("broker")
    if spec is None or spec.origin is None:
        return f"{_OURS / '__init__.py'} is not there: {_REMOVED}; get it back with: {_AGAIN}"
    if _is_ours(spec):
        return None
    found = Path(spec.origin)
    if found.parent != _OURS:
        return f"'import broker' finds {found} before broker-mesh's ({_OURS}): {_way_out(found, spec)}"
    others = sharing()
    who = " and ".join(others) or "something else"
    return f"{found} is no longer broker-mesh's: {who} was installed over it; {_apart(others)}"


def sharing() -> list[str]:
    """Name and version of each other distribution that is installed here and imported as ``broker``, too.

    It takes some tens of milliseconds.  While both are installed, the one that came last has the files that both have;
    removing one removes these.
    """
    from importlib.metadata import distribution, packages_distributions

    names = set(packages_distributions().get("broker", ())) - {"broker-mesh"}
    return sorted(f"{name} {distribution(name).version}" for name in names)


def _is_ours(spec: ModuleSpec) -> bool:
    """Whether it is broker-mesh's, at any place: there may be several checkouts."""
    get_source = getattr(spec.loader, "get_source", None)  # files and archives have it, extension modules too
    try:
        source: str | None = "" if get_source is None else get_source(spec.name)
    except (ImportError, SyntaxError, UnicodeDecodeError):
        return False
    return source is not None and _MARK in source


def _way_out(found: Path, spec: ModuleSpec) -> str:
    package = spec.submodule_search_locations is not None
    what = found.parent if package else found
    directory = what.parent
    told = os.environ.get("PYTHONPATH")
    if told and str(directory) in map(os.path.abspath, told.split(os.pathsep)):
        return f"take {directory} out of PYTHONPATH, or rename {what.name}"
    if others := sharing():
        return f"it is of {' and '.join(others)}; {_apart(others)}"
    return f"rename {what.name}, or start Python in another directory than {directory}"


def _apart(others: list[str]) -> str:
    removals = [f"python -m pip uninstall {name.partition(' ')[0]}" for name in others]
    commands = " && ".join([*removals, _AGAIN])
    return f"one environment cannot have both: give each its own, or keep ours with: {commands}"


if __name__ == "__main__":
    sys.exit(main())
