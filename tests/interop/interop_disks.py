"""Small disks for tests: they fill, and there is room again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from interop_stores import Keeper

__all__ = ["SmallDisk"]


class SmallDisk:
    """Room for a file that is soon full, for one process alone: a tmpfs of its own; where none can be mounted (user
    namespaces), a limit to the size of its files.
    """

    def __init__(self, directory: Path, file: str) -> None:
        self.path = str(directory / file)
        self._ballast = str(directory / "ballast")
        mount = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=24m none "$1" && shift && exec "$@"', "sh")
        self.inside: tuple[str, ...] = (*mount, str(directory))
        if subprocess.run([*self.inside, "true"], capture_output=True, check=False).returncode != 0:
            self.inside = ()

    async def fill(self, one: Keeper) -> None:
        """Leave little room."""
        if self.inside:
            await one.ask("ballast", path=self._ballast, size=19 << 20)
        else:
            await one.ask("limit", size=4 << 20)

    async def empty(self, one: Keeper) -> None:
        """Make room."""
        if self.inside:
            await one.ask("unlink", path=self._ballast)
        else:
            await one.ask("limit", size=1 << 30)
