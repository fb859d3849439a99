"""Every error the library raises, in one flat tree.

An error blames precisely: your value (:class:`NotCarried`, :class:`EventMisfit`), your argument
(:class:`TopicError`, :class:`AddressError`), the machine (:class:`ListenError`), the remote end
(:class:`PeeringError` and its children; a linked peer that breaks the protocol is a status event).  Its text names the
value, the topic or the peer, and says what to do.
"""

from __future__ import annotations

__all__ = [
    "AddressError",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "BrokerError",
    "DuplicateName",
    "EndpointClosed",
    "EventDefinitionError",
    "EventMisfit",
    "ListenError",
    "Malformed",
    "NotCarried",
    "PeerUnavailable",
    "PeeringError",
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


class TopicError(BrokerError, ValueError):
    """A topic or a topic prefix that is not well formed."""


class AddressError(BrokerError, ValueError):
    """An address that does not parse or names a transport that is not supported."""


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
