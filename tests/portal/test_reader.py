"""A run that comes from a handle which gives one thing at a time, read by several."""

from __future__ import annotations

import trio
import trio.testing

from broker.portal import Reader


class Source:
    """Gives what the test puts in."""

    def __init__(self) -> None:
        self.send, self._receive = trio.open_memory_channel[int](10)

    async def receive(self) -> int:
        return await self._receive.receive()

    def receive_nowait(self) -> int:
        return self._receive.receive_nowait()


async def test_who_waits_gets_of_a_run_that_another_does_not_read_to_its_end() -> None:
    source = Source()
    reader = Reader(source)
    taken: list[int] = []

    async def take_one() -> None:
        await reader.fill()
        taken.append(reader.run.popleft())

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take_one)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(3):
                source.send.send_nowait(number)
    assert taken == [0, 1, 2]


async def test_who_gives_up_lets_the_next_one_ask() -> None:
    source = Source()
    reader = Reader(source)
    given_up, scope = trio.Event(), trio.CancelScope()

    async def give_up() -> None:
        with scope:
            await reader.fill()
        given_up.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(reader.fill)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await given_up.wait()
            source.send.send_nowait(1)
    assert [*reader.run] == [1]
