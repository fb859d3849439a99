"""Asks the OSV database for known vulnerabilities of what this project pins, and of the lowest versions that it allows.

"None known" is said only when the database was asked about every one, and has shown first that it answers as it should:
it is asked about a version that has a vulnerability.  A proxy that answers everything with an empty page, an index that
does not know a package, no network: each of these is a failure to ask.

Exit codes: 0 none known; 1 there are some; 2 could not ask.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["AuditError", "lowest", "main", "pinned"]

ROOT: Final = Path(__file__).parent.parent
# A version with a vulnerability that every such database knows.
_PROBE: Final = ("pyarrow", "14.0.0", "CVE-2023-47248")


class AuditError(Exception):
    """The database was not asked, or did not answer as it should."""


def pinned(root: Path = ROOT) -> dict[str, str]:
    """The exact versions in constraints.txt."""
    lines = (line.partition("#")[0].strip() for line in (root / "constraints.txt").read_text().splitlines())
    parts = (line.partition("==") for line in lines if line)
    return {name: version for name, _, version in parts}


def lowest(root: Path = ROOT) -> dict[str, str]:
    """The lowest versions that pyproject.toml allows of what users install (dev's extra is pinned)."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    found: dict[str, str] = {}
    groups = [
        project["dependencies"],
        *(lines for name, lines in project["optional-dependencies"].items() if name != "dev"),
    ]
    for line in (line for lines in groups for line in lines):
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            continue
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            raise AuditError(f"{line}: a requirement is to have one lowest version")
        found[requirement.name] = bounds[0]
    return found


def known(versions: Mapping[str, str], url: str | None) -> dict[str, list[str]]:
    """Ask for the vulnerabilities known of each version, by package; raises AuditError unless all were asked about."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted, answer = Path(scratch, "requirements.txt"), Path(scratch, "answer.json")
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(wanted), "--no-deps", "--disable-pip"]
        command += ["--strict", "--vulnerability-service", "osv", *(["--osv-url", url] if url else [])]
        command += ["--aliases", "on", "--progress-spinner", "off", "--format", "json", "--output", str(answer)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        try:
            entries: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
        except (OSError, ValueError, KeyError):
            raise AuditError(_last_line(done.stderr)) from None
    answered = {canonicalize_name(entry["name"]): entry for entry in entries if "vulns" in entry}
    if missing := sorted({canonicalize_name(name) for name in versions} - answered.keys()):
        raise AuditError(f"no answer about {', '.join(missing)}")
    return {
        name: [_told(vulnerability) for vulnerability in entry["vulns"]]
        for name, entry in answered.items()
        if entry["vulns"]
    }


def _told(vulnerability: Mapping[str, Any]) -> str:
    names = [vulnerability["id"], *vulnerability.get("aliases", [])]
    fixed = ", ".join(vulnerability.get("fix_versions", [])) or "no version"
    return f"{' '.join(names)} (fixed in {fixed})"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"^(ERROR:\S+?:|[\w.]+Error: )", "", lines[-1]).strip() if lines else "pip-audit said nothing"


def audit(sets: Iterable[tuple[str, Mapping[str, str]]], url: str | None) -> int:
    """Ask about each set, and print what is known; the exit code."""
    name, version, vulnerability = _PROBE
    if not any(vulnerability in told for told in known({name: version}, url).get(name, [])):
        raise AuditError(f"the database does not know {vulnerability} of {name} {version}: it does not answer truly")
    code = 0
    for title, versions in sets:
        exact: dict[str, str] = {canonicalize_name(package): version for package, version in versions.items()}
        found = known(versions, url)
        for package, told in sorted(found.items()):
            print(f"{package} {exact[package]}: {'; '.join(told)}")
        print(f"{title}: asked about {len(versions)}, {len(found) or 'none'} with known vulnerabilities")
        code = 1 if found else code
    return code


def main() -> int:
    """Audit the pinned versions and the lowest ones."""
    parser = argparse.ArgumentParser(description="Asks OSV for known vulnerabilities of the dependencies.")
    parser.add_argument("--url", help="another address of an OSV database (default: pip-audit's own)")
    url = parser.parse_args().url
    try:
        return audit([("pinned versions", pinned()), ("lowest versions", lowest())], url)
    except AuditError as error:
        print(f"NOT AUDITED: the vulnerability database could not be asked: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
