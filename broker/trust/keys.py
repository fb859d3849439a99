"""Keys: the identity of an endpoint.

An identity is one Ed25519 key pair.  With it an endpoint signs what it announces of itself, and the Curve25519 key pair
that follows from it (as libsodium converts them: ``crypto_sign_ed25519_pk_to_curve25519``) is its key in ZeroMQ's CURVE
and in the seals of frames that pass through others.  So there is one text to print, paste and trust.

A public key's text is ``bk1`` and base32 (RFC 4648, lower case) of its 32 bytes and 3 more that tell a slip of the
finger; a secret key's is ``bks1`` and the same of its seed.  Letters and digits alone need no quotes in a shell.

PyNaCl is loaded when the first key is made or read: who uses no keys does not wait for it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final, Self

from msgspec import Struct

from broker.errors import BadKey

__all__ = ["KEY_BYTES", "SIGNATURE_BYTES", "PublicKey", "SecretKey", "curve_of", "is_key_text", "text_of", "verify"]

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_PUBLIC: Final = "bk1"
_SECRET: Final = "bks1"  # noqa: S105  # how the text of one begins
_CHECK_BYTES: Final = 3
# 35 bytes are 280 bits, 56 letters without padding.
_LETTERS: Final = 56


def _check_of(prefix: str, raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=_CHECK_BYTES, person=prefix.encode()).digest()


def _to_text(prefix: str, raw: bytes) -> str:
    return prefix + base64.b32encode(raw + _check_of(prefix, raw)).decode().lower()


def _from_text(prefix: str, text: str) -> bytes:
    letters = text[len(prefix) :]
    if len(letters) != _LETTERS:
        raise BadKey(
            f"the key's text is not whole: {prefix} and {_LETTERS} letters and digits are expected, "
            f"and {len(letters):,} are there; copy it once more"
        )
    try:
        raw = base64.b32decode(letters.upper())
    except ValueError:  # binascii.Error, or for letters beyond ASCII
        raise BadKey(
            f"the key's text is mistyped: behind {prefix} are only letters a-z and digits 2-7; copy it once more"
        ) from None
    key, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
    if check != _check_of(prefix, key):
        raise BadKey("the key's text is mistyped: its check letters do not fit; copy it once more")
    return key


class PublicKey(Struct, frozen=True):
    """Who somebody is; ``raw`` are the 32 bytes of an Ed25519 public key.  ``str`` gives the text to paste."""

    raw: bytes

    def __post_init__(self) -> None:
        if type(self.raw) is not bytes or len(self.raw) != KEY_BYTES:
            raise BadKey(f"a public key has {KEY_BYTES} bytes")
        curve_of(self.raw)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a public key; raises :class:`~broker.errors.BadKey` that says what is wrong with it."""
        if type(text) is not str:
            raise BadKey(f"a key's text is a str, not {type(text).__name__}")
        text = text.strip()
        if text.startswith(_SECRET):
            raise BadKey("this is a secret key, which nobody else may have: the public one begins with bk1")
        if not text.startswith(_PUBLIC):
            raise BadKey(f"a public key begins with {_PUBLIC}: {text[:20]!r} does not")
        return cls(_from_text(_PUBLIC, text))

    def __str__(self) -> str:
        return _to_text(_PUBLIC, self.raw)

    @property
    def short(self) -> str:
        """Its first letters, for people to tell keys apart; not enough to trust one by."""
        return str(self)[:13]


class SecretKey:
    """An endpoint's identity, which proves that it is who it says.  It is never shown: ``repr`` has its public key."""

    __slots__ = ("_curve", "_signing", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        from nacl import bindings

        if type(seed) is not bytes or len(seed) != KEY_BYTES:
            raise BadKey(f"a secret key's seed has {KEY_BYTES} bytes")
        raw, self._signing = bindings.crypto_sign_seed_keypair(seed)
        self._curve = bindings.crypto_sign_ed25519_sk_to_curve25519(self._signing)
        self.seed = seed
        self.public = PublicKey(raw)

    @classmethod
    def generate(cls) -> Self:
        """Return a new one, from the operating system's chance."""
        from nacl.utils import random

        return cls(random(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a secret key; raises :class:`~broker.errors.BadKey`, which does not repeat it."""
        text = text.strip() if type(text) is str else ""
        if text.startswith(_PUBLIC):
            raise BadKey("this is a public key; the secret one begins with bks1")
        if not text.startswith(_SECRET):
            raise BadKey(f"a secret key begins with {_SECRET}")
        return cls(_from_text(_SECRET, text))

    @property
    def text(self) -> str:
        """The text to keep in a file that nobody else can read."""
        return _to_text(_SECRET, self.seed)

    @property
    def curve(self) -> bytes:
        """The 32 bytes of the Curve25519 secret key that ZeroMQ's CURVE is given."""
        return self._curve

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (RFC 8032) of a message: 64 bytes."""
        from nacl import bindings

        return bindings.crypto_sign(message, self._signing)[:SIGNATURE_BYTES]

    def agree(self, other: bytes) -> bytes:
        """Return the 32 bytes that only we and the holder of that public key can work out (X25519, then HSalsa20)."""
        from nacl import bindings

        return bindings.crypto_box_beforenm(curve_of(other), self._curve)

    def __repr__(self) -> str:
        return f"<SecretKey of {self.public}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretKey) and other.public == self.public

    def __hash__(self) -> int:
        return hash(self.public)


@lru_cache(maxsize=65_536)
def curve_of(raw: bytes) -> bytes:
    """Return the Curve25519 public key that follows from an Ed25519 one; raises BadKey when it is no point of it."""
    from nacl import bindings

    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(raw)
    except Exception as error:  # PyNaCl has errors of its own for it
        raise BadKey("these 32 bytes are no Ed25519 public key") from error


def verify(raw: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that key's, of that message."""
    from nacl import bindings
    from nacl.exceptions import BadSignatureError

    try:
        bindings.crypto_sign_open(signature + message, raw)
    except (BadSignatureError, ValueError):
        return False
    return len(signature) == SIGNATURE_BYTES


def is_key_text(text: str) -> bool:
    """Whether a text looks like a key's, a public or a secret one, mistyped or not."""
    return any(text.startswith(prefix) and len(text) > _LETTERS - 8 for prefix in (_PUBLIC, _SECRET))


def text_of(raw: bytes) -> str:
    """Return the text of a public key by its bytes; words for none."""
    return _to_text(_PUBLIC, raw) if raw else "no key"
