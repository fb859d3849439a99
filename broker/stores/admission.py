"""Commands from elsewhere, checked before they are decided: they hold what this endpoint would have packed.

A replica applies what was decided blindly, and whoever reads meets it: so what is no value must not get past the
master.  Commands that are asked for at the master itself were packed there.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from broker.errors import Malformed, NotCarried
from broker.stores.commands import Command
from broker.stores.deciding import VALUE_BYTES_MAX
from broker.stores.entries import pack_key, unpack_key, unpack_value

__all__ = ["admit"]

# The fields of commands that are keys: one key has one form, else it would not be found.
_KEYS: Final = frozenset({"key", "element"})
_VALUES: Final = frozenset({"value", "expected", "amount", "tail"})


def admit(commands: tuple[Command, ...]) -> None:
    """Raise Malformed unless all keys are keys, in the form that they are looked up by, and all values values."""
    for command in commands:
        keys, values = _fields_of(type(command))
        for name in keys:
            _admit_key(getattr(command, name))
        for name in values:
            value = getattr(command, name)
            if value is not None:
                _admit_value(value)


@cache
def _fields_of(kind: type[Command]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fields = kind.__struct_fields__
    return tuple(name for name in fields if name in _KEYS), tuple(name for name in fields if name in _VALUES)


def _admit_value(value: bytes) -> None:
    if len(value) > VALUE_BYTES_MAX:
        raise Malformed(f"a value of {len(value)} bytes: at most {VALUE_BYTES_MAX}")
    unpack_value(value)


def _admit_key(key: bytes) -> None:
    if 0xA0 <= key[0] <= 0xBF:  # a short str: it has one form only
        _admit_value(key)
        return
    try:
        same = pack_key(unpack_key(key)) == key
    except NotCarried as error:
        raise Malformed(f"not a key: {error}") from error
    if not same:
        raise Malformed("a key in another form than pack() gives it")
