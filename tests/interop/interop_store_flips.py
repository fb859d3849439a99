"""A program that flips one bit of a store's file after the other: ``interop_store_flips.py DIRECTORY COUNT SEED``.

It tells, as JSON, how often opening and reading everything came to what: the file was "refused", and was as before;
"damaged" was told when it was read; the "same" was there as before; or anything else, in its own words.  Half of the
bits are in what holds pages together.  Files differ from run to run, in ids, times, and what was committed together: so
one that came to anything else is written to standard error, in base 85 of its zlib.
"""

from __future__ import annotations

import json
import os
import random
import sys
from base64 import b85encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import compress

import trio

import broker

EXPECTED = {"same", "refused", "damaged"}
PAGE_BYTES, HEAD_BYTES = 4096, 64


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


def places(data: bytes, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Which bits flip: any, and any of the pages' heads and lists of rows."""
    chance = random.Random(seed)
    for index in range(count):
        place = chance.randrange(len(data))
        if index % 2:
            place = place - place % PAGE_BYTES + chance.randrange(HEAD_BYTES)
        yield place, 1 << chance.randrange(8)


def main(directory: Path, count: int, seed: int) -> None:
    """Try all; a child does, which LMDB may kill."""
    whole, path = directory / "whole.lmdb", directory / "flipped.lmdb"
    wanted = trio.run(written, whole)
    data = whole.read_bytes()
    child = os.fork()
    if child == 0:
        tally = Counter[str]()
        for place, bit in places(data, count, seed):
            flipped = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            path.write_bytes(flipped)
            try:
                told = trio.run(outcome, path, wanted)
            except BaseException as error:  # noqa: BLE001 - told to the test
                told = f"raised: {error!r}"
            if told not in EXPECTED:
                show(f"place {place}, bit {bit}: {told}", flipped)
            tally[told] += 1
        sys.stdout.write(json.dumps(tally))
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        show("the process ended", path.read_bytes())
        sys.exit(f"ended with status {status}")


def show(what: str, file: bytes) -> None:
    sys.stderr.write(f"{what}\n{b85encode(compress(file, 9)).decode()}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
