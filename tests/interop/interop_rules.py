"""A program with rules, to be killed: what its rules make goes to the mesh, and its actions to standard output.

Its argument is one JSON object: ``address`` to peer with, ``file`` of the rules, and ``rules``: further keyword
arguments of :meth:`Endpoint.rules`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import trio

import broker


def say(**what: Any) -> None:
    """A line for who has started us."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(options: dict[str, Any]) -> None:
    """Run the rules until somebody ends it."""
    async with broker.Endpoint("ruler") as endpoint:
        await endpoint.peer(options["address"])
        async with endpoint.rules(options["file"], **options["rules"]) as rules:
            say(ready=True)
            async for action in rules:
                say(action=action.name, args=action.event.args)


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
