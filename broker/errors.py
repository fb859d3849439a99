"""Every error the library raises, in one flat tree.

An error blames precisely: your value (:class:`NotCarried`, :class:`EventMisfit`), your argument
(:class:`TopicError`, :class:`AddressError`), the machine (:class:`ListenError`), the remote end
(:class:`PeeringError` and its children; a linked peer that breaks the protocol is a status event).  Its text names the
value, the topic or the peer, and says what to do.  The file is long because it is a list, and is read as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = [
    "AccessError",
    "AddressError",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "BadKey",
    "BadRegex",
    "BrokerError",
    "ConfigError",
    "ConfigProblem",
    "DuplicateName",
    "EndpointClosed",
    "EventDefinitionError",
    "EventMisfit",
    "ExtraMissing",
    "InsecureAddress",
    "KeyFileError",
    "ListenError",
    "Malformed",
    "NotCarried",
    "NotPermitted",
    "PeerUnavailable",
    "PeeringError",
    "RuleError",
    "RuleProblem",
    "TopicError",
    "VersionMismatch",
]


class BrokerError(Exception):
    """The root of the tree: ``except BrokerError`` catches whatever this library raises of its own."""


class NotCarried(BrokerError, TypeError):
    """A value that cannot be carried was given to be sent.

    ``path`` leads to the offending value inside what was given, for example ``.mounts[3]['size']``; it is empty
    when the value itself is at fault.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path or 'value'}: {reason}")
        self.reason = reason
        self.path = path


class Malformed(BrokerError, ValueError):
    """Bytes from elsewhere that are not a value within the limits."""


class EventDefinitionError(BrokerError, TypeError):
    """A class body given to ``@broker.event`` cannot be an event."""


class EventMisfit(BrokerError, TypeError):
    """An event whose fields do not fit its class.

    ``event`` is the event's name, ``field`` the path to the field inside it, ``expected`` and ``found``
    describe the type that the class asks for and what was there.
    """

    def __init__(self, event: str, field: str, expected: str, found: str) -> None:
        super().__init__(f"{event}.{field}: expected {expected}, found {found}")
        self.event = event
        self.field = field
        self.expected = expected
        self.found = found


class ExtraMissing(BrokerError, ModuleNotFoundError):
    """An optional package is not installed; the text says what needs it, and the command that installs it."""

    def __init__(self, package: str, extra: str, what: str) -> None:
        super().__init__(
            f"{package} is not installed; it is needed for {what} and comes with the extra {extra}: "
            f"pip install 'broker-mesh[{extra}]'"
        )
        self.name = package
        self.extra = extra


class TopicError(BrokerError, ValueError):
    """A topic or a topic prefix that is not well formed."""


class AddressError(BrokerError, ValueError):
    """An address that does not parse or names a transport that is not supported."""


class InsecureAddress(AddressError):
    """An address that other machines reach, and an endpoint without keys, which anybody could pose as or listen to."""


class ListenError(BrokerError, OSError):
    """An address cannot be listened on: in use, not of this machine, not permitted.  ``errno`` says which."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class EndpointClosed(BrokerError, RuntimeError):
    """The endpoint (or the handle) was used before it was entered or after it was closed."""


class PeeringError(BrokerError):
    """A peering could not be made.  ``address`` is the peer's."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class PeerUnavailable(PeeringError):
    """Nothing listens there, or what listens there does not answer."""


class VersionMismatch(PeeringError):
    """The peer speaks no version of the protocol that we speak."""


class AuthenticationFailed(PeeringError):
    """The peer does not accept our key, or we do not accept its key."""


class AuthorizationFailed(PeeringError):
    """The peer's rules do not allow what we ask for."""


class DuplicateName(PeeringError):
    """Another endpoint of that name is already there, or the address is our own."""


# -- trust -----------------------------------------------------------------------------------------------------------


class BadKey(BrokerError, ValueError):
    """A text or bytes that are no key."""


class KeyFileError(BrokerError, OSError):
    """A key's file cannot be used: it is not there, is no key's, or others can read it.  ``path`` is its path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class AccessError(BrokerError, ValueError):
    """Access rules that make no sense; the text says where."""


class ConfigProblem(NamedTuple):
    """One thing that is wrong in a configuration.

    ``source`` is where it was said: the path of a file, the name of a variable of the environment, or a flag; ``line``
    the line in the file, from 1, or 0; ``key`` the path of the key, such as ``stores.hosts.limit_bytes``, or empty.
    """

    source: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        return ": ".join(part for part in (self.source, line, self.key, self.what) if part)


class ConfigError(BrokerError, ValueError):
    """A configuration that makes no sense, or cannot be read; ``problems`` is all that is wrong with it."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


_KINDS: Final = {"store": "store", "log": "log stream"}
_VERBS: Final = {"read": "read", "write": "write", "collect": "collect", "master": "be master of"}


def in_words(right: str, what: str) -> str:
    """Say a right as people do: "store write" is to "write the store 'hosts'"."""
    kind, _, verb = right.partition(" ")
    if kind in _KINDS and verb in _VERBS:
        return f"{_VERBS[verb]} the {_KINDS[kind]} {what!r}"
    return f"{right} {what!r}"


class NotPermitted(BrokerError, PermissionError):
    """The access rules do not let a key do that.

    ``key`` names who (its name in the rules, or its text), ``right`` what ("publish", "subscribe", "store read",
    "log write", ...) and ``what`` the topic, the store or the log stream.
    """

    def __init__(self, key: str, right: str, what: str, where: str = "here") -> None:
        super().__init__(f"{key} has no right to {in_words(right, what)}: the access rules {where} do not give it")
        self.key = key
        self.right = right
        self.what = what


# -- journals --------------------------------------------------------------------------------------------------------


class JournalError(BrokerError):
    """A journal that cannot be opened, read or written.  ``path`` is its file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class JournalFull(JournalError, OSError):
    """There is no room to write: the disk is full, or the journal's own limit is reached.  Reading goes on."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class JournalUnreadable(JournalError, OSError):
    """The file cannot be opened: no permission, no such directory, a disk that fails."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class JournalDamaged(JournalError, ValueError):
    """The file is not what was written: truncated, or changed."""


class JournalMismatch(JournalError, ValueError):
    """The file is something else: no journal, another store's, of a newer version."""


class JournalBusy(JournalError):
    """Another process, or another handle of this one, has the journal open for writing."""


# -- stores ----------------------------------------------------------------------------------------------------------


class StoreError(BrokerError):
    """Something that a store cannot do.  ``store`` is its name."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"store {store!r}: {reason}")
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return f"store {self.store!r}: {self.reason}"


class NoSuchKey(StoreError, KeyError):
    """There is no entry of that key."""


class NoSuchElement(StoreError, LookupError):
    """The entry is there, and has no such element: an index out of range, a member or key that it lacks."""


class KeyExists(StoreError):
    """``put_unique`` of a key that there is."""


class ValueDiffers(StoreError):
    """``compare_and_swap``, or a condition of a batch, expected another value than there is."""


class TypeClash(StoreError, TypeError):
    """The operation does not go with the type of the value: an increment of a str."""


class OutOfRange(StoreError, OverflowError):
    """The result is a number that cannot be carried."""


class StoreNotPermitted(StoreError, PermissionError):
    """The access rules of the store's master do not let us do that."""


class StoreFull(StoreError):
    """The master has no room to write; reads go on, and writes too once there is room."""


class StaleData(StoreError):
    """The clone has not heard of its master for longer than ``stale_after``, or never."""


class NotMaster(StoreError):
    """Only the master does that."""


class MasterExists(StoreError):
    """Another endpoint of the mesh is the store's master."""


class StoreInUse(StoreError):
    """This endpoint has a master or a clone of that store already."""


class MasterUnavailable(StoreError):
    """No master could be reached in time; the write was not applied."""


class OutcomeUnknown(StoreError):
    """The master was asked to write and did not answer in time: the write may be applied, or not."""


class NotReplicated(StoreError):
    """The write is applied and kept at the master, but fewer clones than asked for confirmed it in time."""


class ChangesLost(StoreError):
    """A watch cannot go on: the operations behind its position are no longer kept.  Read the store, then watch anew."""


class StoreClosed(StoreError, RuntimeError):
    """The handle was used before it was entered or after it was left."""


# -- log streams -----------------------------------------------------------------------------------------------------


class LogError(BrokerError):
    """Something that a log stream's writer or collector cannot do.  ``stream`` is its name."""

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(f"log stream {stream!r}: {reason}")
        self.stream = stream
        self.reason = reason


class LogInUse(LogError):
    """This endpoint has a writer of that stream already."""


class LogClosed(LogError, RuntimeError):
    """The handle was used before it was entered or after it was left."""


# -- rules -----------------------------------------------------------------------------------------------------------


class RuleProblem(NamedTuple):
    """One thing that is wrong in rules.

    ``source`` is the file it stands in, or empty; ``line`` and ``column`` are where in the file, from 1, or 0; ``path``
    leads to the place inside what was given, such as ``nodes[1].rules[0].constraint.WHERE.regex``, or is empty;
    ``excerpt`` is the line with a caret below the place, or empty.
    """

    source: str
    line: int
    column: int
    path: str
    what: str
    excerpt: str = ""

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else ""
        if self.line and self.column:
            where += f", column {self.column}"
        told = ": ".join(part for part in (self.source, where, self.path, self.what) if part)
        return f"{told}\n{self.excerpt}" if self.excerpt else told


class RuleError(BrokerError, ValueError):
    """Rules that make no sense, or cannot be read; ``problems`` is all that is wrong with them."""

    def __init__(self, problems: Iterable[RuleProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, path: str, what: str) -> RuleError:
        """One problem in a value: ``path`` leads to it."""
        return cls([RuleProblem("", 0, 0, path, what)])


class BadRegex(BrokerError, ValueError):
    """A text that is no regular expression, or one that cannot be run in linear time; ``reason`` says why."""

    def __init__(self, pattern: str, reason: str) -> None:
        shown = pattern if len(pattern) <= 80 else f"{pattern[:77]}..."
        super().__init__(f"{shown!r} is no regular expression: {reason}")
        self.pattern = pattern
        self.reason = reason
