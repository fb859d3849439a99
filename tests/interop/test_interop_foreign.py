"""Strangers and hindrances: each gives its own clear error or status event, and the endpoint goes on."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
import zmq
from interop_programs import Sample, free_of_sockets, next_status

import broker
import broker.net.sockets
from broker import Endpoint
from broker.protocol import frames
from broker.protocol.frames import Kind


@asynccontextmanager
async def tcp_server(handle: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve a port of this machine; yields its address."""
    async with trio.open_nursery() as nursery:
        (listener, *_) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        assert isinstance(listener, trio.SocketListener)

        async def careless(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                await handle(stream)

        nursery.start_soon(trio.serve_listeners, careless, [listener])
        yield f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def closing(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def garbage(stream: trio.SocketStream) -> None:
    await stream.send_all(bytes(range(256)) * 20)
    await trio.sleep_forever()


async def http(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await stream.aclose()


async def still_works(endpoint: Endpoint) -> None:
    """Check that the endpoint links with a good peer and that events flow both ways."""
    async with Endpoint("good") as good, good.subscribe("x") as there, endpoint.subscribe("x") as here:
        await good.peer(await endpoint.listen("tcp://127.0.0.1:0"))
        await good.publish("x", Sample("good", 1, 0.0))
        await endpoint.publish("x", Sample("here", 2, 0.0))
        for messages in (here, there):
            assert {(await messages.receive()).event.number for _ in range(2)} == {1, 2}


@pytest.mark.parametrize(
    ("handle", "why"),
    [
        (silent, r"did not answer the handshake within \S+ s: is it an endpoint\?"),
        (closing, r"closed the connection without a word"),
        (garbage, r"closed|ZeroMQ"),
        (http, r"word of ZeroMQ|does not speak ZeroMQ"),
    ],
    ids=["silent", "closing", "garbage", "http"],
)
async def test_what_is_no_endpoint_is_unavailable_and_the_error_says_why(
    handle: Callable[[trio.SocketStream], Awaitable[None]], why: str
) -> None:
    timing = broker.Timing(handshake_s=0.4)
    with trio.fail_after(20):
        async with Endpoint("here", timing=timing) as endpoint, tcp_server(handle) as address:
            with pytest.raises(broker.PeerUnavailable, match=why) as caught:
                await endpoint.peer(address, timeout=1.0)
            assert caught.value.address == address
            assert endpoint.peers() == ()
            await still_works(endpoint)


async def test_a_port_where_nobody_listens_is_refused_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        async with Endpoint("here") as endpoint:
            with pytest.raises(broker.PeerUnavailable, match=r"connection refused.*attempts"):
                await endpoint.peer(address, timeout=0.5)
            await still_works(endpoint)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "x..y"])
async def test_a_host_that_does_not_resolve_is_named(host: str) -> None:
    with trio.fail_after(30):
        async with Endpoint("here") as endpoint:
            with pytest.raises(broker.PeeringError, match=host[:60]):
                await endpoint.peer(f"tcp://{host}:4040", timeout=1.0, insecure=True)
            await still_works(endpoint)


async def test_a_port_in_use_is_a_listen_error_that_says_so() -> None:
    async with Endpoint("one") as one, Endpoint("two") as two:
        address = await one.listen("tcp://127.0.0.1:0")
        for endpoint in (one, two):
            with pytest.raises(broker.ListenError, match="is in use"):
                await endpoint.listen(address)
        await still_works(two)


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:0", "ipc:///nowhere/at/all/socket"])
async def test_an_address_that_is_not_ours_is_a_listen_error(address: str) -> None:
    async with Endpoint("one") as one:
        with pytest.raises(broker.ListenError) as caught:
            await one.listen(address, insecure=address.startswith("tcp"))
        assert isinstance(caught.value, OSError)
        assert caught.value.errno
        await still_works(one)


@pytest.mark.parametrize(
    "address",
    ["", "host:1", "tcp://", "tcp://host", "tcp://host:port", "tcp://h:65536", "tcp://::1:80", "udp://h:1", "ipc://",
     "inproc://", "ipc://" + "x" * 108, "tcp://a b:1", None, 3],
)  # fmt: skip
async def test_what_is_no_address_is_an_address_error(address: str) -> None:
    async with Endpoint("one") as one:
        with pytest.raises(broker.AddressError):
            await one.listen(address)
        with pytest.raises(broker.AddressError):
            await one.peer(address)


async def test_what_can_only_be_listened_on_is_not_dialled() -> None:
    async with Endpoint("one") as one:
        for address in ("tcp://*:4040", "tcp://127.0.0.1:0"):
            with pytest.raises(broker.AddressError, match="can be listened on, but not dialled"):
                await one.peer(address)


async def test_our_own_address_is_refused_at_once() -> None:
    with trio.fail_after(3):
        async with Endpoint("one") as one:
            address = await one.listen("tcp://127.0.0.1:0")
            with pytest.raises(broker.DuplicateName, match="your own address"):
                await one.peer(address, timeout=60)


async def test_a_name_that_is_taken_is_refused() -> None:
    async with Endpoint("one") as one, Endpoint("two") as two, Endpoint("two") as impostor:
        address = await one.listen("tcp://127.0.0.1:0")
        await two.peer(address)
        with pytest.raises(broker.DuplicateName, match="another endpoint called 'two' is linked to one"):
            await impostor.peer(address, timeout=0.5)
        assert [peer.name for peer in one.peers()] == ["two"]


async def test_another_version_is_refused_at_once_by_name() -> None:
    with trio.fail_after(5):
        async with Endpoint("one") as one, one.status() as changes:
            address = await one.listen("tcp://127.0.0.1:0")
            with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
                dealer.connect(address)
                dealer.send(frames.pack_header(Kind.HELLO, 0, 0, 0, 0) + b"BRKR\x07\x09whatever")
                refused = await next_status(changes, broker.PeerRefused)
                assert refused.code == "version"
                answer = await trio.to_thread.run_sync(dealer.recv)
                refusal = frames.decode(frames.Refusal, answer[frames.HEADER_BYTES :])
                assert (refusal.code, "update the older one" in refusal.text) == ("version", True)


GARBAGE: list[list[bytes]] = [
    [b""],
    [b"\0"],
    [b"GET / HTTP/1.1"],
    [os.urandom(5000)],
    [b"", b""],
    [b"one", b"two", b"three"],
    [frames.pack_header(Kind.EVENTS, 0, 0, 1, 0)],
    [frames.pack_header(Kind.HELLO, 0, 0, 0, 0) + b"BRKR\x01\x01\xc1"],
]


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ, zmq.PUB])
async def test_a_stranger_that_speaks_zeromq_is_refused_and_told_of(kind: int) -> None:
    with trio.fail_after(20):
        async with Endpoint("one") as one, one.status() as changes:
            address = await one.listen("tcp://127.0.0.1:0")
            with zmq.Context() as context:
                for parts in GARBAGE:
                    with context.socket(kind) as stranger:
                        stranger.linger = 1000
                        stranger.connect(address)
                        if kind == zmq.DEALER:
                            stranger.send_multipart(parts)
                            refused = await next_status(changes, broker.PeerRefused)
                            assert refused.code == "protocol"
            await still_works(one)


async def test_strangers_that_are_refused_or_say_nothing_are_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.net.sockets, "_HANDSHAKE_MS", 200)
    with trio.fail_after(20), zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.set(zmq.RECONNECT_IVL, -1)
        async with Endpoint("one") as one, AsyncExitStack() as stack:
            address = await one.listen("tcp://127.0.0.1:0")
            host, port = address.removeprefix("tcp://").split(":")
            with stranger.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
                before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
                silent = [
                    await stack.enter_async_context(await trio.open_tcp_stream(host, int(port))) for _ in range(20)
                ]
                stranger.connect(address)
                stranger.send(b"no sense")
                assert await trio.to_thread.run_sync(monitor.recv_multipart)
                for stream in silent:
                    while await stream.receive_some():  # ZeroMQ's greeting, then the end
                        pass
                    await stream.aclose()
                await free_of_sockets(before)
            await still_works(one)


async def test_a_listener_that_speaks_zeromq_but_no_sense_is_unavailable() -> None:
    with trio.fail_after(20), zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        async with Endpoint("one") as one, one.status() as changes, trio.open_nursery() as nursery:

            async def dial() -> None:
                with pytest.raises(broker.PeerUnavailable, match="broke the protocol"):
                    await one.peer(f"tcp://127.0.0.1:{port}", timeout=1.0)

            nursery.start_soon(dial)
            identity, _ = await trio.to_thread.run_sync(router.recv_multipart)
            router.send_multipart([identity, *GARBAGE[5]])
            failed = await next_status(changes, broker.PeeringFailed)
            assert failed.code == "protocol"
        async with Endpoint("two") as two:
            await still_works(two)


async def test_a_peer_can_wait_for_a_listener_that_starts_later() -> None:
    with trio.fail_after(20), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        async with Endpoint("early") as early, early.status() as changes, Endpoint("late") as late:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: early.peer(address, timeout=15))
                await next_status(changes, broker.PeeringFailed)
                taken.close()
                started = time.perf_counter()
                await late.listen(address)
            assert [peer.name for peer in early.peers()] == ["late"]
            assert time.perf_counter() - started < 5
