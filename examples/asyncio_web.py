"""An asyncio program: a web server, made with aiohttp (pip install aiohttp), that shows what the agents publish.

    python examples/asyncio_web.py [PORT [ADDRESS]]

ADDRESS is where manager.py listens: by way of it every agent's events come here.  By default, then:

    curl http://127.0.0.1:8080/            the latest figures of each host, as JSON
    curl -N http://127.0.0.1:8080/events   all figures as they come: server-sent events, EventSource in a browser
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

import broker
from broker import aio

Latest = dict[str, dict[str, Any]]
ENDPOINT = web.AppKey("endpoint", aio.Endpoint)
LATEST = web.AppKey[Latest]("latest", dict)


async def watch(endpoint: aio.Endpoint, latest: Latest) -> None:
    """Keep what each host told last.  Without a class for them, events have a name and arguments in order."""
    async with endpoint.subscribe("host/", "Load", "DiskUsage") as messages:
        async for message in messages:
            latest.setdefault(message.origin, {})[message.event.name] = message.event.args[1:]


async def show_latest(request: web.Request) -> web.Response:
    """Answer with all that is known."""
    return web.json_response(request.app[LATEST])


async def stream(request: web.Request) -> web.StreamResponse:
    """Send what comes for as long as somebody listens: who is slow misses the oldest, and holds up nobody."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    figures = request.app[ENDPOINT].subscribe("host/", overflow="drop_oldest", queue_messages=1000)
    with contextlib.suppress(ConnectionResetError, broker.EndpointClosed):  # nobody listens any more; we stop
        async with figures:
            async for message in figures:
                told = {"topic": message.topic, "event": message.event.name, "args": message.event.args}
                await response.write(f"data: {json.dumps(told)}\n\n".encode())
    return response


def main(port: str = "8080", address: str = "tcp://127.0.0.1:4040") -> None:
    """Serve until Ctrl-C."""

    async def linked(app: web.Application) -> AsyncIterator[None]:
        async with aio.Endpoint("web") as app[ENDPOINT]:
            await app[ENDPOINT].peer(address, timeout=60)
            watching = asyncio.create_task(watch(app[ENDPOINT], app[LATEST]))
            yield
            watching.cancel()

    app = web.Application()
    app[LATEST] = {}
    app.router.add_get("/", show_latest)
    app.router.add_get("/events", stream)
    app.cleanup_ctx.append(linked)
    told = functools.partial(print, flush=True)
    web.run_app(app, host="127.0.0.1", port=int(port), shutdown_timeout=0.1, print=told)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except broker.BrokerError as error:
        sys.exit(str(error))
