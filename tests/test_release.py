"""What a maintainer runs: builds that are the same everywhere, a bill of materials that is true, an audit that asks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import zmq
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools import audit, dist
from tools.sbom import bill_of_materials

ROOT = Path(__file__).parent.parent
DATE = 1_700_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    dist.make(ROOT, out, DATE)
    return out


# -- builds ------------------------------------------------------------------------------------------------------------


def test_builds_in_other_places_and_from_the_archive_are_the_same_bytes() -> None:
    digests = dist.check(ROOT, DATE)

    assert [name.rpartition(".")[2] for name in digests] == ["whl", "gz"]


def test_the_sums_are_those_of_the_files(made: Path) -> None:
    lines = (line.partition("  ") for line in (made / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, _, name in lines}

    assert sums == {name: digest for name, digest in dist.digests(made).items() if name != "SHA256SUMS"}
    assert {name.rpartition(".")[2] for name in sums} == {"whl", "gz", "json"}


def test_a_wheel_has_the_package_its_licence_and_nothing_else(made: Path) -> None:
    [wheel] = made.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    about = f"broker_mesh-{version('broker-mesh')}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"broker", "broker_mesh.py", about}
    assert not [name for name in names if name.startswith("broker/") and not name.endswith((".py", ".md", "py.typed"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_another_date_makes_another_archive(made: Path, tmp_path: Path) -> None:
    """Or the date would not be in it, and the check of builds would be blind to it."""
    dist.build(ROOT, tmp_path, DATE + 60)

    first, second = dist.digests(made), dist.digests(tmp_path)
    assert [name for name in second if first[name] == second[name]] == []


def test_the_date_is_the_last_commit_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{DATE} +0200")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "first"]):
        subprocess.run([*git, *command], check=True)

    assert dist.source_date(tmp_path) == DATE
    assert dist.uncommitted(tmp_path) == []
    (tmp_path / "new").touch()
    assert dist.uncommitted(tmp_path) == ["?? new"]


def test_the_date_can_be_said_and_must_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert dist.source_date(tmp_path) == 1_234_567_890
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(dist.BuildError, match="a number of seconds, not 'today'"):
        dist.source_date(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    with pytest.raises(dist.BuildError, match="neither commits nor a PKG-INFO: set SOURCE_DATE_EPOCH"):
        dist.source_date(tmp_path)


# -- bill of materials -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bill(made: Path) -> dict[str, Any]:
    [path] = made.glob("*.cdx.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_bill_keeps_to_the_schema_of_cyclonedx(bill: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)

    assert validator.validate_str(json.dumps(bill)) is None
    assert validator.validate_str(json.dumps({**bill, "components": [{"name": "x"}]})) is not None


def test_the_bill_is_of_the_wheel_beside_it(made: Path, bill: dict[str, Any]) -> None:
    [wheel] = made.glob("*.whl")
    about = bill["metadata"]["component"]

    assert about["purl"] == f"pkg:pypi/broker-mesh@{version('broker-mesh')}"
    assert about["hashes"] == [{"alg": "SHA-256", "content": dist.digests(made)[wheel.name]}]


def test_the_bill_names_everything_that_is_needed_with_version_and_licence(bill: dict[str, Any]) -> None:
    installed = {part["name"]: part for part in bill["components"] if part["purl"].startswith("pkg:pypi/")}

    assert {part["name"]: part["version"] for part in installed.values()} == {name: version(name) for name in installed}
    assert all(part["licenses"] for part in installed.values())
    # Some of our own, one that only another needs, one that only an extra needs.
    assert {"lmdb", "msgpack", "pynacl", "pyzmq", "trio", "outcome"} <= installed.keys()
    assert {name: installed[name]["scope"] for name in ("trio", "outcome", "click", "pyarrow")} == {
        "trio": "required", "outcome": "required", "click": "optional", "pyarrow": "optional"
    }  # fmt: skip
    # What only a maintainer needs is not there.
    assert not {"mypy", "hatchling", "grpcio", "pip-audit"} & installed.keys()


def test_the_bill_names_the_libraries_in_wheels(bill: dict[str, Any]) -> None:
    bundled = {part["bom-ref"]: part for part in bill["components"] if part["purl"].startswith("pkg:generic/")}
    needs = {line["ref"].partition("==")[0]: line.get("dependsOn", []) for line in bill["dependencies"]}

    assert bundled["pyzmq/libzmq"]["version"] == zmq.zmq_version()
    assert bundled.keys() >= {"pyzmq/libzmq", "pynacl/libsodium", "lmdb/lmdb"}
    assert "pyzmq/libzmq" in needs["pyzmq"]
    assert "lmdb/lmdb" in needs["lmdb"]
    assert "pynacl/libsodium" in needs["pynacl"]


def test_the_same_environment_and_date_make_the_same_bill(made: Path) -> None:
    [wheel], [path] = made.glob("*.whl"), made.glob("*.cdx.json")
    when = datetime.fromtimestamp(DATE, UTC)

    assert bill_of_materials(wheel, when) == path.read_text()
    other = json.loads(bill_of_materials(wheel, datetime.fromtimestamp(DATE + 1, UTC)))
    assert other["serialNumber"] != json.loads(path.read_text())["serialNumber"]


# -- audit -------------------------------------------------------------------------------------------------------------


class Database:
    """Answers as OSV does: with the vulnerabilities it was given, by package and version."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], str] = {("pyarrow", "14.0.0"): "CVE-2023-47248"}
        self.asked: set[tuple[str, str]] = set()
        database = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(database.answer(query["package"]["name"], query["version"]))

            def _answer(self, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/query"

    def answer(self, name: str, exact: str) -> dict[str, Any]:
        self.asked.add((name, exact))
        name_of_it = self.known.get((name, exact))
        if name_of_it is None:
            return {}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
        return {"vulns": [{"id": name_of_it, "summary": "bad", "aliases": [], "affected": affected}]}


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def audited(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.audit", "--url", url]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_an_audit_asks_about_every_pinned_and_every_lowest_version(database: Database) -> None:
    done = audited(database.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"pinned versions: asked about {len(audit.pinned())}, none with known vulnerabilities",
        f"lowest versions: asked about {len(audit.lowest())}, none with known vulnerabilities",
    ]
    wanted = {(name.lower().replace("_", "-").replace(".", "-"), exact) for name, exact in audit.pinned().items()}
    assert wanted | set(audit.lowest().items()) <= database.asked


def test_an_audit_fails_for_a_known_vulnerability_and_names_it(database: Database) -> None:
    database.known["trio", audit.lowest()["trio"]] = "CVE-0000-0001"

    done = audited(database.url)

    assert done.returncode == 1
    assert f"trio {audit.lowest()['trio']}: CVE-0000-0001 (fixed in 99.1)" in done.stdout
    assert "lowest versions: asked about" in done.stdout
    assert "1 with known vulnerabilities" in done.stdout


def test_an_audit_that_cannot_ask_says_so_and_fails(database: Database) -> None:
    database.server.server_close()  # nobody answers at its address

    done = audited(database.url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("NOT AUDITED: the vulnerability database could not be asked: ")


def test_an_audit_does_not_believe_a_database_that_knows_of_nothing(database: Database) -> None:
    database.known.clear()

    done = audited(database.url)

    assert (done.returncode, done.stdout) == (2, "")
    assert "does not know CVE-2023-47248 of pyarrow 14.0.0: it does not answer truly" in done.stderr
