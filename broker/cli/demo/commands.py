"""``broker demo``: its arguments and its help."""

from __future__ import annotations

from pathlib import Path

import click

from broker.cli.options import json_option
from broker.extras import needed_for

__all__ = ["demo"]


@click.command()
@click.option("--seconds", metavar="SECONDS", type=click.FloatRange(0, min_open=True), help="Stop after so long.")
@click.option(
    "--agents", metavar="N", type=click.IntRange(3, 50), default=3, show_default=True, help="How many agents."
)
@json_option
@click.option(
    "--logs",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the agents' spools and the file of what they logged there.",
)
@click.option(
    "--alert-at",
    metavar="PERCENT",
    type=click.FloatRange(0, 100),
    default=90,
    show_default=True,
    help="A host's processors, memory or disks above that raise an alert.",
)
@click.option("--secure", is_flag=True, help="With keys and access rules, made for it; one agent breaks the rules.")
def demo(seconds: float | None, agents: int, as_json: bool, logs: Path | None, alert_at: float, secure: bool) -> int:
    """Watch this machine: a manager and agents, as separate processes.

    The agents publish the machine's CPU, memory, disk and process figures as typed events, and once, at the end, a
    burst of them as fast as they can.  Each keeps an entry in the store "hosts", whose master is the manager: kill one,
    and its entry expires.  Which processes start and stop they write to the log stream "processes"; its collector is
    killed once, and the summary compares what is in its file with the agents' spools.  In a terminal the manager shows
    a live table; elsewhere each message is a JSON object on a line and the last line is {"summary": ...}.  It stops
    after the seconds given or with Ctrl-C, which is no failure here: the exit code is 1 if an event, a write or a
    record was lost or an agent died, else 0.

    Rules watch the figures at the manager: what crosses --alert-at raises an alert, at most one in ten seconds for each
    figure of a host, which is published on alerts/HOST and told on standard error.

    With --secure all of it is encrypted, each process has a key and rules say what it may do.  One agent publishes in
    the name of another; both ends tell that it was refused.
    """
    with needed_for("the demo"):
        import psutil  # noqa: F401 - the agents need it, each in its own process: missing, it is told once

    from broker.cli.demo.run import Demo
    from broker.cli.running import run

    watch = Demo(seconds, agents, as_json, logs, alert_at, secure)
    return run(watch, at_first_signal=watch.stop)
