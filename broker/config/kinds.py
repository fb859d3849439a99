"""The kinds of values in a configuration: what is expected, how it is read, and how it is said in a variable.

A variable, or a flag, is text: it is first made what would stand in TOML.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from broker.config.amounts import seconds_of, size_of
from broker.errors import AddressError, TopicError
from broker.net.address import parse_address
from broker.toml.reading import Path, Wrong, as_flag, as_text, expected, meant
from broker.topics import normalize_topic
from broker.trust.access import is_label
from broker.trust.keys import is_key_text

__all__ = [
    "COUNT",
    "DIALLED",
    "DURATION",
    "FILE",
    "FLAG",
    "HOST_PORT",
    "KEYS",
    "LISTENED",
    "NAME",
    "PEER_KEY",
    "SECONDS",
    "SINCE",
    "SIZE",
    "STREAM",
    "TEXT",
    "Kind",
    "choice",
]


def _as_it_is(text: str) -> Any:
    return text


class Kind(Struct, frozen=True):
    """How a value is read: ``read`` raises Wrong; ``from_text`` makes of a variable's text what TOML would say."""

    read: Callable[[Path, Any], Any]
    from_text: Callable[[str], Any] = _as_it_is
    is_path: bool = False  # a relative one is relative to the configuration's file


# --- texts -------------------------------------------------------------------------------------------------------


def _name(path: Path, value: Any) -> str:
    name = as_text(path, value)
    if not 1 <= len(name.encode(errors="replace")) <= 255 or not name.isprintable():
        raise Wrong(path, "a name is printable text of 1 to 255 bytes")
    return name


def _stream(path: Path, value: Any) -> str:
    try:
        return normalize_topic(_name(path, value))
    except TopicError as error:
        raise Wrong(path, str(error)) from None


def _file(path: Path, value: Any) -> str:
    name = as_text(path, value)
    if not name or not name.isprintable():
        raise Wrong(path, "expected the path of a file")
    return name


def _keys(path: Path, value: Any) -> str:
    name = as_text(path, value)
    if is_key_text(name):
        # It may be a secret: it is not repeated.
        raise Wrong(path, "this is a key itself: give the name of its file, such as web-01, or a path")
    if not name.isprintable() or ("/" not in name and not name.endswith(".key") and not is_label(name)):
        raise Wrong(path, "neither the name of a key (letters, digits and . _ -, at most 100) nor a path")
    return name


def _peer_key(path: Path, value: Any) -> str:
    key = as_text(path, value)
    if not is_key_text(key) and not is_label(key):
        raise Wrong(path, 'expected a public key, "bk1...", or the name of an entry of the access rules')
    return key


def _address(to_dial: bool) -> Kind:
    def read(path: Path, value: Any) -> str:
        address = as_text(path, value)
        try:
            parse_address(address, to_dial=to_dial)
        except AddressError as error:
            raise Wrong(path, str(error)) from None
        return address

    return Kind(read)


def _host_port(path: Path, value: Any) -> str:
    address = as_text(path, value)
    try:
        parse_address(f"tcp://{address}", to_dial=False)
    except AddressError:
        raise Wrong(path, f"{address!r:.100} is not HOST:PORT, such as 127.0.0.1:9464") from None
    return address


def choice(*words: str) -> Kind:
    """Return the kind of a value that is one of some words."""

    def read(path: Path, value: Any) -> str:
        word = as_text(path, value)
        if word not in words:
            raise Wrong(path, f"{word!r:.100} is none of {', '.join(words)}{meant(word, words)}")
        return word

    return Kind(read)


def _since(path: Path, value: Any) -> str | datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if value in ("earliest", "now"):
        return str(value)
    return expected(
        '"earliest", "now" or a time with its zone and without quotes, such as 2027-01-31T12:00:00Z', path, value
    )


def _since_from(text: str) -> Any:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


# --- numbers -----------------------------------------------------------------------------------------------------


def _size(path: Path, value: Any) -> int:
    if type(value) is int and value >= 0:
        return value
    if type(value) is int:
        raise Wrong(path, "a size is not negative")
    if type(value) is not str:
        expected('a number of bytes, or a size such as "64 MiB"', path, value)
    try:
        return size_of(value)
    except ValueError:
        raise Wrong(path, f'{value!r:.60} is no size such as "64 MiB", "1GB" or 4096') from None


def _number(text: str) -> Any:
    """Return the number that a text is, or the text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _duration(path: Path, value: Any) -> float:
    if type(value) in (int, float):
        if not 0 <= value < math.inf:
            raise Wrong(path, "a time is neither negative nor infinite")
        return float(value)
    if type(value) is not str:
        expected('a number of seconds, or a time such as "2 min"', path, value)
    try:
        return seconds_of(value)
    except ValueError:
        raise Wrong(path, f'{value!r:.60} is no time such as "500 ms", "5 s", "2 min", "1h" or 5') from None


def _seconds(path: Path, value: Any) -> float:
    seconds = _duration(path, value)
    if not seconds:
        raise Wrong(path, "a time longer than 0 is expected")
    return seconds


def _count(path: Path, value: Any) -> int:
    return value if type(value) is int and value > 0 else expected("a number of at least 1", path, value)


_WORDS: Final = {
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "false": False,
    "no": False,
    "0": False,
    "off": False,
}


def _flag_from(text: str) -> Any:
    return _WORDS.get(text.lower(), text)


TEXT: Final = Kind(as_text)
NAME: Final = Kind(_name)
STREAM: Final = Kind(_stream)
FILE: Final = Kind(_file, is_path=True)
KEYS: Final = Kind(_keys, is_path=True)
PEER_KEY: Final = Kind(_peer_key)
LISTENED: Final = _address(to_dial=False)
DIALLED: Final = _address(to_dial=True)
HOST_PORT: Final = Kind(_host_port)
SINCE: Final = Kind(_since, _since_from)
SIZE: Final = Kind(_size, _number)
DURATION: Final = Kind(_duration, _number)  # 0 is one, too
SECONDS: Final = Kind(_seconds, _number)
COUNT: Final = Kind(_count, _number)
FLAG: Final = Kind(as_flag, _flag_from)
