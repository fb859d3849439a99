"""Keys and access rules of the measured processes: each makes the same, from names, and takes its own part.

=============  ======================================================================================================
``""``         no keys
``"unasked"``  keys, and every right without being asked: what encryption and proof cost by themselves
``"N"``        keys, and N prefixes that each may publish to and subscribe to, of which the last ones cover what is
               used: what access rules cost besides
=============  ======================================================================================================
"""

from __future__ import annotations

import hashlib
from typing import Any

import broker
from broker.trust import judge
from broker.trust.judge import EVERYTHING

__all__ = ["credentials"]

ROLES = ("publisher", "relay", "subscriber", "echo", "ping")


def credentials(role: str, trust: str) -> dict[str, Any]:
    """Return the arguments of an Endpoint for that role."""
    if not trust:
        return {}
    keys = {name: broker.SecretKey(hashlib.sha256(name.encode()).digest()) for name in ROLES}
    if trust == "unasked":
        setattr(judge, "Grants", lambda *_: EVERYTHING)  # noqa: B010  # not part of what the module offers
        prefixes: tuple[str, ...] = ("",)
    else:
        # Of 40 lengths, as names of machines have.
        others = (f"rack-{number % 97}/{'x' * (number % 40)}{number}/" for number in range(int(trust) - 3))
        prefixes = (*others, "host/", "ping", "pong")
    rights = broker.Rights(publish=prefixes, subscribe=prefixes, relay=True)
    trusted = {name: broker.Trusted(keys=(key.public,), own=rights) for name, key in keys.items()}
    return {"keys": keys[role], "access": broker.Access(trusted=trusted)}
