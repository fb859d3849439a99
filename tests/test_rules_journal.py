"""Rules with a journal: what is there after they were left, cancelled, killed, and while the disk fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trio
from rules_endpoints import DISKS, TWO_FULL, disk, endpoint, told

import broker
from broker.testing import SimulatedNetwork


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "alerts.ev"
        path.write_text(text)
        return path

    return write


async def test_with_a_journal_rules_go_on_where_they_were(written: Any, tmp_path: Path) -> None:
    path, journal = written(TWO_FULL), tmp_path / "alerts.rules"
    async with endpoint() as manager:
        async with manager.rules(path, path=journal) as rules:
            await manager.publish("host/a", disk("a", 0.95))
            while rules.figures().received < 1:
                await trio.lowlevel.checkpoint()
        path.write_text(TWO_FULL + 'Other: [RulesDisk d : d.used > 5] -> full to "alerts";')
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
    path, journal = written(DISKS + "DiskFull: [RulesDisk d] -> full do page;"), tmp_path / "alerts.rules"
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
    path = written(DISKS + 'DiskFull: [RulesDisk d] -> full to "alerts";')
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


async def test_what_had_not_arrived_when_the_program_died_is_published_again_and_what_had_is_not(
    written: Any, tmp_path: Path
) -> None:
    path, journal = written(DISKS + 'DiskFull: [RulesDisk d] -> full to "alerts";'), tmp_path / "alerts.rules"
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
