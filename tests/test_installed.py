"""The wheel, installed by pip where nothing is but what it asks for; and other packages named broker in its way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest

from broker.extras import EXTRAS
from tools import dist
from tools.sbom import needed

ROOT = Path(__file__).parent.parent
DATE = 1_700_000_000
AGAIN = "python -m pip install --force-reinstall --no-deps broker-mesh"
APART = (
    f"one environment cannot have both: give each its own, or keep ours with: python -m pip uninstall broker && {AGAIN}"
)
# As somebody writes it who does not know the name to be taken.
STRANGER = 'raise SystemExit("a stranger\'s program was run")'


class Place:
    """A virtual environment; ``site`` is where packages are."""

    def __init__(self, root: Path) -> None:
        venv.create(root, with_pip=False)
        self.python = root / "bin" / "python"
        [self.site] = root.glob("lib/python*/site-packages")

    def run(
        self, *command: str | Path, path: Path | str = "", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        # Neither the directory nor the variables of who runs the tests are to be searched for modules.
        # Neither the directory nor the variables of who runs the tests are to be searched for modules.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        if path:
            environment["PYTHONPATH"] = str(path)
        cwd = cwd or self.site.parent
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60
        )


def link(wanted: Iterable[Distribution], site: Path) -> None:
    """Put distributions of this environment into another, without their commands."""
    for one in wanted:
        for name in {path.parts[0] for path in one.files or ()} - {"..", "__pycache__"}:
            (site / name).symlink_to(Path(str(one.locate_file(name))))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Everything that the wheel needs, and the wheel: pip refuses it if something that it asks for is not there."""
    root = tmp_path_factory.mktemp("place")
    dist.build(ROOT, root / "made", DATE)
    [wheel] = root.glob("made/*.whl")
    place = Place(root / "venv")
    [about] = (part for part in zipfile.Path(wheel).iterdir() if part.name.endswith(".dist-info"))
    required = needed(PathDistribution(about), ())
    link(required.values(), place.site)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place.python]
    done = place.run(*pip, "install", "--quiet", "--no-index", wheel)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return place


@pytest.fixture(scope="module")
def command_line(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that has what the extra "cli" adds."""
    ours = distribution("broker-mesh")
    required, wanted = needed(ours, ()), needed(ours, ("cli",))
    directory = tmp_path_factory.mktemp("cli")
    link((found for name, found in wanted.items() if name not in required), directory)
    return directory


# -- where nothing else is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [["broker"], ["python", "-m", "broker"], ["python", "-m", "broker_mesh"]])
def test_the_command_line_starts_by_each_of_its_names(place: Place, command_line: Path, start: list[str]) -> None:
    command: list[str | Path] = [place.python.with_name(start[0]), *start[1:], "--version"]

    done = place.run(*command, path=command_line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"broker, version {distribution('broker-mesh').version}\n"


def test_without_its_extra_it_says_what_to_install(place: Place) -> None:
    done = place.run(place.python.with_name("broker"), "--version")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "broker: click is not installed; it is needed for this command and comes with the extra cli: "
        "pip install 'broker-mesh[cli]'\n"
    )


TALK = """
import trio, broker

@broker.event
class Load:
    percent: float

async def main():
    async with broker.Endpoint("manager") as manager, broker.Endpoint("agent") as agent:
        async with manager.subscribe("host/", Load) as messages, manager.master("hosts") as hosts:
            await agent.peer(await manager.listen("tcp://127.0.0.1:0"))
            await agent.publish("host/a", Load(0.5))
            await hosts.put("a", (await messages.receive()).event.percent)
            print(hosts["a"], broker.__file__)

trio.run(main)
"""


def test_endpoints_talk_with_what_the_wheel_asks_for(place: Place) -> None:
    done = place.run(place.python, "-c", TALK)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"0.5 {place.site / 'broker' / '__init__.py'}\n"


IMPORT_ALL = """
import importlib, json, pkgutil, broker
lacking = {}
for module in pkgutil.walk_packages(broker.__path__, "broker.", onerror=lambda name: None):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            lacking[module.name] = (error.name.partition(".")[0], isinstance(error, broker.ExtraMissing))
print(json.dumps(lacking))
"""


def test_every_module_that_lacks_a_package_is_of_an_extra_and_says_so(place: Place) -> None:
    """The command line's own are told by its entry."""
    done = place.run(place.python, "-c", IMPORT_ALL)

    assert done.returncode == 0, done.stderr
    lacking = json.loads(done.stdout)
    assert {package for package, _ in lacking.values()} <= EXTRAS.keys()
    assert {"broker.sinks.parquet", "broker.cli.app"} <= lacking.keys()
    assert [name for name, (_, told) in lacking.items() if not (told or name.startswith("broker.cli"))] == []


# -- where another broker is -------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(place: Place, tmp_path: Path) -> Path:
    """A copy of what is installed, and a distribution named broker beside it, which has no file of ours yet."""
    site = tmp_path / "site"
    shutil.copytree(place.site, site, symlinks=True)
    about = site / "broker-0.8.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broker\nVersion: 0.8\n")
    (about / "RECORD").write_text("broker/__init__.py,,\nbroker/hosts.py,,\n")
    return site


def explained(place: Place, module: str = "broker_mesh", *, only: Path | str = "", cwd: Path | None = None) -> str:
    """What is said of an import of broker that does not find ours; ``only``: without what else is installed."""
    without = ["-S"] if only else []
    done = place.run(place.python, *without, "-m", module, "--version", path=only, cwd=cwd)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("broker: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("broker: ").strip()


def test_a_file_broker_py_where_a_program_is_started_is_named(place: Place, tmp_path: Path) -> None:
    (tmp_path / "broker.py").write_text(STRANGER)

    assert explained(place, cwd=tmp_path) == (
        f"'import broker' finds {tmp_path / 'broker.py'} before broker-mesh's ({place.site / 'broker'}): "
        f"rename broker.py, or start Python in another directory than {tmp_path}"
    )


def test_a_package_by_way_of_pythonpath_is_named_by_the_command_too(place: Place, tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "__init__.py").write_text(STRANGER)

    done = place.run(place.python.with_name("broker"), "--version", path=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"broker: 'import broker' finds {tmp_path / 'broker' / '__init__.py'} before broker-mesh's "
        f"({place.site / 'broker'}): take {tmp_path} out of PYTHONPATH, or rename broker\n"
    )


def test_a_distribution_that_was_installed_over_ours_is_named(place: Place, mixed: Path) -> None:
    theirs = mixed / "broker" / "__init__.py"
    theirs.write_text(STRANGER)

    told = f"{theirs} is no longer broker-mesh's: broker 0.8 was installed over it; {APART}"
    assert explained(place, only=mixed) == told


def test_a_distribution_in_an_environment_that_comes_first_is_named(place: Place, tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "broker").mkdir(parents=True)
    (first / "broker" / "__init__.py").write_text(STRANGER)
    (first / "zeek.dist-info").mkdir()
    (first / "zeek.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zeek\nVersion: 8\n")
    (first / "zeek.dist-info" / "RECORD").write_text("broker/__init__.py,,\n")
    (place.site / "first.pth").write_text(f"import sys; sys.path.insert(0, {str(first)!r})")
    try:
        told = explained(place)
    finally:
        (place.site / "first.pth").unlink()

    assert (
        f"finds {first / 'broker' / '__init__.py'} before broker-mesh's ({place.site / 'broker'}): it is of zeek 8; "
        in told
    )
    assert "python -m pip uninstall zeek && " in told


def test_a_distribution_that_took_our_files_along_is_told(place: Place, mixed: Path) -> None:
    gone = mixed / "broker" / "__init__.py"
    gone.unlink()

    told = (
        f"{gone} is not there: another distribution with a package named broker may have taken it along when it was "
        f"removed; get it back with: {AGAIN}"
    )
    assert explained(place, only=mixed) == told
    assert explained(place, "broker", only=mixed) == told


def test_a_distribution_that_has_not_spoilt_ours_is_found_by_who_asks(place: Place, mixed: Path) -> None:
    program = "import broker_mesh; print(broker_mesh.explain(), broker_mesh.sharing())"

    assert place.run(place.python, "-c", program, path=mixed).stdout == "None ['broker 0.8']\n"
    assert place.run(place.python, "-c", program).stdout == "None []\n"


def test_the_doctor_tells_of_a_distribution_that_shares_the_name(place: Place, mixed: Path, command_line: Path) -> None:
    doctor: list[str | Path] = [place.python, "-m", "broker", "doctor", "nowhere", "--json"]

    told = place.run(*doctor, path=f"{mixed}{os.pathsep}{command_line}").stderr
    assert told.startswith("broker 0.8 is installed here, too, and imported as broker: to upgrade or remove either")
    assert "is installed here" not in place.run(*doctor, path=command_line).stderr


def test_another_checkout_of_ours_is_not_a_stranger(place: Place, command_line: Path, tmp_path: Path) -> None:
    shutil.copytree(place.site / "broker", tmp_path / "broker")

    done = place.run(place.python.with_name("broker"), "--version", path=f"{tmp_path}{os.pathsep}{command_line}")
    assert (done.returncode, done.stderr) == (0, "")
