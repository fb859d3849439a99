"""kill -9 of a program whose rules have a journal: what they count is exact, whenever it comes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Final

import trio
from processes import Program, started

import broker

RULES: Final = """
event KillTick { number: number };
event KillPair { first: number, second: number };
KillPair pair(KillTick a, KillTick b) := { first = a.number, second = b.number };
Pairs: [KillTick a, KillTick b] on "log/ticks" first consume -> pair(a, b) to "pairs" do note;
"""
PROGRAM: Final = str(Path(__file__).parent / "interop_rules.py")
COUNT: Final = 4000


@broker.log_record
class KillTick:
    number: int


async def test_every_record_counts_once_however_often_the_rules_are_killed(tmp_path: Path) -> None:
    dice = random.Random(3)
    (tmp_path / "pairs.ev").write_text(RULES)
    got: list[tuple[int, int]] = []
    more = trio.lowlevel.ParkingLot()

    async def read(pairs: broker.Subscriber) -> None:
        async for message in pairs:
            got.append(message.event.args)
            more.unpark_all()

    async def until(count: int) -> None:
        while len(set(got)) < count:
            await more.park()

    async with (
        broker.Endpoint("hub") as hub,
        hub.subscribe("pairs", "KillPair") as pairs,
        hub.log("ticks", KillTick, path=tmp_path / "ticks.spool", collectors=["rules"]) as log,
        trio.open_nursery() as nursery,
    ):
        options = {
            "address": await hub.listen("tcp://127.0.0.1:0"),
            "file": str(tmp_path / "pairs.ev"),
            "rules": {"path": str(tmp_path / "pairs.rules"), "collect": ["ticks"], "name": "rules"},
        }
        nursery.start_soon(read, pairs)
        nursery.start_soon(write, log)
        kills = 0
        while kills < 3:
            async with started(PROGRAM, json.dumps(options)) as program:
                await until(len(set(got)) + dice.randrange(1, 200))
                await kill(program)
                kills += 1
        async with started(PROGRAM, json.dumps(options)) as program:
            with trio.fail_after(30):
                await until(COUNT // 2)
                await log.collected("rules")
        nursery.cancel_scope.cancel()
    wanted = [(number, number + 1) for number in range(1, COUNT, 2)]
    assert sorted(set(got)) == wanted
    assert list(dict.fromkeys(got)) == wanted  # in order, but for what came once more
    assert len(got) < COUNT


async def write(log: broker.LogWriter) -> None:
    for number in range(1, COUNT + 1):
        await log.write(KillTick(number), durable=number % 10 == 0)


async def kill(program: Program) -> None:
    program.process.kill()
    await program.end()
