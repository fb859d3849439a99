"""``broker journal``: the commands, their arguments and their help."""

from __future__ import annotations

from typing import Final

import click

from broker.cli.lazy import LazyGroup
from broker.cli.options import always_json, json_option

__all__ = ["COMMANDS", "journal"]


@click.command()
@click.argument("path", metavar="PATH", type=click.Path())
@json_option
def verify(path: str, as_json: bool) -> int:
    """Check the journal in the file PATH: every record, row and page.

    In a terminal it tells in words what was found, elsewhere as a JSON object with "position", "records", "rows",
    "pages" and "problems".  Exit codes: 0 no problem; 1 problems; 2 it cannot be read, or is no journal.
    """
    from broker.cli.journal.inspect import Verify
    from broker.cli.running import run

    return run(Verify(path), as_json=as_json)


@click.command()
@click.argument("old", metavar="OLD", type=click.Path())
@click.argument("new", metavar="NEW", type=click.Path())
@click.option("--stream", metavar="NAME", help="Of which log stream it is, where the file no longer tells.")
@json_option
def rescue(old: str, new: str, stream: str | None, as_json: bool) -> int:
    """Save what is intact of the damaged spool OLD of a log stream in the new file NEW.

    OLD is read page by page, without trusting what holds it together, and not touched; nobody may have it open.  Move
    NEW to OLD's place: its writer and its collectors go on where they were.  It tells how many records were saved and
    which numbers are missing: in words in a terminal, elsewhere as a JSON object.  Exit codes: 0 nothing is missing; 1
    something is; 2 nothing could be saved.
    """
    from broker.cli.journal.inspect import Rescue
    from broker.cli.running import run

    return run(Rescue(old, new, stream), as_json=as_json)


# \b keeps click from filling the lines below it.
_DUMP_HELP = """Write out what is in the journal in the file PATH, each part as a JSON object on a line.

\b
  {"journal": NAME, "kind": ..., "role": ..., "position": ..., "first": ..., ...}    first of all
  {"record": SEQUENCE, "checksum": HEX, "body": ...}
  {"row": TABLE, "key": ..., "value": ...}

What is no value stands as hexadecimal digits: "body_hex", "key_hex", "value_hex".  A journal in use is copied first.
"""


@click.command("dump", help=_DUMP_HELP)
@click.argument("path", metavar="PATH", type=click.Path())
@click.option("--log", "only_log", is_flag=True, help="The records, without the rows.")
@click.option("--rows", "only_rows", is_flag=True, help="The rows, without the records.")
@always_json
def dump(path: str, only_log: bool, only_rows: bool) -> int:
    """Write out what is in the journal in the file PATH."""
    from broker.cli.journal.inspect import Dump
    from broker.cli.running import run

    if only_log and only_rows:
        raise click.UsageError("--log and --rows exclude each other; without either both are written")
    return run(Dump(path, not only_rows, not only_log))


COMMANDS: Final[dict[str, click.Command]] = {"verify": verify, "rescue": rescue, "dump": dump}


@click.group(cls=LazyGroup, module=__name__)
def journal() -> None:
    """Look at a journal's file: a store's or a log stream's, also while it is in use."""
