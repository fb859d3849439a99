"""Rules at an endpoint: what they are given, what they publish, and how they are changed while it runs."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

import broker
import broker.blocking
import broker.handles.rules
from broker.testing import SimulatedNetwork

DISKS = """
event Disk { host: string, used: number };
event Full { host: string };
Full full(Disk d) := { host = d.host };
"""
TWO_FULL = (
    DISKS + 'Filled: [Disk a, Disk b : a.used > 0.9, b.used > 0.9] per host consume -> full(b) to "alerts" do page;'
)

S = TypeVar("S", bound=broker.Status)


def disk(host: str, used: float) -> broker.Event:
    return broker.Event("Disk", (host, used))


@asynccontextmanager
async def endpoint(name: str = "manager") -> AsyncIterator[broker.Endpoint]:
    with trio.fail_after(20):
        async with broker.Endpoint(name, network=SimulatedNetwork(seed=1)) as made:
            yield made


async def told(changes: broker.StatusReader, kind: type[S]) -> S:
    async for change in changes:
        if isinstance(change, kind):
            return change
    raise AssertionError


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "alerts.ev"
        path.write_text(text)
        return path

    return write


async def test_what_a_rule_makes_is_published_and_its_actions_come_out(written: Any) -> None:
    rule = 'DiskFull: [Disk d : d.used > 0.9] on "host/" -> full to "alerts/" + d.host do page, mail;'
    async with (
        endpoint() as manager,
        manager.rules(written(DISKS + rule)) as rules,
        manager.subscribe("alerts/") as alerts,
    ):
        await manager.publish("elsewhere", disk("web-00", 0.95))
        await manager.publish("host/web-01", disk("web-01", 0.5))
        await manager.publish("host/web-02", disk("web-02", 0.95))
        message = await alerts.receive()
        assert (message.topic, message.event) == ("alerts/web-02", broker.Event("Full", ("web-02",)))
        first, second = await rules.receive(), await rules.receive()
        assert [first.name, second.name] == ["page", "mail"]
        assert (first.event, first.rule, first.topic) == (message.event, "DiskFull", "alerts/web-02")
        assert [(one.event, one.origin) for one in first.because] == [(disk("web-02", 0.95), "manager")]
        assert first.time_ns == first.because[0].time_ns
        figures = rules.figures()
        assert (figures.published, figures.actions, figures.rules["DiskFull"].made) == (1, 2, 1)


async def test_what_rules_publish_is_seen_once_by_their_others_and_what_a_program_publishes_too(written: Any) -> None:
    text = """
    event Warned { host: string };
    Warned warned(Full f) := { host = f.host };
    DiskFull: [Disk d : d.used > 0.9] -> full to "alerts";
    Warn: [Full f] on "alerts" -> warned to "warnings";
    """
    async with (
        endpoint() as manager,
        manager.rules(written(DISKS + text)) as rules,
        manager.subscribe("warnings") as warnings,
    ):
        await manager.publish("host/a", disk("a", 0.95))
        await manager.publish("alerts", broker.Event("Full", ("by hand",)))
        await manager.publish("host/z", disk("z", 0.95))
        hosts = [(await warnings.receive()).event.args[0] for _ in range(3)]
        assert sorted(hosts) == ["a", "by hand", "z"]
        while rules.figures().echoes < 2:
            await trio.lowlevel.checkpoint()
        with pytest.raises(trio.WouldBlock):
            warnings.receive_nowait()


async def test_events_of_several_subscriptions_stay_in_their_order_so_none_is_late(written: Any) -> None:
    text = """
    event Begun { job: number };
    event Ended { job: number };
    event Done { job: number };
    Done done(Begun b, Ended e) := { job = e.job };
    Job: [Begun b, Ended e : b.job == e.job] on "begun/", "ended/" within 1h per job -> done(b, e) to "done";
    """
    async with (
        endpoint() as manager,
        manager.rules(written(text)) as rules,
        manager.subscribe("done") as done,
    ):
        for job in range(300):
            await manager.publish("begun/x", broker.Event("Begun", (job,)))
            await manager.publish("ended/x", broker.Event("Ended", (job,)))
        assert [(await done.receive()).event.args[0] for _ in range(300)] == list(range(300))
        assert rules.figures().late == 0


async def test_rules_whose_own_queue_is_full_of_what_they_publish_go_on(written: Any) -> None:
    text = DISKS + 'All: [Disk d] on "host/" -> full to "host/full"; Look: [Full f : f.host == "none"] -> full2;'
    text += "Full full2(Full f) := f;".replace(
        "Full full2(Full f) := f", "event X { host: string }; X full2(Full f) := { host = f.host }"
    )
    async with (
        endpoint() as manager,
        manager.rules(written(text), queue_messages=16) as rules,
        trio.open_nursery() as nursery,
    ):

        async def publish() -> None:
            for number in range(3000):
                await manager.publish("host/a", disk(str(number), 1.0))

        nursery.start_soon(publish)
        while rules.figures().echoes < 3000:
            await trio.lowlevel.checkpoint()
        figures = rules.figures()
        assert (figures.published, figures.lost, figures.received) == (3000, 0, 3000)


async def test_a_changed_file_is_taken_up_by_itself_and_a_broken_one_is_not(
    written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.handles.rules, "_LOOK_S", 0.01)
    path = written(TWO_FULL)
    async with endpoint() as manager, manager.status() as changes, manager.rules(path) as rules:
        await manager.publish("host/a", disk("a", 0.95))
        while rules.figures().received < 1:
            await trio.lowlevel.checkpoint()
        path.write_text(TWO_FULL.replace("per host", "per hots"))
        broken = await told(changes, broker.RulesBroken)
        assert "line 5" in broken.reason
        assert "hots" in broken.reason
        path.write_text(TWO_FULL + 'Other: [Disk d : d.used > 5] -> full to "alerts";')
        taken = await told(changes, broker.RulesReloaded)
        assert (taken.kept, taken.new, taken.gone) == (1, 1, 0)
        await manager.publish("host/a", disk("a", 0.95))
        action = await rules.receive()  # the first of the two came before
        assert [message.event.args[0] for message in action.because] == ["a", "a"]


async def test_reloading_subscribes_to_what_is_new_and_gives_nothing_twice(written: Any) -> None:
    text = DISKS + 'DiskFull: [Disk d] on "host/" -> full to "alerts";'
    async with endpoint() as manager, manager.rules(written(text), watch=False) as rules:
        assert manager.subscriber_count("disk/a") == 0
        for number in range(5):
            await manager.publish("host/a", disk(f"before {number}", 1))
        written(text.replace('on "host/" ', ""))
        await rules.reload()
        assert manager.subscriber_count("disk/a") == 1
        await manager.publish("disk/a", disk("after", 1))
        while rules.figures().published < 6:
            await trio.lowlevel.checkpoint()
        assert (rules.figures().received, rules.figures().published) == (6, 6)


async def test_rules_that_make_no_sense_are_refused_with_all_that_is_wrong(written: Any) -> None:
    path = written(DISKS + 'One: [Disk d : d.usd > 1] -> full to "a";\nTwo: [Dsk d] -> full to "a";')
    async with endpoint() as manager:
        with pytest.raises(broker.RuleError) as refused:
            async with manager.rules(path):
                pass
        assert [(problem.source, problem.line) for problem in refused.value.problems] == [
            (str(path), 5),
            (str(path), 6),
        ]
        with pytest.raises(broker.RuleError, match="there is no such file"):
            async with manager.rules(path.with_name("none.ev")):
                pass
        assert manager.subscriber_count("host/a") == 0


async def test_an_event_that_cannot_be_published_is_told_and_the_stream_goes_on(written: Any) -> None:
    text = """
    event Two { a: string, b: string };
    Two two(Disk d) := { a = d.host, b = d.host };
    DiskFull: [Disk d] -> two to "good";
    """
    path = written(DISKS + text)
    async with (
        endpoint() as manager,
        manager.status() as changes,
        manager.rules(path) as rules,
        manager.subscribe("good") as good,
    ):
        await manager.publish("host/a", disk("x" * (3 << 20), 1))
        await manager.publish("host/a", disk("good", 1))
        await good.receive()
        failed = await told(changes, broker.RuleFailed)
        assert failed.rule == "DiskFull"
        assert "an event has at most 4194304" in failed.reason
        assert rules.figures().failed == 1


async def test_actions_that_nobody_takes_are_dropped_counted_and_told(written: Any) -> None:
    path = written(DISKS + "DiskFull: [Disk d] -> full do page;")
    async with (
        endpoint() as manager,
        manager.status() as changes,
        manager.rules(path, queue_actions=3) as rules,
    ):
        for number in range(10):
            await manager.publish("host/a", disk(str(number), 1))
        lost = await told(changes, broker.ActionsLost)
        assert lost.count == 1  # the others are told later, together
        while rules.figures().actions_lost < 7:
            await trio.lowlevel.checkpoint()
        action = await rules.receive()
        assert (action.event.args, action.lost_before) == (("7",), 7)
        assert (await rules.receive()).lost_before == 0


async def test_a_dry_run_shows_what_would_be_published_and_publishes_nothing(written: Any) -> None:
    path = written(DISKS + 'DiskFull: [Disk d] -> full to "alerts" do page; Quiet: [Disk d] -> full;')
    async with (
        endpoint() as manager,
        manager.subscribe("alerts") as alerts,
        manager.rules(path, dry_run=True) as rules,
    ):
        await manager.publish("host/a", disk("a", 1))
        shown = {(action.rule, action.name, action.topic) for action in [await rules.receive() for _ in range(3)]}
        assert shown == {("DiskFull", "", "alerts"), ("DiskFull", "page", "alerts"), ("Quiet", "", "")}
        assert rules.figures().published == 0
        with pytest.raises(trio.WouldBlock):
            alerts.receive_nowait()


async def test_a_directory_of_tornado_s_runs_too(tmp_path: Path) -> None:
    rule = """{"description": "", "continue": true, "active": true,
        "constraint": {"WHERE": {"type": "equals", "first": "${event.payload.host}", "second": "web-01"}, "WITH": {}},
        "actions": [{"id": "logger",
            "payload": {"where": "${event.metadata.topic}", "host": "${event.payload.host}"}}]}"""
    (tmp_path / "0010_disk.json").write_text(rule)
    async with endpoint() as manager, manager.rules(tmp_path) as rules:
        await manager.publish("host/a", broker.Event("disk", ({"host": "web-02"},)))
        await manager.publish("host/b", broker.Event("disk", ({"host": "web-01"},)))
        action = await rules.receive()
        assert (action.name, action.rule) == ("logger", "root.disk")
        assert action.event == broker.Event("logger", ({"where": "host/b", "host": "web-01"},))


async def test_a_program_given_as_a_value_is_checked(written: Any) -> None:
    from broker.rules.model import Clause, Constant, EventType, Program, Rule, Step

    good = Program((EventType("Tick"),), (), (Rule("R", (Step("t", "Tick"),), actions=("go",)),))
    bad = Program((), (), (Rule("R", (Step("t", "Tick"),), (Clause(Constant(True)),)),))
    async with endpoint() as manager:
        with pytest.raises(broker.RuleError, match="Tick"):
            async with manager.rules(bad):
                pass
        with pytest.raises(TypeError, match="not int"):
            async with manager.rules(5):
                pass
        async with manager.rules(good) as rules:
            await manager.publish("x", broker.Event("Tick", ()))
            assert (await rules.receive()).event is None


async def test_leaving_publishes_what_was_made_and_ends_who_waits(written: Any) -> None:
    path = written(DISKS + 'DiskFull: [Disk d] -> full to "alerts";')
    async with endpoint() as manager, manager.subscribe("alerts") as alerts:
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            async with manager.rules(path) as rules:

                async def wait() -> None:
                    with pytest.raises(broker.EndpointClosed):
                        await rules.receive()
                    ended.set()

                nursery.start_soon(wait)
                for number in range(100):
                    await manager.publish("host/a", disk(str(number), 1))
                while rules.figures().received < 100:
                    await trio.lowlevel.checkpoint()
            await ended.wait()
        assert [(await alerts.receive()).event.args[0] for _ in range(100)] == [str(number) for number in range(100)]
        assert manager.subscriber_count("host/a") == 0
        with pytest.raises(broker.EndpointClosed):
            rules.figures()


def test_arguments_that_make_no_sense_are_refused_at_once() -> None:
    made = broker.Endpoint("manager")
    for options in (
        {"topics": "host/"},
        {"collect": ("conn",)},
        {"queue_actions": 0},
        {"give": "both"},
        {"lateness_s": -1},
        {"events_max": 0},
        {"overflow": "never"},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            made.rules("x.ev", **options)


async def test_rules_go_by_the_clock_of_a_simulation_so_silence_takes_no_time(
    written: Any, autojump_clock: trio.testing.MockClock
) -> None:
    text = """
    event Beat { host: string };
    event Silent { host: string };
    Silent silent(Beat b) := { host = b.host };
    HostSilent: [Beat b, !Beat n within 1m] per host -> silent(b) to "alerts";
    """
    network = SimulatedNetwork(seed=1)
    async with (
        broker.Endpoint("manager", network=network) as manager,
        broker.Endpoint("agent", network=network) as agent,
        manager.rules(written(text), lateness_s=0.1, watch=False) as rules,
        manager.subscribe("alerts") as alerts,
    ):
        await manager.listen("sim://manager")
        await agent.peer("sim://manager")
        for _ in range(60):
            await agent.publish("host", broker.Event("Beat", ("web-01",)))
            await trio.sleep(10)
        began = trio.current_time()
        assert (await alerts.receive()).event.args == ("web-01",)
        assert 50 <= trio.current_time() - began < 60
        assert (rules.figures().late, rules.figures().published) == (0, 1)


async def test_with_a_journal_rules_go_on_where_they_were(written: Any, tmp_path: Path) -> None:
    path, journal = written(TWO_FULL), tmp_path / "alerts.rules"
    async with endpoint() as manager:
        async with manager.rules(path, path=journal) as rules:
            await manager.publish("host/a", disk("a", 0.95))
            while rules.figures().received < 1:
                await trio.lowlevel.checkpoint()
        path.write_text(TWO_FULL + 'Other: [Disk d : d.used > 5] -> full to "alerts";')
        async with manager.rules(path, path=journal) as rules, manager.subscribe("alerts") as alerts:
            await manager.publish("host/a", disk("a", 0.99))
            action = await rules.receive()
            assert [message.event.args[1] for message in action.because] == [0.95, 0.99]
            assert (await alerts.receive()).event.args == ("a",)
        # The action was in hand when the block was left without an exception: it is done.
        async with manager.rules(path, path=journal) as rules:
            await trio.lowlevel.checkpoint()
            with pytest.raises(trio.WouldBlock):
                rules.receive_nowait()


async def test_an_action_that_failed_is_given_out_again(written: Any, tmp_path: Path) -> None:
    path, journal = written(DISKS + "DiskFull: [Disk d] -> full do page;"), tmp_path / "alerts.rules"
    async with endpoint() as manager:

        async def page() -> None:
            async with manager.rules(path, path=journal) as rules:
                for host in "abc":
                    await manager.publish("host", disk(host, 1))
                assert (await rules.receive()).event.args == ("a",)
                assert (await rules.receive()).event.args == ("b",)
                raise OSError("no pager")

        with pytest.raises(OSError, match="no pager"):
            await page()
        async with manager.rules(path, path=journal) as rules:
            assert [(await rules.receive()).event.args[0] for _ in "bc"] == ["b", "c"]


async def test_a_journal_that_is_another_s_or_in_use_is_refused(written: Any, tmp_path: Path) -> None:
    path, journal = written(TWO_FULL), tmp_path / "alerts.rules"
    async with endpoint() as manager:
        async with manager.master("hosts", path=tmp_path / "hosts.db"):
            pass
        with pytest.raises(broker.JournalMismatch):
            async with manager.rules(path, path=tmp_path / "hosts.db"):
                pass
        async with manager.rules(path, path=journal):
            with pytest.raises(broker.JournalBusy):
                async with manager.rules(path, path=journal):
                    pass


async def test_while_the_disk_fails_nothing_is_published_and_nothing_is_lost(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from broker.handles import rules_driver
    from broker.journal import DiskJournal

    monkeypatch.setattr(rules_driver, "_RETRY_S", 0.01)
    carry_out, full = DiskJournal.carry_out, [False]

    def failing(journal: DiskJournal, work: Any) -> None:
        if full[0]:
            raise broker.JournalFull("alerts.rules", "no room on the disk")
        carry_out(journal, work)

    monkeypatch.setattr(DiskJournal, "carry_out", failing)
    path = written(DISKS + 'DiskFull: [Disk d] -> full to "alerts";')
    async with (
        endpoint() as manager,
        manager.status() as changes,
        manager.subscribe("alerts") as alerts,
        manager.rules(path, path=tmp_path / "alerts.rules") as rules,
    ):
        full[0] = True
        await manager.publish("host", disk("a", 1))
        assert "no room" in (await told(changes, broker.RulesFailing)).reason
        await manager.publish("host", disk("b", 1))
        assert rules.figures().problem == "no room on the disk"
        with pytest.raises(trio.WouldBlock):
            alerts.receive_nowait()
        full[0] = False
        await told(changes, broker.RulesRecovered)
        assert [(await alerts.receive()).event.args[0] for _ in "ab"] == ["a", "b"]


async def test_a_rule_is_explained_at_an_endpoint(written: Any) -> None:
    async with endpoint() as manager, manager.rules(written(TWO_FULL)) as rules:
        explained = rules.explain("Filled", disk("a", 0.95), disk("a", 0.5))
        assert [(clause.holds, clause.text) for clause in explained.clauses] == [
            (True, "a.used > 0.9"),
            (False, "b.used > 0.9"),
        ]
        with pytest.raises(KeyError, match="did you mean 'Filled'"):
            rules.explain("Filed", disk("a", 1))


def test_blocking_programs_have_rules_too(written: Any) -> None:
    path = written(DISKS + 'DiskFull: [Disk d] -> full to "alerts" do page;')
    with (
        broker.blocking.Endpoint("manager") as manager,
        manager.subscribe("alerts") as alerts,
        manager.rules(path) as rules,
    ):
        manager.publish("host", disk("a", 1))
        assert rules.receive(timeout=10).name == "page"
        assert alerts.receive(timeout=10).event.args == ("a",)
        with pytest.raises(TimeoutError):
            rules.receive(timeout=0.01)
        assert rules.figures().published == 1


async def test_what_had_not_arrived_when_the_program_died_is_published_again_and_what_had_is_not(
    written: Any, tmp_path: Path
) -> None:
    path, journal = written(DISKS + 'DiskFull: [Disk d] -> full to "alerts";'), tmp_path / "alerts.rules"
    network = SimulatedNetwork(seed=1)

    async def again(name: str) -> int:
        """How much another program publishes that goes on from the file as it is now."""
        copy = tmp_path / f"{name}.rules"
        shutil.copy(journal, copy)
        async with endpoint(name) as other, other.rules(path, path=copy, give="all") as rules:
            with trio.move_on_after(0.1):
                await rules.receive()
            return rules.figures().published

    with trio.fail_after(20):
        async with (
            broker.Endpoint("manager", network=network) as manager,
            broker.Endpoint("reader", network=network) as reader,
            reader.subscribe("alerts") as alerts,
            manager.rules(path, path=journal) as rules,
        ):
            await reader.listen("sim://reader")
            await manager.peer("sim://reader")
            await manager.publish("host", disk("a", 1))
            await alerts.receive()
            while await again("after it arrived"):
                await trio.lowlevel.checkpoint()
            network.fabric.partition("manager", "reader")
            await manager.publish("host", disk("b", 1))
            while rules.figures().published < 2:
                await trio.lowlevel.checkpoint()
            await trio.sleep(0.2)  # four times what the mark waits for where nothing is in the way
            assert await again("on its way") == 1
            network.fabric.heal("manager", "reader")
            assert (await alerts.receive()).event.args == ("b",)


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30, 100, 300])
async def test_cancelled_at_any_moment_rules_let_go_of_everything(written: Any, tmp_path: Path, turns: int) -> None:
    path, journal = written(TWO_FULL), tmp_path / "alerts.rules"
    async with endpoint() as manager:
        async with trio.open_nursery() as nursery:

            async def attach() -> None:
                async with manager.rules(path, path=journal):
                    await trio.sleep_forever()

            nursery.start_soon(attach)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert manager.subscriber_count("host") == 0
        async with manager.rules(path, path=journal) as rules:
            assert rules.figures().received == 0


async def test_an_endpoint_that_is_closed_first_ends_its_rules(written: Any, tmp_path: Path) -> None:
    path, journal = written(TWO_FULL), tmp_path / "alerts.rules"
    with trio.fail_after(20):
        manager = broker.Endpoint("manager", network=SimulatedNetwork(seed=1))
        await manager.__aenter__()
        rules = manager.rules(path, path=journal)
        await rules.__aenter__()
        await manager.publish("host/a", disk("a", 0.95))
        await manager.__aexit__(None, None, None)
        with pytest.raises(broker.EndpointClosed):
            await rules.receive()
        await rules.__aexit__(None, None, None)
        async with endpoint() as other, other.rules(path, path=journal):
            pass
