"""The proxy that other tests rely on does to plain sockets what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from tcp_proxy import How, Proxy, proxy_to


class Pair:
    """Both ends of connections through a proxy."""

    def __init__(self, proxy: Proxy, accepted: trio.MemoryReceiveChannel[trio.SocketStream]) -> None:
        self.proxy = proxy
        self._accepted = accepted

    async def connect(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        opened = self.proxy.opened
        dialler = await trio.open_tcp_stream("127.0.0.1", self.proxy.port)
        listener = await self._accepted.receive()
        await self.proxy.until(lambda: self.proxy.opened > opened)
        return dialler, listener


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with opened_pair() as pair:
        yield pair


@asynccontextmanager
async def opened_pair() -> AsyncIterator[Pair]:
    send, receive = trio.open_memory_channel[trio.SocketStream](100)
    (listener, *_) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    assert isinstance(listener, trio.SocketListener)
    with trio.fail_after(20):
        async with (
            listener,
            proxy_to(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}") as proxy,
            trio.open_nursery() as nursery,
        ):

            async def accept() -> None:
                while True:
                    send.send_nowait(await listener.accept())

            nursery.start_soon(accept)
            yield Pair(proxy, receive)
            nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        some = await stream.receive_some(min(size - len(data), 1 << 20))
        assert some, f"ended after {len(data)} bytes"
        data += some
    return bytes(data)


async def test_bytes_pass_both_ways_and_are_counted_and_an_end_is_passed_on(pair: Pair) -> None:
    dialler, listener = await pair.connect()
    async with dialler, listener:
        await dialler.send_all(b"a" * 100_000)
        assert await receive_exactly(listener, 100_000) == b"a" * 100_000
        await listener.send_all(b"b" * 3)
        assert await receive_exactly(dialler, 3) == b"bbb"
        await pair.proxy.until(lambda: pair.proxy.passed == {"up": 100_000, "down": 3})
        await dialler.send_eof()
        assert await listener.receive_some() == b""
        await listener.send_all(b"still")
        assert await receive_exactly(dialler, 5) == b"still"
        await listener.aclose()
        assert await dialler.receive_some() == b""
        await pair.proxy.until(lambda: pair.proxy.connections == 0)


async def test_a_delay_costs_time_and_no_bandwidth(pair: Pair) -> None:
    pair.proxy.delay_s = 0.2
    dialler, listener = await pair.connect()
    async with dialler, listener, trio.open_nursery() as nursery:
        started = trio.current_time()
        nursery.start_soon(dialler.send_all, b"x" * 500_000)
        await receive_exactly(listener, 500_000)
        # Thirty chunks one after the other would take six seconds.
        assert 0.2 <= trio.current_time() - started < 3.0


async def test_a_bandwidth_is_shared_by_all_connections(pair: Pair) -> None:
    pair.proxy.bytes_per_s = 400_000
    started = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def transfer() -> None:
            dialler, listener = await pair.connect()
            async with dialler, listener:
                await dialler.send_all(b"x" * 50_000)
                await receive_exactly(listener, 50_000)

        nursery.start_soon(transfer)
        nursery.start_soon(transfer)
    assert trio.current_time() - started >= 0.25


async def test_a_stall_one_way_holds_that_way_alone_and_loses_nothing(pair: Pair) -> None:
    dialler, listener = await pair.connect()
    pair.proxy.stall("up")
    async with dialler, listener:
        await dialler.send_all(b"held")
        await listener.send_all(b"through")
        assert await receive_exactly(dialler, 7) == b"through"
        late_dialler, late_listener = await pair.connect()  # connections can be made, and are held too
        async with late_dialler, late_listener:
            await late_dialler.send_all(b"late")
            assert pair.proxy.passed["up"] == 0
            pair.proxy.flow()
            assert await receive_exactly(listener, 4) == b"held"
            assert await receive_exactly(late_listener, 4) == b"late"


async def test_a_stall_holds_back_the_sender_in_the_end(pair: Pair) -> None:
    dialler, listener = await pair.connect()
    pair.proxy.stall()
    async with dialler, listener, trio.open_nursery() as nursery:
        nursery.start_soon(dialler.send_all, b"x" * (16 << 20))
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert pair.proxy.passed == {"up": 0, "down": 0}
        pair.proxy.flow()
        await receive_exactly(listener, 16 << 20)


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_a_planned_cut_comes_after_exactly_so_many_bytes(pair: Pair, how: How) -> None:
    pair.proxy.plan([(10, how), (100_000, how)])
    for size in (10, 100_000):
        dialler, listener = await pair.connect()
        async with dialler, listener:
            await dialler.send_all(b"x" * (size + 7))
            if how == "fin":
                assert await receive_exactly(listener, size)
                for end in (dialler, listener):
                    assert await end.receive_some() == b""
            else:
                for end in (dialler, listener):
                    with pytest.raises(trio.BrokenResourceError):
                        await receive_exactly(end, size + 1)
        await pair.proxy.until(lambda: pair.proxy.connections == 0)
        assert pair.proxy.passed["up"] in {10, 100_010}
    assert (pair.proxy.cuts, pair.proxy.planned) == (2, 0)


async def test_half_open_connections_are_silent_for_good_and_new_ones_work(pair: Pair) -> None:
    dialler, listener = await pair.connect()
    async with dialler, listener:
        pair.proxy.half_open()
        await dialler.send_all(b"into the void")
        new_dialler, new_listener = await pair.connect()
        async with new_dialler, new_listener:
            await new_dialler.send_all(b"new")
            assert await receive_exactly(new_listener, 3) == b"new"
        await dialler.aclose()
        with trio.move_on_after(0.1) as patience:
            await listener.receive_some()
        assert patience.cancelled_caught
        assert pair.proxy.passed["up"] == 3
        pair.proxy.cut("rst")  # forgotten connections can still be cut
        with pytest.raises(trio.BrokenResourceError):
            await listener.receive_some()


async def test_refused_is_refused_and_the_same_port_can_be_opened_again(pair: Pair) -> None:
    pair.proxy.refuse()
    with pytest.raises(OSError, match=r"connect|refused"):
        await trio.open_tcp_stream("127.0.0.1", pair.proxy.port)
    await pair.proxy.admit()
    dialler, listener = await pair.connect()
    await dialler.aclose()
    await listener.aclose()
    assert pair.proxy.opened == 1


async def test_a_dialler_of_a_dead_target_is_reset() -> None:
    (listener, *_) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    assert isinstance(listener, trio.SocketListener)
    address = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
    await listener.aclose()
    with trio.fail_after(10):
        async with proxy_to(address) as proxy, await trio.open_tcp_stream("127.0.0.1", proxy.port) as dialler:
            with pytest.raises(trio.BrokenResourceError):
                await dialler.receive_some()
            assert proxy.opened == 0
