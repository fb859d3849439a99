"""Rules at an endpoint: what they are given, what they publish, and how they are changed while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from rules_endpoints import DISKS, TWO_FULL, disk, endpoint, told

import broker
import broker.blocking
import broker.handles.rules
from broker.testing import SimulatedNetwork


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "alerts.ev"
        path.write_text(text)
        return path

    return write


async def test_what_a_rule_makes_is_published_and_its_actions_come_out(written: Any) -> None:
    rule = 'DiskFull: [RulesDisk d : d.used > 0.9] on "host/" -> full to "alerts/" + d.host do page, mail;'
    async with (
        endpoint() as manager,
        manager.rules(written(DISKS + rule)) as rules,
        manager.subscribe("alerts/") as alerts,
    ):
        await manager.publish("elsewhere", disk("web-00", 0.95))
        await manager.publish("host/web-01", disk("web-01", 0.5))
        await manager.publish("host/web-02", disk("web-02", 0.95))
        message = await alerts.receive()
        assert (message.topic, message.event) == ("alerts/web-02", broker.Event("RulesFull", ("web-02",)))
        first, second = await rules.receive(), await rules.receive()
        assert [first.name, second.name] == ["page", "mail"]
        assert (first.event, first.rule, first.topic) == (message.event, "DiskFull", "alerts/web-02")
        assert [(one.event, one.origin) for one in first.because] == [(disk("web-02", 0.95), "manager")]
        assert first.time_ns == first.because[0].time_ns
        figures = rules.figures()
        assert (figures.published, figures.actions, figures.rules["DiskFull"].made) == (1, 2, 1)


async def test_what_rules_publish_is_seen_once_by_their_others_and_what_a_program_publishes_too(written: Any) -> None:
    text = """
    event RulesWarned { host: string };
    RulesWarned warned(RulesFull f) := { host = f.host };
    DiskFull: [RulesDisk d : d.used > 0.9] -> full to "alerts";
    Warn: [RulesFull f] on "alerts" -> warned to "warnings";
    """
    async with (
        endpoint() as manager,
        manager.rules(written(DISKS + text)) as rules,
        manager.subscribe("warnings") as warnings,
    ):
        await manager.publish("host/a", disk("a", 0.95))
        await manager.publish("alerts", broker.Event("RulesFull", ("by hand",)))
        await manager.publish("host/z", disk("z", 0.95))
        hosts = [(await warnings.receive()).event.args[0] for _ in range(3)]
        assert sorted(hosts) == ["a", "by hand", "z"]
        while rules.figures().echoes < 2:
            await trio.lowlevel.checkpoint()
        with pytest.raises(trio.WouldBlock):
            warnings.receive_nowait()


async def test_events_of_several_subscriptions_stay_in_their_order_so_none_is_late(written: Any) -> None:
    text = """
    event RulesBegun { job: number };
    event RulesEnded { job: number };
    event RulesDone { job: number };
    RulesDone done(RulesBegun b, RulesEnded e) := { job = e.job };
    Job: [RulesBegun b, RulesEnded e : b.job == e.job] on "begun/", "ended/" within 1h per job -> done(b, e) to "done";
    """
    async with (
        endpoint() as manager,
        manager.rules(written(text)) as rules,
        manager.subscribe("done") as done,
    ):
        for job in range(300):
            await manager.publish("begun/x", broker.Event("RulesBegun", (job,)))
            await manager.publish("ended/x", broker.Event("RulesEnded", (job,)))
        assert [(await done.receive()).event.args[0] for _ in range(300)] == list(range(300))
        assert rules.figures().late == 0


async def test_rules_whose_own_queue_is_full_of_what_they_publish_go_on(written: Any) -> None:
    text = (
        DISKS + 'All: [RulesDisk d] on "host/" -> full to "host/full"; Look: [RulesFull f : f.host == "none"] -> full2;'
    )
    text += "RulesFull full2(RulesFull f) := f;".replace(
        "RulesFull full2(RulesFull f) := f", "event X { host: string }; X full2(RulesFull f) := { host = f.host }"
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
        path.write_text(TWO_FULL + 'Other: [RulesDisk d : d.used > 5] -> full to "alerts";')
        taken = await told(changes, broker.RulesReloaded)
        assert (taken.kept, taken.new, taken.gone) == (1, 1, 0)
        await manager.publish("host/a", disk("a", 0.95))
        action = await rules.receive()  # the first of the two came before
        assert [message.event.args[0] for message in action.because] == ["a", "a"]


async def test_reloading_subscribes_to_what_is_new_and_gives_nothing_twice(written: Any) -> None:
    text = DISKS + 'DiskFull: [RulesDisk d] on "host/" -> full to "alerts";'
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
    path = written(DISKS + 'One: [RulesDisk d : d.usd > 1] -> full to "a";\nTwo: [Dsk d] -> full to "a";')
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
    Two two(RulesDisk d) := { a = d.host, b = d.host };
    DiskFull: [RulesDisk d] -> two to "good";
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
    path = written(DISKS + "DiskFull: [RulesDisk d] -> full do page;")
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
    text = 'DiskFull: [RulesDisk d] -> full to "alerts" do page; Loud: [RulesDisk d] -> full to "alerts";'
    path = written(DISKS + text + "Quiet: [RulesDisk d] -> full;")
    async with (
        endpoint() as manager,
        manager.subscribe("alerts") as alerts,
        manager.rules(path, dry_run=True) as rules,
    ):
        await manager.publish("host/a", disk("a", 1))
        shown = {(action.rule, action.name, action.topic) for action in [await rules.receive() for _ in range(3)]}
        assert shown == {("DiskFull", "page", "alerts"), ("Loud", "", "alerts"), ("Quiet", "", "")}
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

    good = Program((EventType("Bare"),), (), (Rule("R", (Step("t", "Bare"),), actions=("go",)),))
    bad = Program((), (), (Rule("R", (Step("t", "Bare"),), (Clause(Constant(True)),)),))
    async with endpoint() as manager:
        with pytest.raises(broker.RuleError, match="Bare"):
            async with manager.rules(bad):
                pass
        with pytest.raises(TypeError, match="not int"):
            async with manager.rules(5):
                pass
        async with manager.rules(good) as rules:
            await manager.publish("x", broker.Event("Bare", ()))
            assert (await rules.receive()).event is None


async def test_leaving_publishes_what_was_made_and_ends_who_waits(written: Any) -> None:
    path = written(DISKS + 'DiskFull: [RulesDisk d] -> full to "alerts";')
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
    event RulesBeat { host: string };
    event RulesSilent { host: string };
    RulesSilent silent(RulesBeat b) := { host = b.host };
    HostSilent: [RulesBeat b, !RulesBeat n within 1m] per host -> silent(b) to "alerts";
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
            await agent.publish("host", broker.Event("RulesBeat", ("web-01",)))
            await trio.sleep(10)
        began = trio.current_time()
        assert (await alerts.receive()).event.args == ("web-01",)
        assert 50 <= trio.current_time() - began < 60
        assert (rules.figures().late, rules.figures().published) == (0, 1)


async def test_a_rule_is_explained_at_an_endpoint(written: Any) -> None:
    async with endpoint() as manager, manager.rules(written(TWO_FULL)) as rules:
        explained = rules.explain("Filled", disk("a", 0.95), disk("a", 0.5))
        assert [(clause.holds, clause.text) for clause in explained.clauses] == [
            (True, "a.used > 0.9"),
            (False, "b.used > 0.9"),
            (True, "per host"),
        ]
        with pytest.raises(KeyError, match="did you mean 'Filled'"):
            rules.explain("Filed", disk("a", 1))


def test_blocking_programs_have_rules_too(written: Any) -> None:
    path = written(DISKS + 'DiskFull: [RulesDisk d] -> full to "alerts" do page;')
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
