"""What a store is, said a second time and as simply as can be: a dict, and what commands and operations do to it.

Nothing here is shared with :mod:`broker.stores.draft` and :mod:`broker.stores.deciding` but the classes of commands,
operations and errors: the checker compares what they make of a log with what a dict makes of it.  A state is never
changed: what changes it returns another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from broker.errors import KeyExists, NoSuchElement, NoSuchKey, StoreError, TypeClash, ValueDiffers
from broker.stores import commands, operations
from broker.stores.commands import Command
from broker.stores.entries import unpack_key
from broker.stores.operations import Operation
from broker.values import unpack

__all__ = ["Item", "Outcome", "State", "Wrong", "ask", "operate", "same_results"]


class Item(NamedTuple):
    """An entry: its value, which is not to be changed in place, and when it is over (0: never)."""

    value: Any
    expiry: int


State = dict[bytes, Item]


class Outcome(NamedTuple):
    """What becomes of a request: the state after it, whether there is something to be logged, and its results."""

    state: State
    logged: bool
    results: list[Any]
    error: type[StoreError] | None


class Wrong(Exception):
    """An operation that does not go with the state."""


# -- operations --------------------------------------------------------------------------------------------------------


def operate(state: State, operation: Operation) -> State:
    """Return the state after an operation of the log; raises Wrong where the operation makes no sense."""
    if isinstance(operation, operations.Clear):
        return {}
    if isinstance(operation, operations.Epoch):
        return state
    after = dict(state)
    item = state.get(operation.key)
    if isinstance(operation, operations.Put):
        _compare_old(item, operation.old)
        after[operation.key] = Item(unpack(operation.value), operation.expiry)
        return after
    if item is None:
        raise Wrong(f"{operation} on an entry that there is not")
    if isinstance(operation, operations.Erase):
        _compare_old(item, operation.old)
        del after[operation.key]
    elif isinstance(operation, operations.Touch):
        after[operation.key] = Item(item.value, operation.expiry)
    else:
        after[operation.key] = Item(_change_element(item.value, operation), item.expiry)
    return after


def _compare_old(item: Item | None, old: bytes | None) -> None:
    if (item is None) != (old is None):
        raise Wrong(f"it says that {old!r} was there before, and it was {item}")
    if item is not None and old and unpack(old) != item.value:
        raise Wrong(f"it says that {unpack(old)!r} was there before, and it was {item}")


def _change_element(value: Any, operation: Operation) -> Any:
    match operation:
        case operations.Set(_, element, b"", old):
            if (unpack_key(element) in value) != (old is not None):
                raise Wrong(f"{operation} on {value}")
            return value | {unpack_key(element)}
        case operations.Set(_, element, new, old):
            key = unpack_key(element)
            if (key in value) != (old is not None) or (old is not None and unpack(old) != value[key]):
                raise Wrong(f"{operation} on {value}")
            return {**value, key: unpack(new)}
        case operations.Drop(_, element, _):
            gone = unpack_key(element)
            if gone not in value:
                raise Wrong(f"{operation} on {value}")
            return _without(value, gone)
        case operations.Push(_, new):
            return [*value, unpack(new)]
        case operations.Pop(_, old):
            if not value or value[-1] != unpack(old):
                raise Wrong(f"{operation} on {value}")
            return value[:-1]
    raise Wrong(f"{operation} is not known")


def _without(value: Any, gone: Any) -> Any:
    return value - {gone} if type(value) is set else {key: item for key, item in value.items() if key != gone}


# -- commands ----------------------------------------------------------------------------------------------------------


def ask(state: State, request: tuple[Command, ...], now_ns: int) -> Outcome:
    """Return what becomes of a request at that time: all of its commands, or an error and nothing."""
    now = dict(state)
    logged, results = False, []
    for command in request:
        try:
            changed, result = _COMMANDS[type(command)](now, command, now_ns)
        except StoreError as error:
            return Outcome(state, False, [], type(error))
        logged |= changed
        results.append(result)
    return Outcome(now, logged, results, None)


_Did = tuple[bool, Any]


def _fail(kind: type[StoreError]) -> StoreError:
    return kind("", "the model says so")


def _need(state: State, key: bytes, *kinds: type) -> Item:
    if key not in state:
        raise _fail(NoSuchKey)
    item = state[key]
    if kinds and type(item.value) not in kinds:
        raise _fail(TypeClash)
    return item


def _over(lifetime: int | None, now_ns: int, item: Item | None) -> int:
    if lifetime is None:
        return item.expiry if item is not None else 0
    return now_ns + lifetime if lifetime else 0


def _set_to(state: State, command: commands.SetTo, now_ns: int) -> _Did:
    state[command.key] = Item(unpack(command.value), _over(command.lifetime, now_ns, None))
    return True, None


def _add(state: State, command: commands.Add, now_ns: int) -> _Did:
    if command.key in state:
        raise _fail(KeyExists)
    state[command.key] = Item(unpack(command.value), _over(command.lifetime, now_ns, None))
    return True, None


def _differs(state: State, key: bytes, expected: bytes | None) -> bool:
    if expected is None or key not in state:
        return (expected is None) != (key not in state)
    found, wanted = state[key].value, unpack(expected)
    return type(found) is not type(wanted) or found != wanted


def _compare(state: State, command: commands.Compare, now_ns: int) -> _Did:
    if _differs(state, command.key, command.expected):
        raise _fail(ValueDiffers)
    if command.value is not None:
        state[command.key] = Item(unpack(command.value), _over(command.lifetime, now_ns, None))
        return True, None
    return state.pop(command.key, None) is not None, None


def _expect(state: State, command: commands.Expect, _now_ns: int) -> _Did:
    if _differs(state, command.key, command.expected):
        raise _fail(ValueDiffers)
    return False, None


def _erase(state: State, command: commands.Erasure, _now_ns: int) -> _Did:
    if command.key not in state and not command.missing_ok:
        raise _fail(NoSuchKey)
    return state.pop(command.key, None) is not None, None


def _clear(state: State, _command: commands.Truncate, _now_ns: int) -> _Did:
    state.clear()
    return True, None


def _increment(state: State, command: commands.Increment, now_ns: int) -> _Did:
    item = state.get(command.key)
    amount = unpack(command.amount)
    old = item.value if item is not None else type(amount)()
    if type(old) is not int:
        raise _fail(TypeClash)
    value = old - amount if command.negative else old + amount
    state[command.key] = Item(value, _over(command.lifetime, now_ns, item))
    return True, value


def _append(state: State, command: commands.Append, now_ns: int) -> _Did:
    item = state.get(command.key)
    tail = unpack(command.tail)
    old = item.value if item is not None else type(tail)()
    if type(old) is not type(tail):
        raise _fail(TypeClash)
    state[command.key] = Item(old + tail, _over(command.lifetime, now_ns, item))
    return True, old + tail


def _insert(state: State, command: commands.Insert, now_ns: int) -> _Did:
    kind: type = set if command.value is None else dict
    made = command.key not in state
    item = Item(kind(), 0) if made else _need(state, command.key, kind)
    key = unpack_key(command.element)
    new = item.value | ({key} if command.value is None else {key: unpack(command.value)})
    over = _over(command.lifetime, now_ns, item)
    state[command.key] = Item(new, over)
    return made or new != item.value or over != item.expiry, None


def _remove(state: State, command: commands.Remove, now_ns: int) -> _Did:
    item = _need(state, command.key, set, dict)
    gone = unpack_key(command.element)
    if gone not in item.value:
        raise _fail(NoSuchElement)
    state[command.key] = Item(_without(item.value, gone), _over(command.lifetime, now_ns, item))
    return True, None


def _push(state: State, command: commands.PushLast, now_ns: int) -> _Did:
    item = _need(state, command.key, list) if command.key in state else Item([], 0)
    state[command.key] = Item([*item.value, unpack(command.value)], _over(command.lifetime, now_ns, item))
    return True, None


def _pop(state: State, command: commands.PopLast, now_ns: int) -> _Did:
    item = _need(state, command.key, list)
    if not item.value:
        raise _fail(NoSuchElement)
    state[command.key] = Item(item.value[:-1], _over(command.lifetime, now_ns, item))
    return True, item.value[-1]


def _until(state: State, command: commands.Until, now_ns: int) -> _Did:
    item = _need(state, command.key)
    over = _over(command.lifetime, now_ns, item)
    state[command.key] = Item(item.value, over)
    return over != item.expiry, None


def _fetch(state: State, command: commands.Fetch, _now_ns: int) -> _Did:
    return False, _need(state, command.key).value


_COMMANDS: dict[type, Callable[[State, Any, int], _Did]] = {
    commands.SetTo: _set_to,
    commands.Add: _add,
    commands.Compare: _compare,
    commands.Expect: _expect,
    commands.Erasure: _erase,
    commands.Truncate: _clear,
    commands.Increment: _increment,
    commands.Append: _append,
    commands.Insert: _insert,
    commands.Remove: _remove,
    commands.PushLast: _push,
    commands.PopLast: _pop,
    commands.Until: _until,
    commands.Fetch: _fetch,
}


def same_results(found: list[bytes | None], expected: list[Any]) -> bool:
    """Whether a request's packed results are those of the model."""
    return len(found) == len(expected) and all(
        (one is None and two is None) or (one is not None and two is not None and unpack(one) == two)
        for one, two in zip(found, expected, strict=True)
    )
