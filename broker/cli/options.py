"""Kinds of arguments that several groups of commands have."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

__all__ = ["Parsed", "import_all"]


class Parsed(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """What a function makes of a text; its ValueError says what is wrong."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def import_all(modules: Sequence[str]) -> None:
    """Import modules by name, from the working directory too."""
    sys.path.insert(0, "")
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise click.UsageError(f"--import {module}: {type(error).__name__}: {error}") from error
