"""What becomes of a spool in which one bit has flipped: run as a program, as LMDB may kill the process that reads it.

Reads from its standard input, one a line, which bit of the file flips; writes for each a line that says what happened:

    all        every record came, once, as it was written
    lost N     N records did not come; the collector was told so, of each
    refused    the spool could not be entered: the reason
    failing    it was entered, and later it was told that it could not be read or written: the reason
    wrong      anything else
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio
from handle_records import Flow

import broker
from broker import Endpoint
from broker.errors import JournalError
from broker.testing import SimulatedNetwork

RECORDS = 400


async def fill(path: Path) -> None:
    """Make a spool: chunks of one record and of many, long ones, and some that a collector has had."""
    async with Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint:
        number = 0
        while number < RECORDS:
            async with (
                endpoint.log("flows", Flow, path=path, durable=False, collectors=["y"]) as log,
                endpoint.collect("flows", name="x", acknowledge="explicit") as records,
            ):
                for count, size in ((1, 10), (30, 100), (5, 2000), (64, 5)):
                    await log.write_all(Flow(number + index + 1, "x" * size) for index in range(count))
                    number += count
                    await log.flush()
                for _ in range(20):
                    records.acknowledge(await records.receive())
                await records.confirmed()


async def read(path: Path, first: int) -> str:
    """Open a spool, write one more record, and collect all behind the first."""
    async with Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint, endpoint.status() as status:
        try:
            log = await endpoint.log("flows", Flow, path=path).__aenter__()
        except (JournalError, broker.LogError) as error:
            return f"refused {type(error).__name__} {error}"
        outcome = "wrong: nothing came"
        try:
            with trio.move_on_after(3):
                outcome = await _collect(endpoint, log, first)
            if outcome.startswith("wrong: nothing"):
                told = []
                while True:
                    try:
                        told.append(status.receive_nowait())
                    except trio.WouldBlock:
                        break
                failing = [str(one) for one in told if isinstance(one, broker.LogFailing)]
                outcome = f"failing {failing[0]}" if failing else f"wrong: nothing came: {told}"
        finally:
            log._machine.closing = True  # type: ignore[union-attr]
            await log._close()
        return outcome


async def _collect(endpoint: Endpoint, log: broker.LogWriter, first: int) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.write, Flow(0))
        async with endpoint.collect("flows", name="x", acknowledge="explicit") as records:
            expected, lost = first, 0
            async for message in records:
                if message.number < expected and message.number < first:
                    continue  # its cursor was lost: it begins anew
                if message.number != expected + message.lost_before:
                    return f"wrong: {message.number} after {expected - 1}, and {message.lost_before} lost"
                lost += message.lost_before
                expected = message.number + 1
                if message.record.n == 0:
                    nursery.cancel_scope.cancel()
                    return f"lost {lost}" if lost else "all"
                if message.record.n != message.number:
                    return f"wrong: {message.number} says {message.record.n}"
    return "wrong: the end"


def main(whole: Path, path: Path, first: int) -> None:
    data = whole.read_bytes()
    for line in sys.stdin:
        flip = int(line)
        damaged = bytearray(data)
        damaged[flip // 8] ^= 1 << flip % 8
        path.write_bytes(damaged)
        outcome = trio.run(read, path, first)
        sys.stdout.write(f"{' '.join(outcome.split())}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
