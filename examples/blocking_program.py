"""A blocking program: no event loop.  One thread publishes, another reads; any thread may use any handle.

    python examples/blocking_program.py [NAME [ADDRESS]]

NAME is its own in the mesh; ADDRESS is where manager.py listens.  It publishes how full the disk is, as agent.py does,
and prints which disks of all hosts are the fullest, every second.  Ctrl-C stops it.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time

import broker
from broker import blocking


@broker.event
class DiskUsage:
    """How full a mounted file system is, in percent."""

    host: str
    mount: str
    percent: float


def publish(endpoint: blocking.Endpoint) -> None:
    """Tell of our disk once a second, until the endpoint is closed."""
    while True:
        disk = shutil.disk_usage("/")
        usage = DiskUsage(endpoint.name, "/", 100 * disk.used / disk.total)
        try:
            endpoint.publish(f"host/{endpoint.name}/disk", usage)
        except broker.EndpointClosed:
            return
        time.sleep(1)


def main(name: str = "blocking", address: str = "tcp://127.0.0.1:4040") -> None:
    """Read until Ctrl-C: a call that waits takes a time limit, a loop over messages needs none."""
    fullest: dict[str, float] = {}
    with blocking.Endpoint(name) as endpoint, endpoint.subscribe("host/", DiskUsage) as messages:
        endpoint.peer(address, timeout=60)
        threading.Thread(target=publish, args=(endpoint,), daemon=True).start()
        for message in messages:
            fullest[message.event.host] = message.event.percent
            ranking = sorted(fullest.items(), key=lambda item: item[1], reverse=True)
            print(", ".join(f"{host} {percent:.0f} %" for host, percent in ranking), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except broker.BrokerError as error:
        sys.exit(str(error))
