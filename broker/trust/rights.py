"""Rights: what the holder of a key may do, and the quick way to look it up.

Topics are allowed by prefix, as they are subscribed to; stores and log streams by name, or by a name that ends in
``*`` for all that begin so.  ``{name}`` in any of them stands for the holder's name in the access rules, so that one
rule lets each agent of a thousand publish under its own name only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct, field

from broker.topics import normalize_prefix

__all__ = ["ALL", "LOG_RIGHTS", "NAME", "STORE_RIGHTS", "Grants", "LogRight", "Prefixes", "Rights", "StoreRight"]

StoreRight = Literal["read", "write", "master"]
LogRight = Literal["write", "collect"]
STORE_RIGHTS: Final = ("read", "write", "master")
LOG_RIGHTS: Final = ("write", "collect")
# Answers that are remembered for each key; past it they are forgotten, which costs one look-up per topic in use.
_ANSWERS_MAX: Final = 4096
NAME: Final = "{name}"


class Rights(Struct, frozen=True, kw_only=True):
    """What a key, or each key of a group, may do: nothing, unless it is said.

    ``publish`` and ``subscribe`` are topic prefixes ("" allows all), ``stores`` maps names of stores to some of
    "read", "write" and "master" (which includes the others), ``logs`` names of log streams to "write" and "collect".
    With ``relay`` frames and announcements of others may come by way of it.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    stores: Mapping[str, tuple[StoreRight, ...]] = field(default_factory=dict)
    logs: Mapping[str, tuple[LogRight, ...]] = field(default_factory=dict)
    relay: bool = False


ALL: Final = Rights(publish=("",), subscribe=("",), stores={"*": STORE_RIGHTS}, logs={"*": LOG_RIGHTS}, relay=True)


class Prefixes:
    """A set of prefixes: whether one of them begins a text is looked up once for each length that occurs."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._prefixes = frozenset(prefixes)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def cover(self, text: str) -> bool:
        """Whether one of them begins the text: all topics that begin with it are covered."""
        prefixes = self._prefixes
        for length in self._lengths:
            if length > len(text):
                return False
            if text[:length] in prefixes:
                return True
        return False

    def touch(self, text: str) -> bool:
        """Whether any topic that begins with the text is covered."""
        return self.cover(text) or any(prefix.startswith(text) for prefix in self._prefixes)


class Names:
    """Which of some rights there are to names, by name or by how it begins."""

    def __init__(self, rights: Iterable[tuple[str, Iterable[str]]]) -> None:
        exact: dict[str, set[str]] = {}
        begins: dict[str, set[str]] = {}
        for name, given in rights:
            table, key = (begins, name[:-1]) if name.endswith("*") else (exact, name)
            table.setdefault(key, set()).update(given)
        self._exact = exact
        self._begins = {right: Prefixes(p for p, given in begins.items() if right in given) for right in _EVERY}

    def allow(self, right: str, name: str) -> bool:
        """Whether there is that right to that name."""
        return right in self._exact.get(name, ()) or self._begins[right].cover(name)


_EVERY: Final = frozenset((*STORE_RIGHTS, *LOG_RIGHTS))


class Grants:
    """The rights of one holder, of its own and of its groups, ready to be asked; answers are remembered.

    The remembering is what keeps rules out of the cost of an event: a topic in use is a look-up in one dict, however
    many rules there are.
    """

    def __init__(self, rights: Iterable[Rights], name: str) -> None:
        rights = tuple(rights)

        def filled(text: str) -> str:
            return text.replace(NAME, name)

        self._publish = Prefixes(normalize_prefix(filled(p)) for each in rights for p in each.publish)
        self._subscribe = Prefixes(normalize_prefix(filled(p)) for each in rights for p in each.subscribe)
        self._stores = Names((filled(n), _with_included(given)) for each in rights for n, given in each.stores.items())
        self._logs = Names((filled(n), given) for each in rights for n, given in each.logs.items())
        self.relay = any(each.relay for each in rights)
        self._published: dict[str, bool] = {}
        self._subscribed: dict[str, bool] = {}

    def may_publish(self, topic: str) -> bool:
        """Whether events may be published to a (normalised) topic."""
        answer = self._published.get(topic)
        if answer is None:
            answer = self._answer(self._published, self._publish, topic)
        return answer

    def may_subscribe(self, topic: str) -> bool:
        """Whether events of a (normalised) topic may be received."""
        answer = self._subscribed.get(topic)
        if answer is None:
            answer = self._answer(self._subscribed, self._subscribe, topic)
        return answer

    def _answer(self, answers: dict[str, bool], prefixes: Prefixes, topic: str) -> bool:
        if len(answers) >= _ANSWERS_MAX:
            answers.clear()
        answers[topic] = answer = prefixes.cover(topic)
        return answer

    def covers(self, prefix: str) -> bool:
        """Whether all topics that begin with a (normalised) prefix may be received."""
        return self._subscribe.cover(prefix)

    def touches(self, prefix: str) -> bool:
        """Whether any topic that begins with a (normalised) prefix may be received."""
        return self._subscribe.touch(prefix)

    def may(self, right: str, name: str) -> bool:
        """Whether there is a right to a store or a log stream: "store read", "log collect" and so on."""
        kind, _, what = right.partition(" ")
        return (self._stores if kind == "store" else self._logs).allow(what, name)

    def may_use_store(self, right: StoreRight, store: str) -> bool:
        """Whether a store may be read, written, or had as its master."""
        return self._stores.allow(right, store)

    def may_use_log(self, right: LogRight, stream: str) -> bool:
        """Whether a log stream may be written or collected."""
        return self._logs.allow(right, stream)


def _with_included(given: Iterable[StoreRight]) -> tuple[StoreRight, ...]:
    """Return rights to a store with those that they include: its master reads and writes, too."""
    given = tuple(given)
    return STORE_RIGHTS if "master" in given else given
