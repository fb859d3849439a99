"""The collector of the log stream: ``python -m broker.cli.demo.archive ADDRESS DIRECTORY [KEY]``.

It writes the stream to a TSV file, until its standard input ends or it is killed: started again, it goes on.
"""

from __future__ import annotations

import sys

import trio

import broker
from broker.cli.demo.processes import COLLECTOR, STREAM
from broker.cli.demo.secure import COLLECTOR_NAME, MANAGER, report_every_s
from broker.cli.exits import FAILED
from broker.sinks import LogFiles, archive

__all__ = ["main"]

_LINK_S = 10.0


async def _run(address: str, directory: str, keys: str | None) -> None:
    with LogFiles(directory, STREAM) as files:
        async with (
            broker.Endpoint(COLLECTOR_NAME, keys=keys, linger_s=0, report_every=report_every_s(keys)) as endpoint,
            endpoint.collect(STREAM, name=COLLECTOR, acknowledge="explicit", checkpoint=files.checkpoint) as records,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_until_stdin_ends, nursery.cancel_scope)
            await endpoint.peer(address, timeout=_LINK_S, key=MANAGER if keys else None)
            await archive(records, files)


async def _until_stdin_ends(scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(sys.stdin.fileno())
    scope.cancel()


def main(address: str, directory: str, keys: str | None = None) -> None:
    """Collect; standard error says why it could not go on."""
    try:
        trio.run(_run, address, directory, keys)
    except* broker.BrokerError as group:
        print(*map(str, group.exceptions), sep="; ", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main(*sys.argv[1:])
