"""The demo with keys: everybody has one, and may do what its part needs.

One agent has been tampered with: the rules at its own end do not bind it, and it publishes under the name of another.
What stops it are the rules at the other end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from broker import AccessRefused
from broker.cli.demo.hosts import STORE
from broker.cli.demo.processes import STREAM
from broker.keyring import ACCESS_NAME, write_access, write_key
from broker.trust.access import Access, Trusted
from broker.trust.keys import SecretKey
from broker.trust.rights import Rights
from broker.trust.toml import format_access

__all__ = ["COLLECTOR_NAME", "MANAGER", "Security", "report_every_s"]

MANAGER: Final = "manager"
COLLECTOR_NAME: Final = "collector"
_GROUPS: Final = {
    "managers": Rights(publish=("alerts/",), subscribe=("host/",), stores={STORE: ("master",)}, relay=True),
    "collectors": Rights(logs={STREAM: ("collect",)}),
    "agents": Rights(publish=("host/{name}/",), stores={STORE: ("read", "write")}, logs={STREAM: ("write",)}),
}


def report_every_s(keys: Any) -> float | None:
    """How often an endpoint of the demo reports its figures, for 'broker top': with keys there is no right to that."""
    return 1.0 if keys is None else None


class Security:
    """The keys and access rules of all, in a directory, and what was refused."""

    def __init__(self, directory: Path, agents: Sequence[str]) -> None:
        self._directory = directory
        self._tampered, self._victim = agents[0], agents[1]
        self._refused = 0
        groups = {MANAGER: "managers", COLLECTOR_NAME: "collectors", **dict.fromkeys(agents, "agents")}
        secrets = {name: SecretKey.generate() for name in groups}
        trusted = {name: Trusted(keys=(secrets[name].public,), groups=(groups[name],)) for name in groups}
        access = Access(trusted=trusted, groups=_GROUPS)
        others = msgspec.structs.replace(access, trusted={n: e for n, e in trusted.items() if n != self._tampered})
        for name, secret in secrets.items():
            write_key(self.key_file(name), name, secret)
        write_access(directory / ACCESS_NAME, format_access(access))
        write_access(self.key_file(self._tampered).parent / ACCESS_NAME, format_access(others))
        self.keys = len(secrets)

    @property
    def plan(self) -> str:
        """What is going to be seen of the keys, for who watches."""
        return (
            f"with {self.keys} keys; {self._tampered} also publishes in {self._victim}'s name, which is to be refused"
        )

    def key_file(self, name: str) -> Path:
        """Where the key of an endpoint is, with the access rules that it goes by beside it."""
        folder = self._directory / "tampered" if name == self._tampered else self._directory
        return folder / f"{name}.key"

    def arguments(self, agent: str) -> list[str]:
        """What an agent's process is told: its key, and in whose name it is to publish besides its own."""
        return [str(self.key_file(agent)), self._victim if agent == self._tampered else ""]

    def take(self, refused: AccessRefused) -> None:
        """Count what the manager refused the tampered agent."""
        if refused.key == self._tampered and refused.right == "publish":
            self._refused += refused.count

    def summary(self, told: int | None) -> dict[str, Any]:
        """What there is to say at the end; ``told`` is how often the tampered agent was told so, if it reported."""
        return {
            "encrypted": True,
            "keys": self.keys,
            "tampered": self._tampered,
            "posed_as": self._victim,
            "refused": self._refused,
            "told": told,
        }
