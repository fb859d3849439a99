"""Access rules made in Python: what makes no sense is refused where it is made, with its place."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from broker import Access, AccessError, Endpoint, Rights, SecretKey, Trusted

KEY = SecretKey(bytes(32)).public


@pytest.mark.parametrize(
    ("rights", "told"),
    [
        ({"publish": ("a\n",)}, "ops: publish: a topic holds no control characters"),
        ({"subscribe": (3,)}, "ops: subscribe: a tuple of texts is expected"),
        # A text alone would be one prefix for each of its letters.
        ({"publish": "host/"}, "ops: publish: a tuple of texts is expected"),
        ({"subscribe": ["host/"]}, "ops: subscribe: a tuple of texts is expected"),
        ({"publish": ("x" * 250 + "{name}",)}, "ops: publish: a topic has at most 255 bytes"),
        ({"stores": {"hosts": ("raed",)}}, "ops: stores.hosts: rights are a tuple of some of read, write, master"),
        ({"stores": {"hosts": "read"}}, "ops: stores.hosts: rights are a tuple"),
        ({"logs": {"conn": ("read",)}}, "ops: logs.conn: rights are a tuple of some of write, collect"),
    ],
)
def test_rights_that_there_are_none_of_are_refused(rights: dict[str, Any], told: str) -> None:
    with pytest.raises(AccessError, match=f"^{told}"):
        Access(
            trusted={"a-longer-name": Trusted(keys=(KEY,), groups=("ops",))},
            groups={"ops": Rights(**rights)},
        )
    with pytest.raises(AccessError, match=f"^{told}"):
        Access(trusted={"ops": Trusted(keys=(KEY,), own=Rights(**rights))})


@pytest.mark.parametrize(
    ("trusted", "told"),
    [
        ({"a b": Trusted(keys=(KEY,))}, "'a b' cannot be the name of a key"),
        ({"a": Trusted(keys=())}, "a: no key"),
        ({"a": Trusted(keys=KEY)}, "a: keys: a tuple of PublicKey is expected"),  # type: ignore[arg-type]
        ({"a": Trusted(keys=(str(KEY),))}, "a: keys: a tuple of PublicKey is expected"),  # type: ignore[arg-type]
        # A text alone would let it have any name, for its *, and be expected at any address within it.
        ({"a": Trusted(keys=(KEY,), names="web-*")}, "a: names: a tuple of texts"),  # type: ignore[arg-type]
        ({"a": Trusted(keys=(KEY,), addresses="tcp://a:1")}, "a: addresses: a tuple of texts"),  # type: ignore[arg-type]
        ({"a": Trusted(keys=(KEY,), groups="ops")}, "a: groups: a tuple of texts"),  # type: ignore[arg-type]
        ({"a": Trusted(keys=(KEY,)), "b": Trusted(keys=(KEY,))}, "b and a have the same key"),
        ({"a": Trusted(keys=(KEY,), groups=("ops",))}, "a: there is no group 'ops'"),
        ({"a": Trusted(keys=(KEY,), expires=datetime(2030, 1, 1))}, "a: expires: a time needs its zone"),  # noqa: DTZ001
    ],
)
def test_entries_that_make_no_sense_are_refused(trusted: dict[str, Trusted], told: str) -> None:
    with pytest.raises(AccessError, match=f"^{told}"):
        Access(trusted=trusted)


def test_an_endpoint_is_given_a_secret_key_and_access_rules() -> None:
    secret = SecretKey(bytes(32))
    with pytest.raises(TypeError, match="keys= is a SecretKey, the name of a key, or its file's path, not PublicKey"):
        Endpoint(keys=secret.public, access=Access())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="access= is an Access, or the path of a file of access rules, not dict"):
        Endpoint(keys=secret, access={})  # type: ignore[arg-type]
