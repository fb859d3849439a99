"""A program that flips one bit of a store's file after the other: ``interop_store_flips.py DIRECTORY COUNT``.

It tells, as JSON, how often opening and reading everything came to what: the file was "refused", and was as before;
"damaged" was told when it was read; the "same" was there as before; a process "ended" by LMDB's memory map, of a file
in which ``verify`` finds something; or anything else, in its own words.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import trio

import broker
from broker.journal import verify


async def written(path: Path) -> dict[Any, Any]:
    async with broker.Endpoint("maker") as endpoint, endpoint.master("hosts", path=path) as store:
        for number in range(200):
            await store.put(f"web-{number}", {"up": True, "note": "x" * 100}, level="applied")
        await store.put("last", 1)
        return dict(store)


async def outcome(path: Path, wanted: dict[Any, Any]) -> str:
    before = await trio.Path(path).read_bytes()
    async with broker.Endpoint("reader") as endpoint:
        try:
            async with endpoint.master("hosts", path=path) as store:
                try:
                    found = dict(store)
                except broker.JournalError as error:
                    return "damaged" if str(path) in str(error) else f"not named in {error}"
                return "same" if found == wanted else f"wrong: {len(found)} of {len(wanted)}"
        except broker.JournalError as error:
            if str(path) not in str(error):
                return f"not named in {error}"
            return "refused" if await trio.Path(path).read_bytes() == before else f"harmed: {error}"


def in_child(path: Path, wanted: dict[Any, Any]) -> str:
    """The outcome in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = trio.run(outcome, path, wanted)
        except BaseException as error:  # noqa: BLE001 - told by the parent
            told = f"raised: {error!r}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    return told if os.WIFEXITED(status) else f"ended by signal {os.WTERMSIG(status)}"


def main(directory: Path, count: int) -> None:
    whole, path = directory / "whole.lmdb", directory / "flipped.lmdb"
    wanted = trio.run(written, whole)
    data, chance, tally = whole.read_bytes(), random.Random(8), Counter[str]()
    for _ in range(count):
        place, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
        flipped = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
        path.write_bytes(flipped)
        told = in_child(path, wanted)
        if told.startswith("ended"):
            path.write_bytes(flipped)
            told = "ended" if not verify(path).ok else told
        tally[told] += 1
    sys.stdout.write(json.dumps(tally))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
