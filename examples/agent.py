"""An agent: it publishes this machine's figures to a manager, once a second.

Start the manager first (manager.py says how).  pip install psutil for the figures; then:

    python examples/agent.py web-01 tcp://127.0.0.1:4040

The first argument is the agent's name, its own in the mesh.  A manager that is started again is found again.
Ctrl-C stops the agent.
"""

from __future__ import annotations

import sys

import psutil
import trio

import broker


# The manager has these two classes as well: programs agree on an event by its name and its fields.
@broker.event
class CpuLoad:
    """How busy a host's processors are, in percent."""

    host: str
    percent: float


@broker.event
class DiskUsage:
    """How full a mounted file system is, in percent."""

    host: str
    mount: str
    percent: float


async def main(name: str, address: str) -> None:
    """Publish until Ctrl-C."""
    async with broker.Endpoint(name) as endpoint:
        await endpoint.peer(address)
        print("linked with", address, flush=True)
        while True:
            await endpoint.publish(f"host/{name}/cpu", CpuLoad(name, psutil.cpu_percent()))
            await endpoint.publish(f"host/{name}/disk", DiskUsage(name, "/", psutil.disk_usage("/").percent))
            await trio.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: agent.py NAME ADDRESS")
    try:
        trio.run(main, sys.argv[1], sys.argv[2])
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
