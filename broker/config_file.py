"""A configuration's file, read with what the environment says in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from broker.config.model import Config
from broker.config.overrides import Override
from broker.config.parsing import TEXT_MAX, parse_config
from broker.errors import ConfigError, ConfigProblem

__all__ = ["load_config"]


def load_config(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[Override] = (),
) -> Config:
    """Read a configuration's file; raises :class:`~broker.errors.ConfigError` with everything that is wrong.

    ``environ`` is the environment, by default the process's; ``overrides`` come before it and the file.
    """
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as file:
            raw = file.read(4 * TEXT_MAX + 1)
        text = raw.decode()
    except UnicodeDecodeError as error:
        what = f"not a text in UTF-8: {error.reason} at byte {error.start}"
        raise ConfigError([ConfigProblem(name, 0, "", what)]) from None
    except FileNotFoundError:
        raise ConfigError([ConfigProblem(name, 0, "", "there is no such file")]) from None
    except OSError as error:
        raise ConfigError([ConfigProblem(name, 0, "", f"cannot be read: {error.strerror}")]) from error
    environ = os.environ if environ is None else environ
    directory = Path(name).absolute().parent
    return parse_config(text, name, directory=str(directory), environ=environ, overrides=overrides)
