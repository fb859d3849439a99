"""``broker sub``, ``pub`` and ``listen``: their arguments and their help."""

from __future__ import annotations

from collections.abc import Sequence

import click

from broker.cli.identity import Identity, identity_options
from broker.cli.options import NEGATIVE, count_option, import_all, import_option, json_option, link_options

__all__ = ["listen", "pub", "sub"]


def _need_address(connect: Sequence[str], listen: Sequence[str]) -> None:
    if not connect and not listen:
        raise click.UsageError("nobody to exchange events with: say --connect ADDRESS or --listen ADDRESS")


@click.command()
@click.argument("prefixes", metavar="PREFIX...", nargs=-1, required=True)
@link_options()
@click.option("--type", "event", metavar="NAME", help="Show events of this name alone.")
@count_option("messages")
@import_option("event")
@json_option
def sub(
    prefixes: Sequence[str],
    connect: Sequence[str],
    listen: Sequence[str],
    identity: Identity,
    timeout_s: float,
    event: str | None,
    count: int | None,
    modules: Sequence[str],
    as_json: bool,
) -> int:
    """Show the messages whose topic begins with PREFIX ('' shows all).

    In a terminal they are a table.  Elsewhere each is a JSON object on a line, which 'broker pub' takes as it is:
    topic, time, origin, event, and "args" (a list), or "fields" (an object) for event classes that were imported.  What
    JSON has no type for is an object such as {"$port": "53/udp"} (see 'broker help values').  Standard error tells of
    peers that come and go and of lost messages.
    """
    from broker.cli.events.sub import Sub
    from broker.cli.running import run

    _need_address(connect, listen)
    import_all(modules)
    return run(Sub(prefixes, connect, listen, identity, event, count, timeout_s), as_json=as_json)


# \b keeps click from filling the lines below it.
_PUB_HELP = """Publish an event to TOPIC whose arguments are the JSON_ARGs, or one event a line of standard input.

\b
  broker pub host/web-01/disk DiskUsage '"web-01"' '"/"' 0.91 --connect tcp://127.0.0.1:4040

A line is a list (an event's arguments), an object as 'broker sub' prints it (its own topic and event come before
those on the command line), or any other value (the only argument).  TOPIC and EVENT_NAME may be left out if all
lines have their own.  See 'broker help values' for values outside JSON.
"""


# What begins with a minus may be a negative number, which is JSON.
@click.command(help=_PUB_HELP, context_settings=NEGATIVE)
@click.argument("topic", required=False)
@click.argument("event", metavar="[EVENT_NAME]", required=False)
@click.argument("args", metavar="[JSON_ARG]...", nargs=-1)
@link_options()
@click.option(
    "--wait",
    metavar="N",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Before the first event, wait for so many subscribers of its topic.",
)
@click.option("--json", "as_json", is_flag=True, help="Tell at the end, as JSON, what was sent and lost.")
def pub(
    topic: str | None,
    event: str | None,
    args: Sequence[str],
    connect: Sequence[str],
    listen: Sequence[str],
    identity: Identity,
    timeout_s: float,
    wait: int,
    as_json: bool,
) -> int:
    """Publish an event, or one a line of standard input."""
    from broker.cli.events.pub import Pub
    from broker.cli.running import run

    _need_address(connect, listen)
    return run(Pub(topic, event, args, connect, listen, identity, wait, timeout_s, as_json))


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--topic", "topics", metavar="PREFIX", multiple=True, help="Show messages of these topics too.")
@identity_options()
@json_option
def listen(addresses: Sequence[str], topics: Sequence[str], identity: Identity, as_json: bool) -> int:
    """Listen at each ADDRESS; show which peers come and go, and messages.

    In a terminal these are lines and a table.  Elsewhere each is a JSON object on a line: a status event has "status",
    the first of them is {"status": "Listening", "address": ...} with the port that was given for 0.
    """
    from broker.cli.events.listen import Listen
    from broker.cli.running import run

    return run(Listen(addresses, topics, identity), as_json=as_json)
