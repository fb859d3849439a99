"""What in a configuration does not go together, though each value of it makes sense."""

from __future__ import annotations

from collections.abc import Iterator

from broker.config.model import Config, Listen, Peer
from broker.figures import REPORT_S_MIN
from broker.net.address import parse_address
from broker.toml.reading import Path

__all__ = ["contradictions"]

_NO_KEYS = 'write keys = "NAME" in [security] (see broker keys), or insecure = true'


def contradictions(config: Config) -> Iterator[tuple[Path, str]]:
    """Give what does not go together, and where."""
    yield from _of_security(config)
    every_s = config.endpoint.report_every
    if every_s is not None and every_s < REPORT_S_MIN:
        yield ("endpoint", "report_every"), f"reports are made every {REPORT_S_MIN:g} s at most"
    for index, listened in enumerate(config.listen):
        yield from _of_address(config, ("listen", index), listened)
        if any(listened.address == other.address for other in config.listen[:index]) and not _any_port(listened):
            yield ("listen", index), f"{listened.address} is listened on already"
    for index, peer in enumerate(config.peer):
        yield from _of_address(config, ("peer", index), peer)
        if any(peer.address == other.address for other in config.peer[:index]):
            yield ("peer", index), f"{peer.address} is dialled already"
        if peer.key is not None and config.security.keys is None:
            yield ("peer", index, "key"), "a peer's key is for who has keys: write keys in [security], too"
    yield from _of_stores(config)
    yield from _of_collectors(config)


def _of_security(config: Config) -> Iterator[tuple[Path, str]]:
    if config.security.keys is None and config.security.access is not None:
        yield ("security", "access"), "access rules need keys, by which others are known: write keys, too"
    if config.security.keys is not None and config.security.insecure:
        yield ("security", "insecure"), "with keys all is encrypted: leave insecure out"


def _of_address(config: Config, path: Path, given: Listen | Peer) -> Iterator[tuple[Path, str]]:
    address = parse_address(given.address, to_dial=type(given) is Peer)
    if config.security.keys is None:
        insecure = config.security.insecure if given.insecure is None else given.insecure
        # As a host "lo" is whatever the resolver makes of it; as what to listen on it is the interface.
        stays = address.is_of_this_machine and not (type(given) is Peer and address.host == "lo")
        if not (insecure or stays):
            yield path, f"{given.address} leads to other machines, and there are no keys: {_NO_KEYS}"
    elif given.insecure:
        yield (*path, "insecure"), "with keys all is encrypted: leave insecure out"
    elif address.transport == "inproc":
        yield path, "keys cannot be shown over inproc: use ipc://PATH or tcp://127.0.0.1:PORT"


def _any_port(listened: Listen) -> bool:
    address = parse_address(listened.address, to_dial=False)
    return address.transport == "tcp" and not address.port


def _of_stores(config: Config) -> Iterator[tuple[Path, str]]:
    paths: dict[str, str] = {}
    for name, store in config.stores.items():
        if store.path is not None and store.path in paths:
            yield ("stores", name, "path"), f"the store {paths[store.path]!r} has that file"
        elif store.path is not None:
            paths[store.path] = name
        if store.limit_bytes is not None and store.role == "clone":
            yield ("stores", name, "limit_bytes"), "that is for masters: a clone is as large as its master"
        elif store.limit_bytes is not None and store.limit_bytes < 1 << 20:
            yield ("stores", name, "limit_bytes"), "at least 1 MiB is needed"
        if store.stale_after is not None and store.role == "master":
            yield ("stores", name, "stale_after"), "that is for clones: a master is never stale"


def _of_collectors(config: Config) -> Iterator[tuple[Path, str]]:
    files: set[tuple[str, str, str]] = set()
    for index, collect in enumerate(config.collect):
        path: Path = ("collect", index)
        if (collect.directory, collect.stream, collect.format) in files:
            yield (*path, "directory"), f"another collector writes files of {collect.stream!r} there"
        files.add((collect.directory, collect.stream, collect.format))
        if collect.rotate_bytes == 0:
            yield (*path, "rotate_bytes"), "at least 1 byte is expected"
        if collect.format == "parquet":
            if collect.rotate_bytes is None and collect.rotate_s is None:
                yield path, "Parquet files count only when they are finished: write rotate_bytes or rotate_s"
            if collect.compress is not None:
                yield (*path, "compress"), "Parquet files are compressed inside: leave compress out"
