"""Where log records end up: sinks, at the edge of the library.

:class:`LogFiles` writes a stream into rotated files, each record exactly once whatever dies; :func:`archive` feeds it
from a collector.

    files = broker.sinks.LogFiles("/var/log/agents", "conn", format="tsv", rotate_s=3600, compress="gzip")
    async with endpoint.collect("conn", name="archive", acknowledge="explicit", checkpoint=files.checkpoint) as records:
        await broker.sinks.archive(records, files)

The rooms: ``tsv``, ``jsonlines`` and ``parquet`` make bytes of records (``rows``, ``compiled`` and ``texts`` are what
they share); ``log_files`` keeps the promise, on ``formats``, ``segments`` (one file being written), ``state`` (what is
committed) and ``disk`` (every step that reaches the disk); ``rotated`` looks after finished files; ``archiving`` is the
loop.

What is written here may use threads, files and optional packages; nothing below the edge imports it.
"""

from __future__ import annotations

from broker.sinks.archiving import ArchivedMessage, ArchivedRecords, archive
from broker.sinks.errors import LogFilesDamaged, LogFilesError, LogFilesInUse
from broker.sinks.log_files import LogFiles, LogFilesStats

__all__ = [
    "ArchivedMessage",
    "ArchivedRecords",
    "LogFiles",
    "LogFilesDamaged",
    "LogFilesError",
    "LogFilesInUse",
    "LogFilesStats",
    "archive",
]
