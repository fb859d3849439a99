"""Shared state: a lease and a counter, so that of many workers one at a time works, and another goes on when it dies.

    python examples/shared_state.py store            keeps the store "work", on tcp://127.0.0.1:4545
    python examples/shared_state.py worker web-01    start several, and kill the one that works

Another address may follow.  Workers have a proxy of the store: no copy of it, they ask.  Ctrl-C stops each of them.
"""

from __future__ import annotations

import sys

import trio

import broker

ADDRESS = "tcp://127.0.0.1:4545"
LEASE_S = 2


async def store(address: str = ADDRESS) -> None:
    """Decide, in one order, what all the workers ask for."""
    async with broker.Endpoint("store") as endpoint, endpoint.master("work"):
        print("listening on", await endpoint.listen(address), flush=True)
        await trio.sleep_forever()


async def worker(name: str, address: str = ADDRESS) -> None:
    """Wait for the lease, then work as long as it is ours."""
    async with broker.Endpoint(name) as endpoint:
        await endpoint.peer(address)
        async with endpoint.proxy("work", since="now") as work:
            while True:
                changes = work.watch(key="lease")
                try:
                    await work.put_unique("lease", name, expires_in=LEASE_S)
                except broker.KeyExists:
                    await changes.receive()  # renewed, or over: only the store knows which
                else:
                    await work_on(work, name)


async def work_on(work: broker.StoreProxy, name: str) -> None:
    """Do one piece after the other; who has been asleep for too long finds the lease gone, and has changed nothing."""
    try:
        while True:
            async with work.batch() as batch:  # all of it, or nothing
                batch.expect("lease", name)
                batch.put("lease", name, expires_in=LEASE_S)
                batch.increment("done")
            print(f"{name} has done piece {batch.results[-1]}", flush=True)
            await trio.sleep(0.2)
    except broker.ValueDiffers as error:
        print(error, flush=True)


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["store", *rest]:
                trio.run(lambda: store(*rest))
            case ["worker", name, *rest]:
                trio.run(lambda: worker(name, *rest))
            case _:
                sys.exit("usage: shared_state.py store [ADDRESS], or shared_state.py worker NAME [ADDRESS]")
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
