"""Log shipping: agents write records to their disks, a collector gets each of them once, whatever dies in between.

    python examples/log_shipping.py collector          listens on tcp://127.0.0.1:4242
    python examples/log_shipping.py agent web-01       connects to it; start several

Start them in any order, kill any of them, also with kill -9, and start it again.  Another address may follow.  An agent
keeps what is not collected in NAME.spool, where it is started: 'broker log info NAME.spool' looks into it.
"""

from __future__ import annotations

import math
import shutil
import sys
from datetime import UTC, datetime

import trio

import broker

ADDRESS = "tcp://127.0.0.1:4242"


@broker.log_record("disk")
class DiskUsage:
    """How full a file system is; names, descriptions and units are told to collectors, and are columns of files."""

    at: datetime
    mount: str = broker.column(description="where it is mounted")
    used: float = broker.column(unit="percent")


async def agent(name: str, address: str = ADDRESS) -> None:
    """Write a record now and then, with a collector or without."""
    async with (
        broker.Endpoint(name) as endpoint,
        # From the first record on, everything is kept for the collector "printer", even if it has never been there.
        endpoint.log("disks", DiskUsage, path=f"{name}.spool", collectors=("printer",)) as log,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(lambda: endpoint.peer(address, timeout=math.inf))
        while True:
            usage = shutil.disk_usage("/")
            record = DiskUsage(datetime.now(UTC), "/", round(100 * usage.used / usage.total, 2))
            number = await log.write(record)  # on disk when this returns
            print(f"{name} has written record {number}", flush=True)
            await trio.sleep(0.2)


async def collector(address: str = ADDRESS) -> None:
    """Print the records of all agents; what was printed is acknowledged when the next is asked for."""
    async with (
        broker.Endpoint("collector") as endpoint,
        endpoint.collect("disks", DiskUsage, name="printer") as records,
    ):
        print("listening on", await endpoint.listen(address), flush=True)
        async for message in records:
            again = " (may have been printed before)" if message.redelivered else ""
            disk = message.record
            print(f"{message.origin} {message.number}: {disk.mount} {disk.used} % full{again}", flush=True)


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["collector", *rest]:
                trio.run(lambda: collector(*rest))
            case ["agent", name, *rest]:
                trio.run(lambda: agent(name, *rest))
            case _:
                sys.exit("usage: log_shipping.py collector [ADDRESS], or log_shipping.py agent NAME [ADDRESS]")
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
