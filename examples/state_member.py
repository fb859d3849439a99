"""A member: it keeps an entry in the store "members" as long as it lives, and prints who else does.

    python examples/state_member.py NAME [ADDRESS]

NAME is the member's own; ADDRESS is where state_leader.py listens.  Each member has a clone of the whole store, which
it reads without asking anybody.  Kill one: its entry expires three seconds later, and the others print it.  Ctrl-C
stops a member, which then erases its entry.
"""

from __future__ import annotations

import sys

import trio

import broker


async def renew(members: broker.StoreClone, name: str) -> None:
    """Say once a second that we live; an entry that is not renewed is removed by the leader."""
    beats = 0
    while True:
        beats += 1
        await members.put(name, {"beats": beats}, expires_in=3)
        await trio.sleep(1)


async def main(name: str, address: str = "tcp://127.0.0.1:4141") -> None:
    """Print the names in the store whenever they have changed, until Ctrl-C."""
    async with broker.Endpoint(name) as endpoint:
        await endpoint.peer(address)
        async with endpoint.clone("members") as members, trio.open_nursery() as nursery:
            nursery.start_soon(renew, members, name)
            shown: list[str] = []
            try:
                async for _ in members.watch():
                    # The clone is a mapping: reading is local, and takes no round trip.
                    if sorted(members) != shown:
                        shown = sorted(members)
                        print("up:", *shown, flush=True)
            finally:
                with trio.move_on_after(1, shield=True):  # we are being stopped: a last write, if the leader is there
                    await members.erase(name, missing_ok=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: state_member.py NAME [ADDRESS]")
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
