"""The peers: how each is versioned, what it needs, and how its server is started.

A module a peer holds its roles, which run in measured processes.  Each role takes a
:class:`benchmarks.child.Channel` and the address to use:

``publish``    tells its ``address``; for each order publishes that many events and tells when it ``started`` and when
               its loop was through (``published``), in monotonic seconds
``subscribe``  tells that it is ``ready``; for each order tells that it is ``armed``, receives that many events, and
               tells ``[first, last]``, the monotonic times of ``received``
``echo``       tells its ``address`` and sends back whatever comes
``ping``       for each order does that many round trips and tells their ``seconds``
``write``      tells its ``address``; for each order puts that many entries of a store on disk, each acknowledged when
               it is synced, and tells the ``seconds`` that took
``log``        tells its ``address``; for each order writes that many log records, and tells when it ``started`` and
               when it had ``finished``: ``[written, collected]``, all acknowledged to it as written, and by the
               collector (a peer's writer does not learn of that: both are the same)
``collect``    tells that it is ``ready``; for each order tells that it is ``armed``, receives and acknowledges that
               many records, and tells when all were ``acknowledged``; then, where asked for, what their ``lags`` were
``replay``     tells that it is ``ready``; for each order reads so many records under a new name, and tells the
               ``seconds`` that took

This package imports none of the peers' libraries: only their own processes do.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import attrs

from benchmarks.disks import directory_on_disk
from benchmarks.processes import free_port, server

__all__ = [
    "ETCD",
    "JETSTREAM",
    "JETSTREAM_SYNCED",
    "NATS",
    "OURS",
    "OURS_AIO",
    "OURS_BLOCKING",
    "OURS_LOGS",
    "OURS_STORES",
    "PYZMQ",
    "REDIS",
    "REDIS_DURABLE",
    "REDIS_STREAMS",
    "REDIS_STREAMS_BUFFERED",
    "Side",
    "Server",
]


@attrs.frozen
class Server:
    """A peer's server: its program, where to get it, its arguments for a port and a directory."""

    program: str
    package: str
    scheme: str
    arguments: Callable[[int, Path], list[str]]
    # The first version that has what the arguments ask for.
    least: tuple[int, ...] = ()

    def missing(self) -> str | None:
        """Tell why the program cannot be used and how to get it; None when it can."""
        if shutil.which(self.program) is None:
            return f"{self.program} is not installed: apt install {self.package} (Debian)"
        if self.least and tuple(map(int, self.version().split(".")[:2])) < self.least:
            least = ".".join(map(str, self.least))
            return f"{self.program} {self.version()} cannot do this: put {least} or newer first on PATH"
        return None

    def version(self) -> str:
        """Return what the program says of its version."""
        said = subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
        words = said.replace("v=", "v").split()
        return next(word.removeprefix("v") for word in words if word.removeprefix("v")[:1].isdigit())


@attrs.frozen
class Side:
    """One library that is measured, ours or a peer."""

    name: str
    module: str
    distributions: tuple[str, ...]
    server: Server | None = None
    # Used where it is installed; the version says so either way.
    optional: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Tell what is not installed and how to get it; None when the side can run."""
        reasons = []
        for distribution in self.distributions:
            try:
                metadata.version(distribution)
            except metadata.PackageNotFoundError:
                reasons.append(f"{distribution} is not installed: pip install {distribution}")
        if self.server is not None and (why := self.server.missing()) is not None:
            reasons.append(why)
        return "; ".join(reasons) or None

    def version(self) -> str:
        """Return the versions of the library, of what it is used with, and of its server."""
        parts = [_version_if_any(name) for name in self.optional]
        parts += [f"{name} {metadata.version(name)}" for name in self.distributions]
        if self.server is not None:
            parts.append(f"{self.server.program} {self.server.version()}")
        return ", ".join(parts)

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """Run the side's server in a temporary directory; give its address, or one to bind where there is none."""
        if self.server is None:
            yield "tcp://127.0.0.1:0"
            return
        port = free_port()
        with directory_on_disk() as directory:
            command = [self.server.program, *self.server.arguments(port, directory)]
            with server(command, port):
                yield f"{self.server.scheme}://127.0.0.1:{port}"


def _version_if_any(distribution: str) -> str:
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f"{distribution} not installed"


def _nats_arguments(port: int, directory: Path) -> list[str]:
    # max_pending: by default the server cuts a subscriber that lags by 64 MB, which would end a run.
    settings = directory / "nats.conf"
    settings.write_text("max_pending: 1GB\n")
    return ["--addr", "127.0.0.1", "--port", str(port), "--config", str(settings), "--log", str(directory / "nats.log")]


def _jetstream_arguments(port: int, directory: Path, sync: str = "") -> list[str]:
    settings = directory / "nats.conf"
    settings.write_text(f'jetstream {{ store_dir: "{directory}/streams"{sync} }}\n')
    return ["--addr", "127.0.0.1", "--port", str(port), "--config", str(settings), "--log", str(directory / "nats.log")]


def _jetstream_synced_arguments(port: int, directory: Path) -> list[str]:
    # By default it syncs every two minutes; so it syncs before it acknowledges.
    return _jetstream_arguments(port, directory, ", sync_interval: always")


def _redis_arguments(port: int, directory: Path) -> list[str]:
    # No persistence; and, as above, a subscriber that lags is not cut.
    listen = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
    return [*listen, "--save", "", "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0"]


def _redis_durable_arguments(port: int, directory: Path) -> list[str]:
    # Every pipeline is synced before it is answered; nothing else is written meanwhile.
    listen = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--save", ""]
    return [*listen, "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]


def _redis_buffered_arguments(port: int, directory: Path) -> list[str]:
    return [*_redis_durable_arguments(port, directory), "--appendfsync", "everysec"]


def _etcd_arguments(port: int, directory: Path) -> list[str]:
    url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    listen = ["--listen-client-urls", url, "--advertise-client-urls", url]
    alone = ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    alone += ["--initial-cluster", f"default={peers}"]
    quiet = ["--logger", "zap", "--log-outputs", str(directory / "etcd.log"), "--log-level", "warn"]
    return [*listen, *alone, *quiet, "--data-dir", str(directory / "data")]


OURS = Side("ours", "benchmarks.ours", ("pyzmq", "trio", "msgpack"), optional=("broker-mesh", "msgspec"))
OURS_BLOCKING = Side("blocking", "benchmarks.ours_blocking", ("pyzmq", "trio", "msgpack"), optional=OURS.optional)
OURS_AIO = Side("asyncio", "benchmarks.ours_aio", ("pyzmq", "trio", "msgpack"), optional=OURS.optional)
OURS_STORES = Side(
    "ours", "benchmarks.stores", ("lmdb", "pyzmq", "trio", "msgpack"), optional=("broker-mesh", "msgspec")
)
PYZMQ = Side("pyzmq", "benchmarks.peers.pyzmq", ("pyzmq", "msgpack"))
NATS = Side(
    "nats",
    "benchmarks.peers.nats",
    ("nats-py", "msgpack"),
    Server("nats-server", "nats-server", "nats", _nats_arguments),
)
REDIS = Side(
    "redis",
    "benchmarks.peers.redis",
    ("redis", "msgpack"),
    Server("redis-server", "redis-server", "redis", _redis_arguments),
    optional=("hiredis",),
)
REDIS_DURABLE = Side(
    "redis",
    "benchmarks.peers.redis",
    ("redis",),
    Server("redis-server", "redis-server", "redis", _redis_durable_arguments),
    optional=("hiredis",),
)
OURS_LOGS = Side("ours", "benchmarks.logs", ("lmdb", "pyzmq", "trio", "msgpack"), optional=("broker-mesh", "msgspec"))
JETSTREAM = Side(
    "jetstream",
    "benchmarks.peers.jetstream",
    ("nats-py", "msgpack"),
    Server("nats-server", "nats-server", "nats", _jetstream_arguments),
)
JETSTREAM_SYNCED = Side(
    "jetstream, synced",
    "benchmarks.peers.jetstream",
    ("nats-py", "msgpack"),
    Server("nats-server", "nats-server", "nats", _jetstream_synced_arguments, least=(2, 10)),
)
REDIS_STREAMS = Side(
    "redis",
    "benchmarks.peers.redis_streams",
    ("redis", "msgpack"),
    Server("redis-server", "redis-server", "redis", _redis_durable_arguments),
    optional=("hiredis",),
)
REDIS_STREAMS_BUFFERED = Side(
    "redis",
    "benchmarks.peers.redis_streams",
    ("redis", "msgpack"),
    Server("redis-server", "redis-server", "redis", _redis_buffered_arguments),
    optional=("hiredis",),
)
ETCD = Side("etcd", "benchmarks.peers.etcd", ("grpcio",), Server("etcd", "etcd-server", "http", _etcd_arguments))
