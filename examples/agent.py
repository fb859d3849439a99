"""An agent: it publishes the load of this machine and how full its disk is, once a second.

    python examples/agent.py [NAME [ADDRESS]]

NAME is its own in the mesh: by default this machine's.  ADDRESS is where manager.py, or relay.py, listens.  A manager
that is not there yet is waited for, and one that is started again is found again.  Ctrl-C stops the agent.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import sys

import trio

import broker


# manager.py has these two classes as well: programs agree on an event by its name and its fields.
@broker.event
class Load:
    """How many programs of a host want to run, on average over a minute."""

    host: str
    average: float


@broker.event
class DiskUsage:
    """How full a mounted file system is, in percent."""

    host: str
    mount: str
    percent: float


async def run_agent(endpoint: broker.Endpoint, address: str) -> None:
    """Publish until cancelled.  A function of its endpoint: test_agent.py gives it a simulated one."""
    await endpoint.peer(address, timeout=math.inf)
    print("linked with", address, flush=True)
    host = endpoint.name
    while True:
        await endpoint.publish(f"host/{host}/load", Load(host, os.getloadavg()[0]))
        disk = shutil.disk_usage("/")
        await endpoint.publish(f"host/{host}/disk", DiskUsage(host, "/", 100 * disk.used / disk.total))
        await trio.sleep(1)


async def main(name: str = platform.node(), address: str = "tcp://127.0.0.1:4040") -> None:
    """Run the agent on a real endpoint, until Ctrl-C."""
    async with broker.Endpoint(name) as endpoint:
        await run_agent(endpoint, address)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
