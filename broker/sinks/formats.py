"""The formats of log files by name, and which arguments go together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

from broker.log_records import Column
from broker.sinks.jsonlines import JsonLines, Timestamps
from broker.sinks.rotated import Compression, check_compression
from broker.sinks.rows import Encoder
from broker.sinks.tsv import Tsv

__all__ = ["SUFFIXES", "Format", "check_arguments", "encoder_maker"]

Format = Literal["tsv", "json", "parquet"]

SUFFIXES: Final = {"tsv": ".log", "json": ".json", "parquet": ".parquet"}
_NAME_BYTES_MAX: Final = 180  # of the 255 that a file's name may have; the rest is for times, numbers and suffixes


def check_arguments(
    stream: str,
    format: str,  # noqa: A002 - the word for it
    rotate_bytes: int | None,
    rotate_s: float | None,
    compress: Compression | None,
    keep: int | None,
) -> None:
    """Raise ValueError for arguments of LogFiles that cannot be, ExtraMissing for a package that they need."""
    if format not in SUFFIXES:
        raise ValueError(f"format is 'tsv', 'json' or 'parquet', not {format!r}")
    if not stream or stream.startswith(".") or not stream.isprintable() or "/" in stream:
        raise ValueError(f"{stream!r} cannot be a file's name: a stream's files are named after it")
    if len(stream.encode()) > _NAME_BYTES_MAX:
        raise ValueError(f"a stream with files has a name of at most {_NAME_BYTES_MAX} bytes")
    if rotate_bytes is not None and rotate_bytes < 1:
        raise ValueError(f"rotate_bytes is at least 1, not {rotate_bytes}")
    if rotate_s is not None and not 0 < rotate_s < math.inf:
        raise ValueError(f"rotate_s is a number of seconds, not {rotate_s}")
    if keep is not None and keep < 1:
        raise ValueError(f"keep is at least 1, or None to keep all, not {keep}")
    check_compression(compress)
    if format == "parquet":
        if rotate_bytes is None and rotate_s is None:
            raise ValueError("Parquet files count only when they are finished: give rotate_bytes or rotate_s")
        if compress is not None:
            raise ValueError("Parquet files are compressed inside: leave compress out")


def encoder_maker(
    format: str,  # noqa: A002 - the word for it
    stream: str,
    time_column: str | None,
    timestamps: Timestamps,
) -> Callable[[tuple[Column, ...]], Encoder]:
    """The function that makes the encoder of a file with given columns.  Raises as the encoders do."""

    def make(columns: tuple[Column, ...]) -> Encoder:
        if format == "tsv":
            return Tsv(stream, columns, time_column=time_column)
        if format == "json":
            return JsonLines(columns, timestamps=timestamps, time_column=time_column)
        from broker.sinks.parquet import Parquet  # needs an optional package

        return Parquet(columns, time_column=time_column)

    make(())  # Now is the time to complain.
    return make
