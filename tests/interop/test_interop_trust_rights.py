"""Rights that are lacking, taken away and given while messages flow: what is refused is told at both ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from interop_programs import Sample, next_status
from interop_trust import Realm, pair, until

import broker
from broker import Endpoint, Rights, endpoint_life
from broker.logs import source

WATCH = Rights(subscribe=("",), publish=("allowed/",), relay=True)


@broker.log_record("interop.TrustLine")
class Line:
    number: int


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Have files looked at often, save where it is measured how long it takes."""
    if "second" not in request.node.name:
        monkeypatch.setattr(endpoint_life, "LOOK_S", 0.04)


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there")


def some(**rights: Any) -> dict[str, Rights]:
    """Rules by which ``there`` has some rights only."""
    return {"there": Rights(**({"publish": ("",), "subscribe": ("",)} | rights))}


async def in_force(told: broker.StatusReader) -> None:
    """Wait until other rules are."""
    await until(told, lambda status: isinstance(status, broker.AccessRules) and status.accepted)


async def refused_at_both(
    told: broker.StatusReader, told_there: broker.StatusReader, right: str, what: str
) -> tuple[broker.AccessRefused, broker.AccessRefused]:
    """Wait until both ends have told that ``here`` refuses ``there`` something; names of key, right and topic."""
    first = await next_status(told, broker.AccessRefused)
    assert (first.peer, first.key, first.right, first.what, first.refused_by) == ("there", "there", right, what, "here")
    other = await next_status(told_there, broker.AccessRefused)
    assert (other.peer, other.key, other.right, other.what, other.refused_by) == ("there", "there", right, what, "here")
    for text in ("there", *right.split(), what, "here"):
        assert text in str(first)
    return first, other


async def test_our_own_rules_are_asked_before_anything_leaves(realm: Realm) -> None:
    realm.write("there", rights=some(publish=("allowed/",), subscribe=("seen/",)))
    async with pair(realm) as (_, there):
        for wanted, right, what in (
            (lambda: there.publish("other/topic", Sample("s", 1, 0.0)), "publish", "other/topic"),
            (lambda: entered(there.subscribe("other/")), "subscribe", "other/"),
            (lambda: entered(there.master("store")), "store master", "store"),
            (lambda: entered(there.clone("store")), "store read", "store"),
            (lambda: entered(there.proxy("store")), "store read", "store"),
            (lambda: entered(there.log("stream", Line, path=realm.folder / "spool")), "log write", "stream"),
            (lambda: entered(there.collect("stream", name="c")), "log collect", "stream"),
        ):
            with pytest.raises(broker.NotPermitted) as caught:
                await wanted()  # type: ignore[no-untyped-call]
            assert (caught.value.key, caught.value.right, caught.value.what) == ("there", right, what)


async def test_what_rules_of_events_hear_and_publish_is_held_to_their_endpoints_rights(realm: Realm) -> None:
    """Their file is anybody's to write here."""
    realm.write("there", rights=some(publish=("allowed/", "seen/"), subscribe=("allowed/", "seen/")))
    path = realm.folder / "rules.ev"

    def write(heard: str) -> None:
        path.write_text(
            f"""event Seen {{ number: number }};
            event Made {{ number: number }};
            Made made(Seen s) := {{ number = s.number }};
            Allowed: [Seen] on "{heard}" -> made to "allowed/made";
            Refused: [Seen] on "{heard}" -> made to "other/made";"""
        )
        path.chmod(0o666)

    async with pair(realm) as (_, there), there.status() as told, there.subscribe("allowed/") as got:
        write("secret/")
        with pytest.raises(broker.NotPermitted, match="there has no right to subscribe 'secret/'"):
            await entered(there.rules(path))
        write("seen/")
        async with there.rules(path):
            await there.publish("seen/it", broker.Event("Seen", (1,)))
            failed = await next_status(told, broker.RuleFailed)
            assert failed.rule == "Refused"
            assert "there has no right to publish 'other/made'" in failed.reason
            assert (await got.receive()).topic == "allowed/made"


async def entered(handle: Any) -> None:
    async with handle:
        pass


# -- events ----------------------------------------------------------------------------------------------------------


async def test_an_event_that_its_publisher_may_not_publish_is_dropped_and_told_at_both_ends(realm: Realm) -> None:
    realm.write("here", rights=some(publish=("allowed/",)))
    async with (
        pair(realm) as (here, there),
        here.subscribe("") as got,
        here.status() as told,
        there.status() as told_there,
    ):
        await there.subscribers("other/topic")
        await there.publish("other/topic", Sample("s", 1, 0.0))
        await there.publish("allowed/topic", Sample("s", 2, 0.0))
        lost = await next_status(told, broker.MessagesLost)
        assert (lost.peer, lost.direction, lost.count, lost.topics) == ("there", "in", 1, ("other/topic",))
        await refused_at_both(told, told_there, "publish", "other/topic")
        assert (await got.receive()).event.number == 2
        lost = await next_status(told_there, broker.MessagesLost)
        assert (lost.peer, lost.direction, lost.count) == ("here", "out", 1)


async def test_ten_thousand_refusals_are_told_in_a_handful_of_words(realm: Realm) -> None:
    realm.write("here", rights=some(publish=("allowed/",)))
    async with (
        pair(realm) as (here, there),
        here.subscribe("") as got,
        here.status() as told,
        there.status() as told_there,
    ):
        await there.subscribers("other/topic")
        for number in range(10_000):
            await there.publish("other/topic", Sample("s", number, 0.0))
            if number % 100 == 0:
                await trio.sleep(0.005)  # over time, not in a few batches
        await there.publish("allowed/topic", Sample("s", 0, 0.0))
        assert (await got.receive()).topic == "allowed/topic"
        for reader in (told, told_there):
            counts: list[int] = []
            while sum(counts) < 10_000:
                counts.append((await next_status(reader, broker.AccessRefused)).count)
            assert sum(counts) == 10_000
            assert len(counts) <= 5


async def test_what_a_subscriber_may_not_have_does_not_leave_and_both_are_told(realm: Realm) -> None:
    realm.write("here", rights=some(subscribe=("seen/",)))
    async with (
        pair(realm) as (here, there),
        here.status() as told,
        there.status() as told_there,
        there.subscribe("") as got,
    ):
        await here.subscribers("seen/x")
        await here.publish("hidden/x", Sample("s", 1, 0.0))
        await here.publish("seen/x", Sample("s", 2, 0.0))
        message = await got.receive()
        assert (message.event.number, message.lost_before) == (2, 0)
        first = await next_status(told, broker.AccessRefused)
        assert (first.peer, first.key, first.right, first.refused_by) == ("there", "there", "subscribe", "here")
        other = await next_status(told_there, broker.AccessRefused)
        assert (other.peer, other.right, other.what, other.refused_by) == ("there", "subscribe", first.what, "here")


async def test_rights_to_events_are_taken_away_and_given_while_they_flow(realm: Realm) -> None:
    async with pair(realm) as (here, there), here.subscribe("x") as got, there.subscribe("y") as got_there:
        await there.subscribers("x")
        await here.subscribers("y")
        async with trio.open_nursery() as nursery, here.status() as told, there.status() as told_there:
            nursery.start_soon(publish_on_and_on, there, "x")
            nursery.start_soon(publish_on_and_on, here, "y")
            await got.receive()
            await got_there.receive()
            realm.write("here", rights=some(publish=("other/",), subscribe=("other/",)))
            await in_force(told)
            rights = {(await next_status(told, broker.AccessRefused)).right for _ in range(2)}
            assert rights == {"publish", "subscribe"}
            rights = {(await next_status(told_there, broker.AccessRefused)).right for _ in range(2)}
            assert rights == {"publish", "subscribe"}
            await drained(got)
            await drained(got_there)
            realm.write("here")
            await in_force(told)
            await got.receive()
            await got_there.receive()
            nursery.cancel_scope.cancel()


async def drained(got: broker.Subscriber) -> None:
    """Read until nothing comes any more."""
    while True:
        with trio.move_on_after(0.15) as scope:
            await got.receive()
        if scope.cancelled_caught:
            return


async def publish_on_and_on(endpoint: Endpoint, topic: str) -> None:
    number = 0
    while True:
        await endpoint.publish(topic, Sample(endpoint.name, number, 0.0))
        number += 1
        await trio.sleep(0.002)


# -- stores ----------------------------------------------------------------------------------------------------------


async def test_a_store_is_read_and_written_by_whom_its_master_lets(realm: Realm) -> None:
    realm.write("here", rights=some(stores={"readable": ("read",), "writable": ("write",)}))
    async with (
        pair(realm) as (here, there),
        here.status() as told,
        there.status() as told_there,
        here.master("readable") as readable,
        here.master("writable") as writable,
        here.master("neither"),
    ):
        await readable.put("k", 1)
        async with there.clone("readable") as clone:
            assert clone["k"] == 1
            with pytest.raises(
                broker.StoreNotPermitted, match="rules of here do not give you the right to write the store"
            ):
                await clone.put("k", 2)
            await refused_at_both(told, told_there, "store write", "readable")
        async with there.proxy("writable") as proxy:
            await proxy.put("k", 3)
            assert writable["k"] == 3
            with pytest.raises(
                broker.StoreNotPermitted, match="rules of here do not give you the right to read the store"
            ):
                await proxy.fetch("k")
            await refused_at_both(told, told_there, "store read", "writable")
        async with there.clone("neither", timeout=0.1) as nothing:
            await refused_at_both(told, told_there, "store read", "neither")
            with pytest.raises(broker.StaleData, match="the clone has nothing yet"):
                dict(nothing)
        assert (readable["k"], writable["k"]) == (1, 3)


async def test_rights_to_a_store_are_taken_away_and_given_while_it_is_written(realm: Realm) -> None:
    async with pair(realm) as (here, there), here.master("hosts") as master, there.clone("hosts") as clone:
        await clone.put("n", 0)
        async with here.status() as told, there.status() as told_there:
            realm.write("here", rights=some(stores={"hosts": ("read",)}))
            with pytest.raises(broker.StoreNotPermitted):
                await increment_on_and_on(clone)
            await refused_at_both(told, told_there, "store write", "hosts")
            counted = master["n"]
            assert counted > 0
            realm.write("here")
            await in_force(told)
            assert (await clone.increment("n")).value == counted + 1
            realm.write("here", rights=some())
            await in_force(told)
            await master.put("secret", 1)
            await until(told_there, lambda s: isinstance(s, broker.AccessRefused) and s.right == "store read")
            assert "secret" not in clone


async def increment_on_and_on(clone: broker.StoreClone) -> None:
    while True:
        await clone.increment("n")


# -- log streams -----------------------------------------------------------------------------------------------------


async def test_a_stream_is_collected_by_whom_its_writer_lets(realm: Realm) -> None:
    realm.write("here", rights=some(logs={"open": ("collect",)}))
    async with (
        pair(realm) as (here, there),
        here.status() as told,
        there.status() as told_there,
        here.log("open", Line, path=realm.folder / "open") as open_log,
        here.log("closed", Line, path=realm.folder / "closed") as closed_log,
    ):
        await open_log.write(Line(1))
        await closed_log.write(Line(2))
        async with there.collect("open", name="c") as records, there.collect("closed", name="c") as nothing:
            assert (await records.receive()).record.number == 1
            refused = await next_status(told_there, broker.CollectorRefused)
            assert (refused.stream, refused.writer) == ("closed", "here")
            assert "do not give its key the right to collect" in refused.reason
            await until(told, lambda s: isinstance(s, broker.AccessRefused) and s.right == "log collect")
            with trio.move_on_after(0.05):
                raise AssertionError(f"it came: {await nothing.receive()}")


async def test_the_right_to_collect_is_taken_away_and_given_while_records_flow(
    realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_REFUSED_S", 0.3)  # how often who is refused asks again
    async with (
        pair(realm) as (here, there),
        here.log("conn", Line, path=realm.folder / "conn") as log,
        there.collect("conn", Line, name="c") as records,
        there.status() as told_there,
        here.status() as told,
    ):
        await log.write(Line(1))
        assert (await records.receive()).record.number == 1
        realm.write("here", rights=some())
        refused = await next_status(told_there, broker.CollectorRefused)
        assert refused.writer == "here"
        await log.write(Line(2))
        with trio.move_on_after(0.1):
            raise AssertionError(f"it came: {await records.receive()}")
        realm.write("here")
        await in_force(told)
        assert (await records.receive()).record.number == 2  # nothing is lost, it waited
