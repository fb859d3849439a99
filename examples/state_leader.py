"""A leader: it is the master of the store "members", which all members read and write, and prints what changes in it.

Run it in one terminal, and some members in others:

    python examples/state_leader.py                               prints the address that it listens on
    python examples/state_member.py web-01 tcp://127.0.0.1:4141

It listens on tcp://127.0.0.1:4141, or on the address given to it.  Ctrl-C stops it.  The store is kept in memory here;
with path="members.db" it is on disk, and the leader may be killed and started again.
"""

from __future__ import annotations

import sys

import trio

import broker


async def main(address: str) -> None:
    """Print every change, until Ctrl-C."""
    async with broker.Endpoint("leader") as endpoint, endpoint.master("members") as members:
        changes = members.watch()
        print("listening on", await endpoint.listen(address), flush=True)
        async for change in changes:
            # A put has a new value; an erase and an expiry have only an old one.
            what = change.old if change.new is broker.ABSENT else change.new
            print(f"{change.time:%H:%M:%S} {change.cause} {change.key}: {what}", flush=True)


if __name__ == "__main__":
    try:
        trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:4141")
    except* KeyboardInterrupt:
        pass
