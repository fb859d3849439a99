"""A leader: it is the master of the store "members", decides every write to it, and prints what changes.

    python examples/state_leader.py [ADDRESS [FILE]]

It listens on tcp://127.0.0.1:4141, or on ADDRESS; state_member.py are the members.  With FILE the store is on disk:
kill the leader, even with kill -9, and start it again: the members go on where they were.  Ctrl-C stops it.
"""

from __future__ import annotations

import sys

import trio

import broker


async def main(address: str = "tcp://127.0.0.1:4141", file: str | None = None) -> None:
    """Print every change, until Ctrl-C."""
    async with broker.Endpoint("leader") as endpoint, endpoint.master("members", path=file) as members:
        changes = members.watch()
        print("listening on", await endpoint.listen(address), flush=True)
        print("members known:", *sorted(members), flush=True)
        async for change in changes:
            # A put has a new value; an erase and an expiry have only an old one.
            what = change.old if change.new is broker.ABSENT else change.new
            print(f"{change.time:%H:%M:%S} {change.cause} {change.key}: {what}", flush=True)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
