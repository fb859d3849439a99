"""``broker log collect``: a log stream into rotated files, each record once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import trio

import broker
from broker.cli.jsonform import dumps
from broker.cli.log.reach import LogReach
from broker.cli.progress import progress
from broker.cli.running import InputError, counted, follow_status
from broker.cli.standard import Output, note, printable
from broker.sinks import LogFiles, archive

__all__ = ["LogCollect", "archive_until_cancelled"]

# How long the end waits for writers' word that they have written down what is in the files, and for a reader.
_LINGER_S = 2.0
_SHOW_EVERY_S = 0.5


@attrs.frozen
class LogCollect:
    """One run of the command: it ends with a signal."""

    reach: LogReach
    stream: str
    name: str
    directory: Path
    since: Any
    format: Literal["tsv", "json", "parquet"] = "tsv"
    rotate_bytes: int | None = None
    rotate_s: float | None = None
    compress: Literal["gzip", "zstd"] | None = None
    keep: int | None = None

    async def __call__(self, output: Output) -> int:
        """Collect until stopped; always says what there was."""
        files = await trio.to_thread.run_sync(self._files)
        lag: Sequence[broker.WriterLag] = ()
        try:
            async with self.reach.identity.endpoint(linger_s=0) as endpoint, endpoint.status() as changes:
                try:
                    collector = endpoint.collect(
                        self.stream,
                        name=self.name,
                        since=self.since,
                        acknowledge="explicit",
                        checkpoint=files.checkpoint,
                    )
                except (ValueError, broker.Malformed) as error:
                    raise InputError(str(error)) from None
                async with collector as records, trio.open_nursery() as nursery:
                    nursery.start_soon(follow_status, changes)
                    await self.reach.link(endpoint)
                    note(f"collecting {self.stream!r} as {self.name!r} into {files.path}")
                    try:
                        with progress("records") as advance:
                            nursery.start_soon(_show, files, advance)
                            await archive_until_cancelled(records, files)
                    finally:
                        lag = records.lag()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(files.close)
            await self._sum_up(output, files, lag)
        return 0

    def _files(self) -> LogFiles:
        try:
            return LogFiles(
                self.directory,
                self.stream,
                format=self.format,
                rotate_bytes=self.rotate_bytes,
                rotate_s=self.rotate_s,
                compress=self.compress,
                keep=self.keep,
            )
        except ValueError as error:
            if isinstance(error, broker.BrokerError):
                raise
            raise InputError(str(error)) from None

    async def _sum_up(self, output: Output, files: LogFiles, lag: Sequence[broker.WriterLag]) -> None:
        stats = files.stats
        behind = sum(writer.behind for writer in lag)
        rotated = f" and {counted(stats.files, 'rotated file')}" if stats.files else ""
        note(
            f"{counted(stats.records, 'record')} of {self.stream!r} from {counted(len(lag), 'writer')} "
            f"into {files.path}{rotated}; {behind:,} behind"
        )
        form = {
            "stream": self.stream,
            "name": self.name,
            "records": stats.records,
            "bytes": stats.bytes,
            "file": str(files.path),
            "rotated": stats.files,
            "behind": behind,
            "writers": [lag_form(writer) for writer in lag],
        }
        with trio.move_on_after(_LINGER_S, shield=True):
            if output.is_terminal:
                await output.write("".join(lag_text(writer) for writer in lag))
            else:
                await output.write(dumps({"summary": form}) + "\n")


async def archive_until_cancelled(records: broker.Collector, files: LogFiles) -> None:
    """Write records into files; at the end wait a moment for their writers' word that they have noted it."""
    try:
        await archive(records, files)
    finally:
        with trio.move_on_after(_LINGER_S, shield=True):
            await records.confirmed()


async def _show(files: LogFiles, advance: Callable[[float], None]) -> None:
    while True:
        advance(files.stats.records)
        await trio.sleep(_SHOW_EVERY_S)


def lag_form(lag: broker.WriterLag) -> dict[str, Any]:
    """A writer, for JSON."""
    return {
        "writer": lag.writer,
        "journal": lag.journal.hex(),
        "acknowledged": lag.acknowledged,
        "last": lag.last,
        "behind": lag.behind,
        "behind_s": round(lag.behind_s, 3),
        "reachable": lag.reachable,
    }


def lag_text(lag: broker.WriterLag) -> str:
    """A writer, for a terminal."""
    where = "" if lag.reachable else ", which cannot be reached"
    return printable(f"  {lag.writer}: {lag.acknowledged:,} of {lag.last:,}, {lag.behind:,} behind{where}") + "\n"
