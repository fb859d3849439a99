"""Optional packages: what is told when one is imported that is not installed.

Whatever needs one imports it under :func:`needed_for`, whose error says which package is missing, what wants it, and
which command installs it:

    with needed_for("Parquet files"):
        import pyarrow

``pyproject.toml`` has the extras; a test holds the table below against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from broker.errors import ExtraMissing

__all__ = ["EXTRAS", "needed_for"]

EXTRAS: Final = {
    "click": "cli",
    "rich": "cli",
    "psutil": "demo",
    "hypothesis": "testing",
    "prometheus_client": "metrics",
    "opentelemetry": "tracing",
    "pyarrow": "parquet",
    "re2": "rules",
}
"""The extra that brings a package, by the name that the package is imported by."""


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Import optional packages in this block: for one that is not installed :class:`ExtraMissing` is raised.

    ``what`` completes "it is needed for ...".  A package that is there and does not work tells why itself, and so does
    a module that is no optional package.
    """
    try:
        yield
    except ExtraMissing:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is None:
            raise
        raise ExtraMissing(package, extra, what) from None
