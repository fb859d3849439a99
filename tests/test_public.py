"""The package's public names, which are loaded with the first that is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import broker
import broker.public


def test_every_public_name_is_there_and_is_listed() -> None:
    assert set(broker.public.__all__) <= set(dir(broker))
    assert all(getattr(broker, name) is getattr(broker.public, name) for name in broker.public.__all__)


def test_a_name_that_is_not_there_is_told_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'broker' has no attribute 'Endpiont'"):
        broker.Endpiont  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("module", ["endpoint", "blocking", "testing"])
def test_a_module_can_be_the_first_that_is_imported(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"from broker.{module} import *"], check=True, timeout=60)
