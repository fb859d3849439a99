"""The guard of an endpoint: what its node asks before it lets anybody in, believes or sends anything.

Where there are no keys everything is allowed and nothing is proved: the guard is not ``closed``.

What is proved, and how:

- Over a link, ZeroMQ's CURVE proves whose key is at the other end: the driver tells the key of each wire.
- What an endpoint announces of itself (its name, its process's id, its links, its stores and streams) it signs, so that
  whoever passes it on cannot change it, and ids are bound to keys.
- A frame that comes by way of others carries for each receiver a **seal**: a keyed hash (BLAKE2b, RFC 7693) of its
  kind, its place in the flow and its body's SHA-256, with a key that only its sender and that receiver can work out.
  It costs a hundredth of a signature for each event that travels alone.  A frame that comes straight from its sender
  needs none: CURVE has proved the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from broker.trust.judge import EVERYTHING, NOTHING, Holder, Judge
from broker.trust.keys import KEY_BYTES, SecretKey, text_of, verify
from broker.trust.rights import Grants

__all__ = ["SEAL_BYTES", "Guard", "digest_of", "seal"]

SEAL_BYTES: Final = 16
_ANNOUNCED: Final = b"broker announcement 1\x00"
_SEALED: Final = b"broker-seal-1"
_AGREED_MAX: Final = 1024


class Guard:
    """One endpoint's key and the rules that it goes by; without a key it lets everything pass."""

    def __init__(self, secret: SecretKey | None = None, judge: Judge | None = None) -> None:
        assert (secret is None) == (judge is None)
        self.closed = secret is not None  # False: everything is allowed
        self._former: SecretKey | None = None  # our key before this one
        self._agreed: dict[tuple[bytes, bytes], bytes] = {}
        self._take(secret, judge)

    def _take(self, secret: SecretKey | None, judge: Judge | None) -> None:
        self._secret = secret
        self._judge = judge
        self.key = secret.public.raw if secret is not None else b""
        own = judge.holder(self.key) if judge is not None else None
        # Whoever is not in its own rules is held by those of the others alone.
        self.own: Grants = own.grants if own is not None else EVERYTHING

    def refusal(self, key: bytes, name: str) -> tuple[str, str] | None:
        """Say why an endpoint of that key and name is not let in: a code and words; None when it is."""
        if self._judge is None:
            if key:
                return "authentication", "it has a key, and this endpoint has none"
            return None
        holder = self._judge.holder(key)
        if holder is None:
            return "authentication", self._judge.why_not(key)
        if not holder.may_be_called(name):
            return "authorisation", (
                f"the key of {holder.label} may not be called {name!r:.100}: an endpoint's name is that of its key, "
                f"with @ and anything behind it, or one of the names that the access rules give it"
            )
        return None

    def change(self, secret: SecretKey, judge: Judge) -> None:
        """Have another key, or go by other rules, from now on."""
        assert self.closed
        if secret != self._secret:
            self._former = self._secret
            self._agreed.clear()
        self._take(secret, judge)

    def label(self, key: bytes) -> str:
        """Return by which name a key is known here; its text when it is not."""
        holder = self.holder(key)
        return holder.label if holder is not None else text_of(key)

    def is_same(self, key: bytes, other: bytes) -> bool:
        """Whether two keys are one holder's: while it changes its key it has two."""
        if key == other:
            return True
        one, two = self.holder(key), self.holder(other)
        return one is not None and two is not None and one.label == two.label

    def holder(self, key: bytes) -> Holder | None:
        """Return who has that key, if it is trusted."""
        return self._judge.holder(key) if self._judge is not None else None

    def grants(self, key: bytes) -> Grants:
        """Return what the holder of a key may do."""
        if self._judge is None:
            return EVERYTHING
        holder = self._judge.holder(key)
        return holder.grants if holder is not None else NOTHING

    def own_may(self, right: str, what: str) -> bool:
        """Whether this endpoint itself has a right to a topic, a prefix of topics, a store or a log stream."""
        if right == "publish":
            return self.own.may_publish(what)
        if right == "subscribe":
            return self.own.covers(what)
        return self.own.may(right, what)

    def sign(self, announced: bytes) -> bytes:
        """Sign what this endpoint announces of itself; nothing when it has no key."""
        return self._secret.sign(_ANNOUNCED + announced) if self._secret is not None else b""

    def is_signed(self, key: bytes, announced: bytes, signature: bytes) -> bool:
        """Whether the holder of a key has announced that."""
        return self._secret is None or verify(key, _ANNOUNCED + announced, signature)

    def seal_keys(self, key: bytes, own_id: bytes, other_id: bytes) -> tuple[bytes, bytes]:
        """Return the keys of the seals to and from the endpoint with that key and id."""
        assert self._secret is not None
        shared = self._secret.agree(key)
        return _seal_key(shared, own_id, other_id), _seal_key(shared, other_id, own_id)

    def other_seal_keys(self, key: bytes, former: bytes, own_id: bytes, other_id: bytes) -> Iterator[bytes]:
        """Give the keys of the seals from an endpoint that one of us has changed: what has one of them is no forgery.

        Nothing is let in by them.  They are for telling what was on its way while a key was changed from lies.
        """
        assert self._judge is not None
        keys = dict.fromkeys((key, *([former] if former else ()), *self._judge.keys_of(key)))
        for secret in (self._secret, self._former):
            for other in keys:
                if secret is not None and (secret is self._former or other != key):
                    yield _seal_key(self._agree(secret, other), other_id, own_id)

    def _agree(self, secret: SecretKey, key: bytes) -> bytes:
        """Return what two keys agree on; remembered, so that forged frames do not cost that each time."""
        pair = secret.public.raw, key
        if pair not in self._agreed:
            if len(self._agreed) >= _AGREED_MAX:
                self._agreed.clear()
            self._agreed[pair] = secret.agree(key)
        return self._agreed[pair]


def _seal_key(shared: bytes, sender: bytes, receiver: bytes) -> bytes:
    return hashlib.blake2b(sender + receiver, key=shared, digest_size=KEY_BYTES, person=_SEALED).digest()


def digest_of(kind: int, body: bytes) -> bytes:
    """Return what all seals of a frame are made of."""
    return bytes((kind,)) + hashlib.sha256(body).digest()


def seal(key: bytes, digest: bytes, place: bytes) -> bytes:
    """Return the seal of a frame for one receiver; ``place`` is its flow and its sequence there, as they travel."""
    return hashlib.blake2b(digest + place, key=key, digest_size=SEAL_BYTES, person=_SEALED).digest()
