"""Source archive, wheel and bill of materials, the same bytes wherever and whenever they are made.

Hatchling puts files into archives in order, with modes and times of its own choice; the one time it takes from outside
is ``SOURCE_DATE_EPOCH``, which is set here to that of the last commit.  In an unpacked source archive, which has no
commits, it is the time of its ``PKG-INFO``, which the archive took from the commit it was made of.

``python -m tools.dist`` writes ``dist/``; ``--check`` builds in several places instead, under conditions as different
as one machine allows, and fails unless all agree.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Final

from tools.sbom import bill_of_materials

__all__ = ["BuildError", "build", "check", "digests", "main", "make", "source_date", "uncommitted"]

ROOT: Final = Path(__file__).parent.parent
# Before 1980 there are no times in a wheel, which is a ZIP archive.
_ZIP_BEGINS: Final = 315_532_800
_PATTERNS: Final = shutil.ignore_patterns(
    ".git", ".venv", "dist", "build", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis"
)


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """Return what is no part of the source: what tools leave behind, and what is no file, such as a socket."""
    odd = {name for name in names if not ((path := Path(folder, name)).is_file() or path.is_dir())}
    return {*_PATTERNS(folder, names), *odd}


class BuildError(Exception):
    """Nothing was built, or not the same twice; the message says what and what to do."""


def source_date(root: Path = ROOT) -> int:
    """Find the time, in seconds since 1970, that everything built of this tree bears."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        if not given.isdecimal():
            raise BuildError(f"SOURCE_DATE_EPOCH is to be a number of seconds, not {given!r}")
        return int(given)
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        try:
            return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            raise BuildError("git cannot tell the time of the last commit: set SOURCE_DATE_EPOCH") from error
    try:
        return int((root / "PKG-INFO").stat().st_mtime)
    except OSError as error:
        raise BuildError(f"{root} has neither commits nor a PKG-INFO: set SOURCE_DATE_EPOCH") from error


def uncommitted(root: Path = ROOT) -> list[str]:
    """Tell which files are not as in the last commit; none where there are no commits."""
    if not (root / ".git").exists():
        return []
    command = ["git", "-C", str(root), "status", "--porcelain"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return ["?? perhaps: git cannot tell"]


def build(root: Path, out: Path, date: int, env: Mapping[str, str] | None = None, umask: int = -1) -> None:
    """Build source archive and wheel of ``root`` to ``out``."""
    if date < _ZIP_BEGINS:
        raise BuildError(f"SOURCE_DATE_EPOCH is {date}: a wheel cannot bear a time before 1980")
    # Hatchling itself, with the version that is installed here: a front end would make an environment with another.
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    environment = {**os.environ, **(env or {}), "SOURCE_DATE_EPOCH": str(date)}
    done = subprocess.run(command, check=False, cwd=root, env=environment, umask=umask, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"the build failed:\n{done.stdout}{done.stderr}")


def digests(directory: Path) -> dict[str, str]:
    """The SHA-256 of each file, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def check(root: Path, date: int) -> dict[str, str]:
    """Build in several ways; the digests that all have.  Raises BuildError if any differs."""
    with tempfile.TemporaryDirectory() as scratch:
        here, there = Path(scratch, "here"), Path(scratch, "quite", "another place")
        outs = [Path(scratch, f"out{number}") for number in range(3)]
        shutil.copytree(root, here, ignore=_not_copied)
        _copy_otherwise(here, there)
        build(here, outs[0], date, env={"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}, umask=0o022)
        other = {"TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "HOME": scratch}
        build(there, outs[1], date, env=other, umask=0o077)
        # A person who has the archive alone, and does not know the date.
        [archive] = outs[0].glob("*.tar.gz")
        with tarfile.open(archive) as members:
            members.extractall(scratch, filter="data")
        unpacked = Path(scratch, archive.name.removesuffix(".tar.gz"))
        told = source_date(unpacked)
        if told != date:
            raise BuildError(f"the source archive bears the date {told}, not {date}")
        build(unpacked, outs[2], told, umask=0o027)
        first, *others = map(digests, outs)
        for number, found in enumerate(others, 1):
            if found != first:
                raise BuildError(f"two builds differ:\n{first}\n{found}\n(build {number})")
        return first


def _copy_otherwise(source: Path, target: Path) -> None:
    """Copy a tree so that all differs which is not to matter: order of creation, times, modes."""
    files = sorted((path for path in source.rglob("*") if path.is_file()), reverse=True)
    for number, path in enumerate(files):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o600 if number % 2 else 0o664)
        os.utime(copy, (number, 1_000_000_000 + number * 1000))


def make(root: Path, out: Path, date: int) -> dict[str, str]:
    """Build what a release consists of; its digests, which ``SHA256SUMS`` has too."""
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        made = Path(scratch)
        build(root, made, date)
        [archive], [wheel] = made.glob("*.tar.gz"), made.glob("*.whl")
        try:
            bill = bill_of_materials(wheel, datetime.fromtimestamp(date, UTC))
        except PackageNotFoundError as error:
            raise BuildError(f"{error}: this environment is not the one that pyproject.toml asks for") from error
        (made / f"{archive.name.removesuffix('.tar.gz')}.cdx.json").write_text(bill)
        found = digests(made)
        sums = "".join(f"{digest}  {name}\n" for name, digest in found.items())
        (made / "SHA256SUMS").write_text(sums)
        for path in made.iterdir():
            path.replace(out / path.name)
    return found


def main() -> int:
    """Build, or check; 1 if that cannot be done."""
    parser = argparse.ArgumentParser(description="Builds source archive, wheel and bill of materials.")
    parser.add_argument("--check", action="store_true", help="build in several ways and compare, without a trace")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where to (default: dist/)")
    arguments = parser.parse_args()
    try:
        date = source_date()
        if changed := uncommitted():
            print(
                f"not of a commit: {len(changed)} files are changed or new, such as {changed[0][3:]}", file=sys.stderr
            )
        found = check(ROOT, date) if arguments.check else make(ROOT, arguments.out, date)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, digest in found.items():
        print(f"{digest}  {name}")
    if arguments.check:
        print(f"the same in three builds, dated {datetime.fromtimestamp(date, UTC):%Y-%m-%d %H:%M:%S}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
