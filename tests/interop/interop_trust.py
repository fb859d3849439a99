"""Endpoints with keys, for tests: the keys of a few names, their files of access rules, and peers made by hand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import trio
import zmq
from interop_members import LOOPBACK
from interop_programs import Sample

import broker
from broker import Access, Endpoint, Rights, SecretKey, Trusted, keyring
from broker.net.sockets import context
from broker.protocol import frames
from broker.protocol.frames import HEADER_BYTES, Hello, Kind
from broker.trust.keys import PublicKey, curve_of
from broker.trust.rights import ALL
from broker.trust.toml import format_access

__all__ = ["BRISK", "CurvePeer", "Realm", "addresses", "flow", "linked", "pair", "strangers", "until"]

# Dials again at once, so that no test waits for the usual pauses.
BRISK: Final = broker.Timing(redial_first_s=0.02, redial_max_s=0.1)


class Realm:
    """Some names with a key each, which trust each other with everything, by a file of rules for each name."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.keys = {name: SecretKey.generate() for name in names}

    def access(
        self, *, expires: datetime | None = None, rights: dict[str, Rights] | None = None, **entries: dict[str, Any]
    ) -> Access:
        """Rules that trust all with everything, but for the ``rights`` and the fields of ``entries`` of some."""
        trusted = {}
        for name, key in self.keys.items():
            fields: dict[str, Any] = {"keys": (key.public,), "own": (rights or {}).get(name, ALL)}
            trusted[name] = Trusted(**fields | entries.get(name, {}))
        return Access(trusted=trusted, expires=expires)

    def path(self, name: str) -> Path:
        """Where the rules of a name are."""
        return self.folder / f"{name}.toml"

    def text(self, **changes: Any) -> str:
        """The same rules as :meth:`access` makes, as a text."""
        return format_access(self.access(**changes))

    def write(self, name: str, **changes: Any) -> Path:
        """Replace the rules of a name, by a rename."""
        keyring.write_access(self.path(name), self.text(**changes))
        return self.path(name)

    def key_path(self, name: str) -> Path:
        """The file of a name's key, written when it is first asked for."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            keyring.write_key(path, name, self.keys[name])
        return path

    def endpoint(self, name: str, called: str | None = None, **options: Any) -> Endpoint:
        """An endpoint with the key and the file of rules of a name."""
        if "access" not in options and not self.path(name).exists():
            self.write(name)
        usual: dict[str, Any] = {"keys": self.keys[name], "access": self.path(name), "timing": BRISK, "linger_s": 1.0}
        return Endpoint(called or name, **usual | options)


def addresses(folder: Path) -> dict[str, str]:
    """An address to listen on of each transport that can have keys."""
    return {"tcp": LOOPBACK, "ipc": f"ipc://{folder}/socket"}


async def linked(listener: Endpoint, dialler: Endpoint, name: str, address: str = LOOPBACK) -> str:
    """Link two endpoints; the listener is expected to have the key of that name in the dialler's rules."""
    bound = await listener.listen(address)
    await dialler.peer(bound, key=name)
    return bound


async def until(status: broker.StatusReader, wanted: Callable[[Any], bool]) -> Any:
    """Return the first status event that is wanted."""
    async for event in status:
        if wanted(event):
            return event
    raise AssertionError("status events do not end")


async def flow(source: Endpoint, messages: broker.Subscriber, topic: str = "x", number: int = 1) -> None:
    """Check that an event gets from an endpoint to a subscription."""
    await source.subscribers(topic)
    await source.publish(topic, Sample(source.name, number, 0.0))
    while (await messages.receive()).event.number != number:
        pass


class CurvePeer:
    """A DEALER made by hand, that has a key and speaks frames as far as one likes."""

    def __init__(self, address: str, key: SecretKey | None, server: PublicKey | None, identity: bytes = b"") -> None:
        self.socket = context().socket(zmq.DEALER)
        self.socket.linger = 0
        self.id = os.urandom(16)
        self.sequence = 0
        if key is not None:
            assert server is not None
            self.socket.set(zmq.CURVE_SERVERKEY, curve_of(server.raw))
            self.socket.set(zmq.CURVE_PUBLICKEY, curve_of(key.public.raw))
            self.socket.set(zmq.CURVE_SECRETKEY, key.curve)
        if identity:
            self.socket.set(zmq.ROUTING_ID, identity)
        self.socket.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connection."""
        self.socket.close(0)

    async def send(self, kind: int, payload: bytes = b"", *, flags: int = 0, ttl: int = 0) -> None:
        """Send the next frame of its session."""
        sequence = 0
        if kind >= Kind.SYNC:
            self.sequence += 1
            sequence = self.sequence
        self.socket.send(frames.pack_header(kind, flags, ttl, sequence, 0) + payload)
        await trio.lowlevel.checkpoint()

    async def hello(self, name: str, id_: bytes | None = None, session: bytes = b"") -> None:
        """Say who it is."""
        await self.send(Kind.HELLO, frames.encode_hello(Hello(name, id_ or self.id, session, 0)))

    async def next(self) -> tuple[int, bytes]:
        """The next frame that comes: its kind and what is behind its header."""
        while not self.socket.poll(0):  # noqa: ASYNC110 - its descriptor tells of edges only
            await trio.sleep(0.005)
        frame = self.socket.recv()
        return frames.unpack_header(frame).kind, frame[HEADER_BYTES:]

    async def answer(self, kind: Kind, form: type[msgspec.Struct]) -> Any:
        """The next frame of that kind, read."""
        while True:
            found, payload = await self.next()
            if found == kind:
                return frames.decode(form, payload)

    async def nothing(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        with trio.move_on_after(seconds):
            await self.next()
            return False
        return True


@contextmanager
def strangers(address: str, server: PublicKey, count: int) -> Iterator[None]:
    """So many peers with a key that nobody trusts; each tries to be let in once."""
    key = SecretKey.generate()
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(CurvePeer(address, key, server))
        yield


@asynccontextmanager
async def pair(realm: Realm, address: str = LOOPBACK, **options: Any) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Two endpoints of a realm, ``here`` and ``there``, linked: ``there`` has dialled."""
    with trio.fail_after(20):
        async with realm.endpoint("here", **options) as here, realm.endpoint("there", **options) as there:
            await linked(here, there, "here", address)
            yield here, there
