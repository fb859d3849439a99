"""The commands of ``broker rules``, their arguments and their help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from broker.cli.identity import Identity
from broker.cli.lazy import LazyGroup
from broker.cli.options import import_all, import_option, json_option, link_options

__all__ = ["COMMANDS", "rules"]

_files = click.argument("files", metavar="FILE...", nargs=-1, required=True)


@click.command()
@_files
@import_option("event")
@json_option
def check(files: Sequence[str], modules: Sequence[str], as_json: bool) -> int:
    """Say everything that is wrong in rules: files of the Event Language, or a configuration of Tornado's.

    FILEs are one program.  A directory stands for the files in it: with .json files it is a configuration of Tornado's.
    Each problem is told with file, line and column; with --json, or in a pipe, as an object {"source", "line",
    "column", "path", "problem"}.  Exit codes: 0 it is fine; 2 something is wrong.
    """
    from broker.cli.rules.checking import Check
    from broker.cli.running import run

    import_all(modules)
    return run(Check(files), as_json=as_json)


@click.command("format")
@_files
@click.option("--check", is_flag=True, help="Change nothing: exit with 2 where something would change.")
@click.option("--diff", is_flag=True, help="Change nothing: show what would, and exit as with --check.")
@json_option
def format_(files: Sequence[str], check: bool, diff: bool, as_json: bool) -> int:
    """Lay out files of the Event Language in the one way there is, comments kept.

    FILE - is standard input, which goes to standard output.  With --json, or in a pipe, each file is an object
    {"file", "changed"}.  Exit codes: 0 done; 2 a file makes no sense, or (--check, --diff) would change.
    """
    from broker.cli.rules.formatting import Format
    from broker.cli.running import run

    return run(Format(files, check=check, diff=diff), as_json=as_json)


_RUN_HELP = """Run rules on the events of standard input, or with --connect or --listen on those of a mesh.

\b
  broker sub '' --connect ADDRESS > events.ndjson
  broker rules run alerts.ev < events.ndjson
  broker rules run alerts.ev --connect ADDRESS --dry-run

A line of input is as for 'broker pub'; members may have names, and "time" is the event's time; or it is an event of
Tornado's, {"type", "created_ms", "payload"}.  What rules make comes out as an object a line: {"rule", "topic", "time",
"event", "fields"}, for actions with "action".

Where events have times, only these count: windows and absences end as the events go on, and at the end of the input
those up to the latest event, or --settle SECONDS later.  Without times, time is the clock's.  A line that is wrong is
told on standard error, with the member that is, and passed over; there stand counters at the end, too.  Exit codes: 0
all went well; 1 lines were passed over, or the mesh said no; 2 the rules make no sense.
"""


@click.command("run", help=_RUN_HELP, short_help="Run rules on recorded events, or on a mesh.")
@_files
@click.option("--event", metavar="NAME", help="The event of lines that do not name theirs.")
@click.option("--topic", metavar="TOPIC", help="The topic of lines that do not name theirs.")
@click.option("--dry-run", is_flag=True, help="On a mesh: publish nothing, show what would be.")
@click.option(
    "--settle",
    "settle_s",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=0.0,
    help="Let so much more time pass at the end of the input.",
)
@click.option(
    "--lateness",
    "lateness_s",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=0.0,
    help="How late events may come.",
)
@click.option(
    "--journal",
    metavar="PATH",
    type=click.Path(dir_okay=False),
    help="On a mesh: keep the state of the rules there.",
)
@click.option(
    "--collect",
    metavar="STREAM",
    multiple=True,
    help="On a mesh: events are the records of this log stream, too; each counts once. Needs --journal and --name.",
)
@click.option("--name", metavar="NAME", help="What the rules are called, and the collector of --collect.")
@link_options(name_taken=True)
@import_option("event")
@json_option
def run_(
    files: Sequence[str],
    event: str | None,
    topic: str | None,
    dry_run: bool,
    settle_s: float,
    lateness_s: float,
    journal: str | None,
    collect: Sequence[str],
    name: str | None,
    connect: Sequence[str],
    listen: Sequence[str],
    identity: Identity,
    timeout_s: float,
    modules: Sequence[str],
    as_json: bool,
) -> int:
    """Run rules on recorded events, or on a mesh."""
    from broker.cli.rules.attached import Attached
    from broker.cli.rules.recorded import Recorded
    from broker.cli.running import run

    import_all(modules)
    if connect or listen:
        if event or settle_s:
            raise click.UsageError("--event and --settle are for events of standard input, not of a mesh")
        topics = ("",) if topic is None else (topic,)
        if collect and (journal is None or name is None):
            raise click.UsageError("records of --collect count once: say --journal PATH and --name NAME, too")
        options = {"name": name, "path": journal, "topics": topics, "collect": collect, "lateness_s": lateness_s}
        return run(Attached(files, connect, listen, identity, timeout_s, options, dry_run), as_json=as_json)
    if dry_run or journal or collect:
        what = "--dry-run, --journal and --collect are for a mesh"
        raise click.UsageError(f"{what}: say --connect ADDRESS or --listen ADDRESS, too")
    return run(Recorded(files, topic, event, lateness_s, settle_s), as_json=as_json)


@click.command()
@click.argument("file", metavar="FILE")
@click.argument("rule")
@click.option("--event", metavar="NAME", help="The event of lines that do not name theirs.")
@click.option("--topic", metavar="TOPIC", help="The topic of lines that do not name theirs.")
@import_option("event")
@json_option
def explain(file: str, rule: str, event: str | None, topic: str | None, modules: Sequence[str], as_json: bool) -> int:
    """Tell, for events of standard input, which clauses of RULE hold, with their values, and why others do not.

    A line of input is as for 'broker rules run'.  Of a rule with several steps, or a window, all of them are looked at
    together: a step is the next event of its type.
    With --json, or in a pipe, each explanation is an object.
    """
    from broker.cli.rules.explaining import Explain
    from broker.cli.running import run

    import_all(modules)
    return run(Explain(file, rule, topic, event), as_json=as_json)


COMMANDS: Final[dict[str, click.Command]] = {"check": check, "format": format_, "run": run_, "explain": explain}


@click.group(cls=LazyGroup, module=__name__)
def rules() -> None:
    """Check rules, format them, run them on events, and tell why they do not fire."""
