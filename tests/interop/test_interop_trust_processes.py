"""Keys in whole programs: threads, forks, the end of the interpreter; none hangs, and each lets in whom it should."""

from __future__ import annotations

import textwrap
import threading
from pathlib import Path

import pytest
import trio
from interop_members import LOOPBACK
from interop_programs import Sample, next_status
from interop_trust import CurvePeer, Realm, flow, pair
from processes import finished, started

import broker
from broker import SecretKey
from broker.net import security

# Far more than starting Python and ending it takes; a program that hangs takes for ever.
PROMPTLY_S = 15.0


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there")


def test_endpoints_in_several_threads_share_the_handler(realm: Realm) -> None:
    """Each thread has a loop of its own, and lets in whom its own rules trust."""
    errors: list[BaseException] = []
    before = threading.active_count()

    def run(number: int) -> None:
        folder = realm.folder / str(number)
        folder.mkdir()

        async def main() -> None:
            own = Realm(folder, "here", "there")
            async with pair(own) as (here, there), there.subscribe("x") as got:
                address = await here.listen(LOOPBACK)
                for key in (SecretKey.generate(), realm.keys["here"]):
                    async with own.endpoint("there", "there@2", keys=key, access=own.access()) as stranger:
                        with pytest.raises(broker.AuthenticationFailed):
                            await stranger.peer(address, key="here")
                await flow(here, got)

        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert [thread.name for thread in threading.enumerate()].count("broker-zap") == 1
    assert threading.active_count() <= before + 1


async def test_handshakes_are_judged_while_the_program_is_busy(realm: Realm) -> None:
    """During a storm of events a stranger is turned away and a friend is let in, without waiting for its end."""
    realm.keys["friend"] = SecretKey.generate()
    async with pair(realm) as (here, there), there.subscribe("x") as got, trio.open_nursery() as nursery:
        await here.subscribers("x")
        address = await here.listen(LOOPBACK)

        async def storm() -> None:
            number = 0
            while True:
                await here.publish("x", Sample("s", number, 0.0))
                number += 1

        async def read() -> None:
            async for _ in got:
                pass

        nursery.start_soon(storm)
        nursery.start_soon(read)
        for _ in range(3):
            with trio.fail_after(3):
                async with realm.endpoint("friend") as friend:
                    await friend.peer(address, key="here")
                async with here.status() as told:
                    with CurvePeer(address, SecretKey.generate(), realm.keys["here"].public):
                        await next_status(told, broker.PeerRefused)
        nursery.cancel_scope.cancel()


def test_a_judge_that_fails_turns_away_and_goes_on(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = security.Gate.judge
    fails = True

    def failing(gate: security.Gate, address: str, mechanism: bytes, credentials: list[bytes]) -> str | None:
        if fails:
            raise RuntimeError("a bug")
        return judge(gate, address, mechanism, credentials)

    monkeypatch.setattr(security.Gate, "judge", failing)

    async def main() -> None:
        nonlocal fails
        with trio.fail_after(10):
            async with realm.endpoint("here") as here, realm.endpoint("there") as there:
                address = await here.listen(LOOPBACK)
                with pytest.raises(broker.PeeringError):
                    await there.peer(address, key="here", timeout=0.3)
                fails = False
                await there.peer(address, key="here")

    trio.run(main)


SETTING = """
import os, sys, threading, trio, broker
here, there = broker.SecretKey.generate(), broker.SecretKey.generate()
all = broker.Rights(publish=("",), subscribe=("",))
access = broker.Access(trusted={name: broker.Trusted(keys=(key.public,), own=all)
                                for name, key in {"here": here, "there": there}.items()})

async def links(say=None):
    async with broker.Endpoint("here", keys=here, access=access) as one:
        address = await one.listen("tcp://127.0.0.1:0")
        async with broker.Endpoint("there", keys=there, access=access) as two:
            await two.peer(address, key="here")
            async with broker.Endpoint("there@2", keys=broker.SecretKey.generate(), access=access) as three:
                try:
                    await three.peer(address, key="here")
                except broker.AuthenticationFailed:
                    print("refused", flush=True)
            async with two.subscribe("x") as got:
                await one.subscribers("x")
                await one.publish("x", broker.Event("E"))
                print((await got.receive()).topic, flush=True)
            if say is not None:
                await say(one, two)
"""


def program(text: str) -> str:
    return SETTING + textwrap.dedent(text)


FORK = """
trio.run(links)
child = os.fork()
if not child:
    trio.run(links)
    sys.exit(0)
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status), flush=True)
trio.run(links)
"""


async def test_a_forked_process_has_a_handler_of_its_own(tmp_path: Path) -> None:
    with trio.fail_after(PROMPTLY_S):
        code, out, err = await finished("-c", program(FORK))
    assert (code, err) == (0, "")
    assert out.split("\n") == ["refused", "x", "refused", "x", "child 0", "refused", "x"]


ENDS = {
    "proper": ("trio.run(links)", 0),
    "exception": (
        """
        async def fail(one, two):
            raise LookupError("left open")
        trio.run(links, fail)
        """,
        1,
    ),
    "exit": (
        """
        async def leave(one, two):
            sys.exit(3)
        trio.run(links, leave)
        """,
        3,
    ),
    "never closed": (
        """
        async def abandon():
            endpoint = broker.Endpoint("here", keys=here, access=access)
            await endpoint.__aenter__()
            await endpoint.listen("tcp://127.0.0.1:0")
            print("refused\\nx", flush=True)
            os.write(1, b"")
            raise SystemExit(4)
        try:
            trio.run(abandon)
        except trio.TrioInternalError as error:
            sys.exit(4)
        """,
        4,
    ),
    "in another thread": (
        """
        thread = threading.Thread(target=trio.run, args=(links,))
        thread.start()
        thread.join()
        """,
        0,
    ),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_program_with_keys_ends_promptly(end: str) -> None:
    text, expected = ENDS[end]
    with trio.fail_after(PROMPTLY_S):
        code, out, err = await finished("-c", program(text))
    assert (code, out.split("\n")) == (expected, ["refused", "x"]), err
    assert ("LookupError: left open" in err) == (end == "exception")


async def test_a_program_with_keys_ends_promptly_at_ctrl_c() -> None:
    text = """
        async def wait(one, two):
            print("waiting", flush=True)
            await trio.sleep_forever()
        trio.run(links, wait)
        """
    with trio.fail_after(PROMPTLY_S):
        async with started("-c", program(text)) as running:
            await running.out.next_with("waiting")
            running.interrupt()
            assert await running.end() == -2
            assert "KeyboardInterrupt" in "\n".join(await running.err.rest())
