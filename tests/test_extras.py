"""Optional packages that are not there: who needs them is told, and how to get them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

import broker
from broker.extras import EXTRAS, needed_for

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
FOR_USERS = {"cli", "demo", "metrics", "parquet", "rules", "testing", "tracing"}


def test_a_missing_package_is_named_with_what_needs_it_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(broker.ExtraMissing) as caught, needed_for("Parquet files"):
        import pyarrow  # noqa: F401, ICN001

    assert str(caught.value) == (
        "pyarrow is not installed; it is needed for Parquet files and comes with the extra parquet: "
        "pip install 'broker-mesh[parquet]'"
    )
    assert (caught.value.name, caught.value.extra) == ("pyarrow", "parquet")
    assert isinstance(caught.value, ImportError)


def test_a_missing_part_of_a_package_is_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("opentelemetry", "opentelemetry.trace"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(broker.ExtraMissing, match=r"^opentelemetry .*'broker-mesh\[tracing\]'$"), needed_for("x"):
        import opentelemetry.trace  # noqa: F401


def test_the_innermost_need_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(broker.ExtraMissing, match="for the demo"), needed_for("this command"), needed_for("the demo"):
        import psutil  # noqa: F401


def test_what_is_wrong_otherwise_is_not_taken_for_a_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError) as missing, needed_for("x"):
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
    assert not isinstance(missing.value, broker.ExtraMissing)
    broken = ImportError("libarrow.so: cannot open shared object file", name="pyarrow")
    with pytest.raises(ImportError) as caught, needed_for("Parquet files"):
        raise broken
    assert caught.value is broken


@pytest.mark.parametrize("package", EXTRAS)
def test_the_extra_that_is_named_brings_the_package(package: str) -> None:
    brought = "".join(PROJECT["optional-dependencies"][EXTRAS[package]])

    assert package.replace("_", "-") in brought


def test_each_extra_for_users_has_its_packages_in_the_table() -> None:
    assert set(EXTRAS.values()) == FOR_USERS
    others = PROJECT["optional-dependencies"].keys() - FOR_USERS
    assert others == {"bench", "dev", "docs"}


def test_the_command_names_the_distribution() -> None:
    assert PROJECT["name"] == "broker-mesh"
