"""Kills of everybody while log records pass: ``python tests/interop/logs_kill_test.py --records 1000000 --kills 120``.

Writers, a relay and a collector, each a process, on real sockets and a real disk::

    writer-0 --+
               +--> relay --> collector --> a file
    writer-1 --+

All of them are killed with ``kill -9``, again and again, while records are on their way, and started anew.  A writer
keeps nothing but its spool: its next life asks that how far it came, and goes on there.  The collector writes what it
receives to a file and keeps a checkpoint with it in one step.  In the end that file is compared, record by record, with
what was to be written: each record of each writer is there once, in its writer's order, and nothing else is.

When to kill whom is decided beforehand, by chance from the seed, and by progress: a kill is due when the collector has
so many records and everybody who was killed before is back and has let some pass.  Some are followed by another at
once, while they are still finding each other; at some the collector has its hands full, with records that it has
received and not acknowledged.  Writers are never more than a few kills' worth of records ahead: on a quick machine,
too, there are records on their way at the last kill as at the first.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio
from interop_log_lines import text_of_line
from interop_members import LOOPBACK, QUICK
from interop_stores import Keeper, Keepers, keepers

__all__ = ["Kill", "Report", "Trial", "planned", "run"]

ROLES: Final = ("writer", "relay", "collector")
# Whoever is killed is dialled again soon.
TIMING: Final = {**QUICK, "redial_max_s": 0.2}
# What is spooled at most: little, so that writers write for as long as the collector collects.
SPOOL_BYTES: Final = 1 << 20
# How far writers are ahead, in kills.
AHEAD: Final = 3
# How long a collector rests: somebody who was killed is back in that time.
REST_S: Final = 0.8
# Nobody says any of these when nothing is lost.
NEVER_TOLD: Final = (
    "RecordsDropped",
    "RecordsLost",
    "RecordMisfitted",
    "LogFailing",
    "WriterReset",
    "CollectorRefused",
)


@attrs.frozen
class Trial:
    """What is to be done."""

    records: int
    kills: int
    seed: int
    directory: Path
    writers: int = 2
    relays: int = 1
    seconds: float = 600.0  # then it has failed
    say: Callable[[str], None] = lambda _: None

    def share(self, writer: int) -> int:
        """How many records that writer writes."""
        return self.records // self.writers + (writer < self.records % self.writers)

    @property
    def step(self) -> float:
        """How many records there are to a kill; the last kill has the last that are written before it."""
        return self.records / (self.kills - 1 + AHEAD)


@attrs.frozen
class Kill:
    """When the collector has ``at`` records, ``more`` since all are back, and a moment has passed, one of ``role``.

    ``hastily``: without waiting for more, while they recover from the kill before.  ``full``: the collector's program
    rests meanwhile, and has its hands full: records that have come and are not acknowledged.
    """

    role: str
    at: int
    more: int
    moment_s: float
    hastily: bool
    full: bool


@attrs.define
class Report:
    """What came of it; ``idle`` of the kills came when nothing was on its way."""

    records: int = 0
    seconds: float = 0.0
    kills: Counter[str] = attrs.field(factory=Counter)
    hasty: int = 0
    idle: int = 0

    def __str__(self) -> str:
        by_role = ", ".join(f"{self.kills[role]} of {role}" for role in ROLES)
        when = f"{self.hasty} during the recovery from another, {self.idle} while nothing was on its way"
        return (
            f"{self.records:,} records, each exactly once and in order, through {self.kills.total()} kills "
            f"({by_role}; {when}) in {self.seconds:.1f} s: "
            f"{self.records / self.seconds:,.0f} records/s"
        )


def planned(trial: Trial) -> Iterator[Kill]:
    """Give the kills that the seed decides."""
    chance = random.Random(trial.seed)
    roles = [ROLES[number % len(ROLES)] for number in range(trial.kills)]
    chance.shuffle(roles)
    for number, role in enumerate(roles):
        hastily = number > 0 and role != roles[number - 1] and chance.random() < 0.25
        at, more = trial.step * (number + chance.random()), trial.step * chance.random() / 2
        yield Kill(
            role,
            round(at),
            1 + round(more),
            chance.random() * (0.4 if hastily else 0.01),
            hastily,
            chance.random() < 0.4,
        )


class Trials:
    """The processes of a trial."""

    def __init__(self, trial: Trial, mesh: Keepers) -> None:
        self.trial = trial
        self.report = Report()
        self.chance = random.Random(f"victims {trial.seed}")
        self.output = trial.directory / "output"
        self._mesh = mesh
        self._addresses: list[str] = []
        self.running: dict[str, Keeper] = {}
        self._got = 0
        self._granted = 0
        self._reached: Counter[str] = Counter()  # what was told to be safe, by name

    async def begin(self) -> None:
        await self.grant(0)
        for number in range(self.trial.relays):
            await self._start_relay(f"relay-{number}", LOOPBACK)
        for name in ["collector-0", *(f"writer-{number}" for number in range(self.trial.writers))]:
            await self.start(name)

    async def _start_relay(self, name: str, address: str) -> None:
        relay = self.running[name] = await self._mesh.start("relay", name, listen=[address], timing=TIMING)
        if address == LOOPBACK:
            self._addresses.append(await relay.address())

    async def start(self, name: str) -> None:
        role, _, number = name.partition("-")
        if role == "relay":
            await self._start_relay(name, self._addresses[int(number)])
            return
        begin = partial(self._mesh.start, f"log_{role}", name, peer=self._addresses, timing=TIMING)
        if role == "writer":
            log = {"path": str(self.trial.directory / f"{name}.spool"), "limit_bytes": SPOOL_BYTES}
            load = {"count": self.trial.share(int(number)), "seed": self.trial.seed}
            load["granted"] = self._share_granted(int(number))
            self.running[name] = await begin(log={**log, "collectors": ["archive"]}, load=load)
        else:
            checkpoint = str(self.trial.directory / "checkpoint")
            self.running[name] = await begin(output=str(self.output), checkpoint=checkpoint)

    @property
    def collector(self) -> Keeper:
        return self.running["collector-0"]

    def got(self) -> int:
        """How many records the collector is known to have written down, in all its lives."""
        told = self.collector.told
        self._got = max(self._got, told.get("got", told.get("entered", 0)))
        return self._got

    async def kill(self, name: str) -> None:
        """Kill one, look at what it had told, and start it again."""
        victim = self.running[name]
        await victim.kill()
        self._note(name, victim.told)
        await self.start(name)

    def _note(self, name: str, told: dict[str, Any]) -> None:
        """Check that a life began no earlier than where the one before it was known to be."""
        assert "refused" not in told, told["refused"]
        if "entered" in told:
            before = self._reached[name]
            assert told["entered"] >= before, f"{name} goes on at {told['entered']} after {before}"
            self._reached[name] = max(told["entered"], told.get("durable", 0), told.get("got", 0))

    def victim(self, role: str) -> str:
        """Choose one of them: a writer that is writing yet, if there is any."""
        names = [name for name in self.running if name.startswith(role)]
        return self.chance.choice([name for name in names if "finished" not in self.running[name].told] or names)

    def _share_granted(self, writer: int) -> int:
        return min(self.trial.share(writer), -(-self._granted // self.trial.writers))

    async def grant(self, kill: int) -> None:
        """Let writers write as much as is to come until shortly after a kill."""
        self._granted = min(self.trial.records, round(self.trial.step * (kill + AHEAD)))
        for name, one in self.running.items():
            if name.startswith("writer"):  # the answer of one that is just beginning would come late
                upto = self._share_granted(int(name.partition("-")[2]))
                await one.begin("grant", upto=upto)

    async def all_are_there(self) -> None:
        for one in self.running.values():
            await one.until(partial(_is_there, one))

    async def carry_out(self, number: int, kill: Kill) -> None:
        if not kill.hastily:
            await self.all_are_there()
        before = self.got()
        await self.grant(number)
        if not kill.hastily:
            await self.collector.until(lambda: self.got() >= max(kill.at, before + kill.more))
        if kill.full and not kill.hastily:
            await self.collector.begin("rest", seconds=REST_S)
        await trio.sleep(kill.moment_s)
        name = self.victim(kill.role)
        got = self.got()
        await self.kill(name)
        self.report.kills[kill.role] += 1
        self.report.hasty += kill.hastily
        self.report.idle += got >= self._granted
        hastily = " while they recover" if kill.hastily else " with full hands" if kill.full else ""
        self.trial.say(f"kill {number + 1}: {name} at {got:,} of {self._granted:,} records{hastily}")

    async def end(self) -> None:
        """Wait until everything is written and has come; let all leave."""
        for name, one in self.running.items():
            if name.startswith("writer"):
                await one.value("finished")
                await one.ask("collected", name="archive")
        await self.collector.ask("confirmed")
        assert self.got() == self.trial.records, f"{self.got()} of {self.trial.records} have come"
        for name, one in self.running.items():
            await one.leave()
            self._note(name, one.told)
        told = [status for one in self._mesh.started for status in one.statuses if status["status"] in NEVER_TOLD]
        assert not told, told[:5]

    def compare(self) -> None:
        """Compare the output with what was to be written, record by record."""
        expected = Counter({f"writer-{number}": 1 for number in range(self.trial.writers)})
        with self.output.open(encoding="utf-8") as lines:
            for place, found in enumerate(lines, 1):
                content, _, flags = found.partition(" | ")
                writer = content.partition(" ")[0]
                number = expected[writer]
                wanted = text_of_line(writer, number)
                assert content == wanted, f"line {place}: {content!r}, not {wanted!r}"
                spooled, origin, _, lost = flags.split()
                assert (int(spooled), origin, lost) == (number, writer, "0"), f"line {place}: {found!r}"
                expected[writer] += 1
        for number in range(self.trial.writers):
            count = expected[f"writer-{number}"] - 1
            assert count == self.trial.share(number), f"writer-{number}: {count} of {self.trial.share(number)}"


def _is_there(one: Keeper) -> bool:
    return bool(one.told.keys() & {"entered", "joined", "refused"})


async def run(trial: Trial) -> Report:
    """Carry a trial out; raises AssertionError when a record is missing, there twice, changed or out of order."""
    begun = time.perf_counter()
    async with keepers(trial.seconds) as mesh:
        trials = Trials(trial, mesh)
        await trials.begin()
        for number, kill in enumerate(planned(trial)):
            await trials.carry_out(number, kill)
        await trials.grant(trial.kills)
        await trials.end()
    trials.report.seconds = time.perf_counter() - begun
    trials.compare()
    trials.report.records = trial.records
    return trials.report


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill writers, relay and collector of a log stream; compare records.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=None, help="decides who is killed when; by chance unless given")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--relays", type=int, default=1, help="side by side: records take another way when one dies")
    parser.add_argument("--seconds", type=float, default=600.0, help="fail when it takes longer")
    parser.add_argument("--quiet", action="store_true", help="print the summary alone")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    say(f"seed {seed}: {options.records:,} records, {options.kills} kills")
    directory = Path(tempfile.mkdtemp(prefix="broker-kills-"))
    trial = Trial(
        options.records,
        options.kills,
        seed,
        directory,
        options.writers,
        options.relays,
        options.seconds,
        (lambda _: None) if options.quiet else say,
    )
    try:
        report = trio.run(run, trial)
    except AssertionError as error:
        say(f"FAILED with --seed {seed}: {error}\nspools and output are in {directory}")
        return 1
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    say(str(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
