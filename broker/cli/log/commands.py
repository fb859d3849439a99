"""The commands of ``broker log``, their arguments and their help."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

import broker
from broker.cli.lazy import LazyGroup
from broker.cli.options import Parsed, count_option, import_all, import_option, json_option, link_options

__all__ = ["COMMANDS", "log"]


_options = link_options(name_taken=True)


def _since(text: str) -> Any:
    from broker.cli.log.amounts import since_of

    return since_of(text)


def _size(text: str) -> int:
    from broker.config.amounts import size_of

    return size_of(text)


def _seconds(text: str) -> float:
    from broker.config.amounts import seconds_of

    return seconds_of(text)


def _columns(text: str) -> Any:
    from broker.cli.log.amounts import columns_from

    return columns_from(text)


def _reach(options: dict[str, Any], *, needed: bool = True) -> Any:
    if needed and not options["connect"] and not options["listen"]:
        raise click.UsageError("no mesh to be in: say --connect ADDRESS or --listen ADDRESS")
    from broker.cli.log.reach import LogReach

    return LogReach(options["connect"], options["listen"], options["identity"], options["timeout_s"])


_import_option = import_option("record")
_since_option = click.option(
    "--since",
    metavar="WHEN",
    type=Parsed("when", _since),
    help="earliest, now, 30m (ago), 2026-01-31T12:00:00+00:00 or a record's position: where to begin at a writer that "
    "does not know the name; by default earliest with a name and now without.",
)

_TAIL_HELP = """Show the records of STREAM as they come, of all its writers now and later, until Ctrl-C.

In a terminal they are a table.  Elsewhere each is a JSON object on a line, which 'broker log write' takes as it is:

\b
  {"stream": ..., "time": ..., "origin": NAME, "number": N, "position": ..., "record": NAME, "fields": {...}}

Records of the plain topic log/STREAM, which are in no spool, are shown with them; they have no number and no position.
Without --name nothing is remembered and no writer keeps anything for us.  With it, it is one of the collectors of that
name: each record goes to one of them, and what was shown is acknowledged.
"""


@click.command(help=_TAIL_HELP, short_help="Show records as they come.")
@click.argument("stream")
@_options
@click.option("--name", metavar="NAME", help="Collect under that name.")
@_since_option
@count_option("records")
@click.option("--tsv", "form", flag_value="tsv", help="Tab-separated, with the header lines that Zeek writes.")
@click.option("--json", "form", flag_value="json", help="JSON in a terminal too.")
@click.option("--table", "form", flag_value="table", help="A table elsewhere too.")
@click.option("--plain", is_flag=True, help="Only what is published on the plain topic, from no spool.")
@_import_option
def tail(
    stream: str,
    name: str | None,
    since: Any,
    count: int | None,
    form: Any,
    plain: bool,
    modules: Sequence[str],
    **options: Any,
) -> int:
    """Show the records of a stream as they come."""
    from broker.cli.log.tail import LogTail
    from broker.cli.running import run

    if plain and (name is not None or since is not None):
        raise click.UsageError("what is --plain is in no spool: there is no --name and no --since for it")
    reach = _reach(options)
    import_all(modules)
    return run(LogTail(reach, stream, name, since, count, form or None, plain))


_COLLECT_HELP = """Write the records of STREAM into files in a directory, each record once, until Ctrl-C.

\b
  broker log collect conn --name archive --directory logs --rotate-every 1h --compress gzip --listen tcp://*:4040

The current file is DIRECTORY/STREAM.log (.json, .parquet); rotated ones have the time in their names.  Writers keep
what NAME has not got; with the same directory it goes on where it was, whatever was killed: no record is missing in
the files and none is there twice.  Several under one name, each with a directory of its own, share the records.  At
the end it says how many there were and how many are still to come, elsewhere than in a terminal as {"summary": ...}.
"""


@click.command(help=_COLLECT_HELP, short_help="Write records into files.")
@click.argument("stream")
@_options
@click.option("--name", metavar="NAME", required=True, help="The collector's name, by which writers know it.")
@click.option(
    "--directory",
    "--dir",
    "directory",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="For the files.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["tsv", "json", "parquet"]),
    default="tsv",
    show_default=True,
    help="Of files.",
)
@click.option("--rotate-size", "rotate_bytes", metavar="SIZE", type=Parsed("size", _size), help="Such as 100MB.")
@click.option("--rotate-every", "rotate_s", metavar="TIME", type=Parsed("time", _seconds), help="Such as 1h.")
@click.option("--compress", type=click.Choice(["gzip", "zstd"]), help="Compress rotated files.")
@click.option("--keep", metavar="N", type=click.IntRange(1), help="Remove all rotated files but so many.")
@_since_option
@json_option
def collect(
    stream: str,
    name: str,
    directory: Path,
    format_: Any,
    rotate_bytes: int | None,
    rotate_s: float | None,
    compress: Any,
    keep: int | None,
    since: Any,
    as_json: bool,
    **options: Any,
) -> int:
    """Write the records of a stream into files."""
    from broker.cli.log.collect import LogCollect
    from broker.cli.running import run

    reach = _reach(options)
    return run(
        LogCollect(reach, stream, name, directory, since, format_, rotate_bytes, rotate_s, compress, keep),
        as_json=as_json,
    )


_WRITE_HELP = """Write lines of standard input as records of STREAM.

\b
  broker log write disks --spool disks.spool --columns 'host:str,used:float,at:time' --listen tcp://*:4040
  {"host": "web-01", "used": 0.91, "at": "2026-01-31T12:00:00+00:00"}

A line is a JSON object, a column a key, or a line as 'broker log tail' prints it; or all of it is TSV with Zeek's
header lines (#fields and #types).  What is outside JSON is as people write it (an address is a text, a time ISO 8601
or seconds since 1970, an interval seconds), or typed JSON (see 'broker help values').  Types of columns are str bytes
bool int count float enum uuid addr subnet port time interval any, vector[T], set[T], map[K,V]; T? may be left out.

With --spool records are kept in FILE until collectors have them; it ends when they are on disk, with --wait when that
collector has them.  Without, they are published on the plain topic log/STREAM once somebody reads it, and may be lost.
A line that is wrong is told with its number and left out; the exit code is then 2.
"""


@click.command(help=_WRITE_HELP, short_help="Write records from standard input.")
@click.argument("stream")
@_options
@click.option("--spool", metavar="FILE", type=click.Path(dir_okay=False), help="The spool, made if there is none.")
@click.option("--record", metavar="NAME", help="What the class of records is called; by default STREAM.")
@click.option(
    "--columns",
    metavar="NAME:TYPE,...",
    type=Parsed("columns", _columns),
    help="What records have; by default what the first line has, all of which may be left out in others.",
)
@click.option("--wait", metavar="NAME", help="Wait until that collector has all.")
@click.option(
    "--limit",
    "limit_bytes",
    metavar="SIZE",
    type=Parsed("size", _size),
    default="1GiB",
    show_default=True,
    help="What the spool takes; full, we wait until collectors have some of it.",
)
@click.option("--drop-oldest", is_flag=True, help="Drop the oldest records when the spool is full.")
@click.option("--strict", is_flag=True, help="End with the first line that is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Tell at the end, as JSON, how many there were.")
def write(
    stream: str,
    spool: str | None,
    record: str | None,
    columns: Sequence[broker.Column] | None,
    wait: str | None,
    strict: bool,
    limit_bytes: int,
    drop_oldest: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write lines of standard input as records of a stream."""
    from broker.cli.log.write import LogWrite
    from broker.cli.running import run

    if wait is not None and spool is None:
        raise click.UsageError("what is in no spool is collected by nobody: --wait goes with --spool")
    reach = _reach(options, needed=spool is None or wait is not None)
    return run(
        LogWrite(reach, stream, spool, record or stream, columns, wait, strict, limit_bytes, drop_oldest, as_json)
    )


_INFO_HELP = """Show the log streams of a mesh, one of them, or what is in a spool's file.

\b
  broker log info --connect tcp://127.0.0.1:4040                the streams that have spools, and their writers
  broker log info conn --connect tcp://127.0.0.1:4040
  broker log info ./conn.spool                                  a file, also while it is in use

Of a file it tells the journal's id, its epochs, which records are there, how far each collector is, and what is
damaged (then the exit code is 1).  Elsewhere than in a terminal each is a JSON object on a line.
"""


@click.command(help=_INFO_HELP, short_help="Show streams, or what is in a spool.")
@click.argument("what", metavar="[STREAM|FILE]", required=False)
@_options
@json_option
def info(what: str | None, as_json: bool, **options: Any) -> int:
    """Show the log streams of a mesh, or what is in a spool."""
    from broker.cli.log.info import LogInfoOfMesh, LogInfoOfSpool
    from broker.cli.running import run

    reach = _reach(options, needed=False)
    if reach.connect or reach.listen:
        return run(LogInfoOfMesh(reach, what, as_json))
    if what is None:
        raise click.UsageError("look at what? a mesh (--connect ADDRESS) or a spool (FILE)")
    if os.sep not in what and not Path(what).exists():
        raise click.UsageError(f"there is no file {what!r}; to look at a stream, say --connect ADDRESS")
    return run(LogInfoOfSpool(what, as_json))


COMMANDS: Final[dict[str, click.Command]] = {"tail": tail, "collect": collect, "write": write, "info": info}


@click.group(cls=LazyGroup, module=__name__)
def log() -> None:
    """Log streams: look at records as they come, collect them into files, write them, look into spools."""
