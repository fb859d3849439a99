"""Topics, and the table that finds the subscriptions of a topic.

A **topic** is a text such as ``host/web-01/disk``; a subscription names a **prefix** of topics, as a string: ``host/``
matches ``host/web-01/disk``, ``host/w`` does too, and the empty prefix matches everything but what is **reserved**: the
topics that begin with :data:`RESERVED`.  Both are normalised in the same way, so that what looks the same is the same:
Unicode NFC, and a run of slashes is one slash.

:class:`TopicTable` keeps its prefixes in one dict and remembers which prefix lengths occur.  A topic is looked up once
per occurring length that is not longer than itself, so the time depends on the length of the topic (bounded by
:data:`TOPIC_BYTES_MAX`) and never on the number of subscriptions.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from broker.errors import TopicError

__all__ = ["RESERVED", "TOPIC_BYTES_MAX", "TopicTable", "normalize_prefix", "normalize_topic"]

# Long enough for a path of a dozen names, short enough that a table of 100,000 of them stays under 30 MB.
TOPIC_BYTES_MAX = 255
# What endpoints tell of themselves (broker.reports) is below this: programs publish nothing there.
RESERVED = "$broker/"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SLASHES = re.compile("//+")

K = TypeVar("K")
V = TypeVar("V")


def normalize_prefix(prefix: str) -> str:
    """Return the prefix as the table keeps it; the empty prefix matches every topic that is not reserved.

    Raises :class:`~broker.errors.TopicError` for what is not a str, holds control characters or lone surrogates, or is
    longer than :data:`TOPIC_BYTES_MAX` bytes of UTF-8.
    """
    if type(prefix) is not str:
        raise TopicError(f"a topic is a str, not {type(prefix).__name__}: {prefix!r:.100}")
    text = prefix if prefix.isascii() else unicodedata.normalize("NFC", prefix)
    if _CONTROL.search(text):
        raise TopicError(f"a topic holds no control characters or line breaks: {prefix!r:.100}")
    if "//" in text:
        text = _SLASHES.sub("/", text)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise TopicError(f"a topic is valid Unicode, without lone surrogates: {prefix!r:.100}") from error
    if size > TOPIC_BYTES_MAX:
        raise TopicError(f"a topic has at most {TOPIC_BYTES_MAX} bytes, this one has {size}: {text[:60]!r}...")
    return text


def normalize_topic(topic: str, *, reserved: bool = False) -> str:
    """Return the topic as messages carry it: as :func:`normalize_prefix`, and not empty.

    A topic of broker's own raises TopicError, too, unless ``reserved``.
    """
    text = normalize_prefix(topic)
    if text.startswith(RESERVED) and not reserved:
        raise TopicError(f"topics that begin with {RESERVED!r} are broker's own: publish on another one: {text!r:.100}")
    if not text:
        raise TopicError("a topic is not empty; name what the event is about, such as 'host/web-01/disk'")
    return text


class TopicTable(Generic[K, V]):
    """Prefixes, each with the keys (subscribers) that hold it and one value per key.

    Prefixes and topics given to it are normalised already.
    """

    def __init__(self) -> None:
        self._prefixes: dict[str, dict[K, V]] = {}
        self._lengths: list[int] = []  # the lengths that occur, ascending
        self._lengths_used: dict[int, int] = {}  # length: number of prefixes

    def __len__(self) -> int:
        """Return the number of distinct prefixes."""
        return len(self._prefixes)

    def set(self, prefix: str, key: K, value: V) -> None:
        """Let ``key`` hold ``prefix`` with ``value``, in place of what it held there."""
        holders = self._prefixes.get(prefix)
        if holders is None:
            holders = self._prefixes[prefix] = {}
            length = len(prefix)
            if length not in self._lengths_used:
                insort(self._lengths, length)
            self._lengths_used[length] = self._lengths_used.get(length, 0) + 1
        holders[key] = value

    def get(self, prefix: str, key: K) -> V | None:
        """Return what ``key`` holds at exactly this prefix."""
        return self._prefixes.get(prefix, {}).get(key)

    def remove(self, prefix: str, key: K) -> None:
        """Let ``key`` no longer hold ``prefix``; raises KeyError when it does not hold it."""
        holders = self._prefixes[prefix]
        del holders[key]
        if holders:
            return
        del self._prefixes[prefix]
        length = len(prefix)
        self._lengths_used[length] -= 1
        if not self._lengths_used[length]:
            del self._lengths_used[length]
            self._lengths.remove(length)

    def keys(self) -> Iterator[K]:
        """Give every key, once for each prefix that it holds, in the order of prefixes."""
        for _, holders in sorted(self._prefixes.items()):
            yield from holders

    def match(self, topic: str) -> list[tuple[K, V]]:
        """Return every (key, value) whose prefix the topic starts with, shortest prefix first.

        The empty prefix is no prefix of a reserved topic.
        """
        found: list[tuple[K, V]] = []
        prefixes = self._prefixes
        size = len(topic)
        least = 1 if topic.startswith(RESERVED) else 0
        for length in self._lengths:
            if length > size:
                break
            if length < least:
                continue
            holders = prefixes.get(topic[:length])
            if holders is not None:
                found.extend(holders.items())
        return found
