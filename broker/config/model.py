"""What a configuration can say: a frozen class for each table, whose fields are the keys that it may have.

Fields are called as the arguments in Python are, so that one docstring tells of both; what is not said has the same
default.  An annotation names the :mod:`kind <broker.config.kinds>` by which a value is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Struct

from broker.config.kinds import (
    COUNT,
    DIALLED,
    DURATION,
    FILE,
    FLAG,
    HOST_PORT,
    KEYS,
    LISTENED,
    NAME,
    PEER_KEY,
    SECONDS,
    SINCE,
    SIZE,
    STREAM,
    TEXT,
    Kind,
    choice,
)
from broker.protocol.wires import Timing
from broker.stores.retention import LOG_BYTES

__all__ = [
    "LISTS",
    "TABLES",
    "TOP",
    "Collect",
    "Config",
    "EndpointSettings",
    "Field",
    "Listen",
    "Logging",
    "MetricsSettings",
    "Peer",
    "Security",
    "Source",
    "StoreSettings",
    "fields_of",
]

Level = Literal["debug", "info", "warning", "error"]


class EndpointSettings(Struct, frozen=True):
    """``[endpoint]``: see :class:`broker.Endpoint`."""

    name: Annotated[str | None, NAME] = None
    forward: Annotated[bool, FLAG] = True
    linger_s: Annotated[float, DURATION] = 2.0
    report_every: Annotated[float | None, SECONDS] = None


class Security(Struct, frozen=True):
    """``[security]``: our key, whom we trust, and whether we do without keys on a network."""

    keys: Annotated[str | None, KEYS] = None
    access: Annotated[str | None, FILE] = None
    insecure: Annotated[bool, FLAG] = False  # at all addresses that do not say it themselves


class Listen(Struct, frozen=True):
    """An item of ``listen``, and ``[[listen]]``: see :meth:`broker.Endpoint.listen`."""

    address: Annotated[str, LISTENED]
    insecure: Annotated[bool | None, FLAG] = None


class Peer(Struct, frozen=True):
    """An item of ``peer``, and ``[[peer]]``: see :meth:`broker.Endpoint.peer`."""

    address: Annotated[str, DIALLED]
    key: Annotated[str | None, PEER_KEY] = None
    insecure: Annotated[bool | None, FLAG] = None


class StoreSettings(Struct, frozen=True):
    """``[stores.NAME]``: see :meth:`broker.Endpoint.master` and :meth:`broker.Endpoint.clone`."""

    role: Annotated[Literal["master", "clone"], choice("master", "clone")]
    path: Annotated[str | None, FILE] = None
    limit_bytes: Annotated[int | None, SIZE] = None
    log_bytes: Annotated[int, SIZE] = LOG_BYTES
    stale_after: Annotated[float | None, SECONDS] = None
    write_timeout: Annotated[float, SECONDS] = 30.0


class Collect(Struct, frozen=True):
    """``[[collect]]``: see :meth:`broker.Endpoint.collect` and :class:`broker.sinks.LogFiles`."""

    stream: Annotated[str, STREAM]
    name: Annotated[str, NAME]
    directory: Annotated[str, FILE]
    format: Annotated[Literal["tsv", "json", "parquet"], choice("tsv", "json", "parquet")] = "tsv"
    rotate_bytes: Annotated[int | None, SIZE] = None
    rotate_s: Annotated[float | None, SECONDS] = None
    compress: Annotated[Literal["gzip", "zstd"] | None, choice("gzip", "zstd")] = None
    keep: Annotated[int | None, COUNT] = None
    time_column: Annotated[str | None, TEXT] = None
    timestamps: Annotated[Any, choice("iso8601", "epoch")] = "iso8601"
    since: Annotated[str | datetime | None, SINCE] = None


class Logging(Struct, frozen=True):
    """``[logging]``: what ``broker node`` writes to standard error."""

    level: Annotated[Level, choice("debug", "info", "warning", "error")] = "info"
    format: Annotated[Literal["text", "json"], choice("text", "json")] = "text"


class Source(NamedTuple):
    """Where something was said: a file, with its line from 1; a variable, a flag or an argument, with 0."""

    name: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}" if self.line else self.name


class MetricsSettings(Struct, frozen=True):
    """``[metrics]``: where ``broker node`` answers Prometheus."""

    listen: Annotated[str | None, HOST_PORT] = None


class Config(Struct, frozen=True, kw_only=True):
    """A whole configuration; ``sources`` says of each key that was said, by its path with dots, where."""

    listen: tuple[Listen, ...] = ()
    peer: tuple[Peer, ...] = ()
    endpoint: EndpointSettings = EndpointSettings()
    security: Security = Security()
    timing: Timing = Timing()
    stores: Mapping[str, StoreSettings] = {}
    collect: tuple[Collect, ...] = ()
    logging: Logging = Logging()
    metrics: MetricsSettings = MetricsSettings()
    sources: Mapping[str, Source] = {}

    def endpoint_options(self) -> dict[str, Any]:
        """Return the arguments of :class:`broker.Endpoint`."""
        return {
            "name": self.endpoint.name,
            "keys": self.security.keys,
            "access": self.security.access,
            "forward": self.endpoint.forward,
            "timing": self.timing,
            "linger_s": self.endpoint.linger_s,
            "report_every": self.endpoint.report_every,
        }

    def is_insecure(self, at: Listen | Peer) -> bool:
        """Whether to do without keys at an address that leads to other machines."""
        return self.security.insecure if at.insecure is None else at.insecure


TABLES: Final[Mapping[str, type[Struct]]] = {
    "endpoint": EndpointSettings,
    "security": Security,
    "timing": Timing,
    "logging": Logging,
    "metrics": MetricsSettings,
}
LISTS: Final[Mapping[str, type[Struct]]] = {"listen": Listen, "peer": Peer, "collect": Collect}


TOP: Final = ("listen", "peer", *TABLES, "stores", "collect")
"""What a configuration may have at its top."""


class Field(Struct, frozen=True):
    """A key that a table may have."""

    name: str
    kind: Kind
    required: bool
    default: Any


@lru_cache
def fields_of(table: type[Struct]) -> Mapping[str, Field]:
    """Return the keys that a table may have."""
    hints = get_type_hints(table, include_extras=True)
    return {
        field.name: Field(field.name, _kind_of(hints[field.name]), field.required, field.default)
        for field in msgspec.structs.fields(table)
    }


def _kind_of(hint: Any) -> Kind:
    # Those of Timing, which says nothing of kinds, are all seconds.
    return next((part for part in get_args(hint) if isinstance(part, Kind)), SECONDS)
