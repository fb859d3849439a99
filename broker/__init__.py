"""Publish/subscribe for monitoring agents: typed events by topic between endpoints that peer with each other.

An **endpoint** listens, peers with others, publishes and subscribes; there is no server.  An **event** is an attrs
class made by :func:`event`; it is checked against its annotations where it is published and where it arrives.  A
**topic** is a text such as ``host/web-01/disk``; a subscription is a prefix of topics.

    @broker.event
    class DiskUsage:
        host: str
        used: float

    async with broker.Endpoint("manager") as endpoint:
        address = await endpoint.listen("tcp://127.0.0.1:0")
        async with endpoint.subscribe("host/", DiskUsage) as messages:
            async for message in messages:
                print(message.topic, message.event.used)

The layers, each of which imports only from those below it: ``cli`` (the command line) and ``testing`` (endpoints on a
simulated network); ``endpoint`` and its handles (trio); ``net`` (ZeroMQ); ``node`` and ``protocol`` (what two endpoints
say to each other, without I/O); ``values``, ``events``, ``topics``, ``errors`` (what is said).
"""

from __future__ import annotations

from broker.endpoint import Endpoint
from broker.errors import (
    AddressError,
    AuthenticationFailed,
    AuthorizationFailed,
    BrokerError,
    DuplicateName,
    EndpointClosed,
    EventDefinitionError,
    EventMisfit,
    ListenError,
    Malformed,
    NotCarried,
    PeeringError,
    PeerUnavailable,
    TopicError,
    VersionMismatch,
)
from broker.events import Event, event
from broker.mesh import Mesh, MeshEndpoint, MeshLink, MeshSubscription
from broker.messages import Message
from broker.protocol.survey import Peer
from broker.protocol.wires import Timing
from broker.status import (
    EventMisfitted,
    MessagesLost,
    MessagesRecovered,
    PeerAdded,
    PeeringFailed,
    PeerInterrupted,
    PeerLost,
    PeerRefused,
    PeerResumed,
    Status,
    StatusLost,
)
from broker.status_reader import StatusReader
from broker.subscriber import Subscriber
from broker.values import Count, EnumValue, Port, Timestamp

__all__ = [
    "AddressError",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "BrokerError",
    "Count",
    "DuplicateName",
    "Endpoint",
    "EndpointClosed",
    "EnumValue",
    "Event",
    "EventDefinitionError",
    "EventMisfit",
    "EventMisfitted",
    "ListenError",
    "Malformed",
    "Mesh",
    "MeshEndpoint",
    "MeshLink",
    "MeshSubscription",
    "Message",
    "MessagesLost",
    "MessagesRecovered",
    "NotCarried",
    "Peer",
    "PeerAdded",
    "PeerInterrupted",
    "PeerLost",
    "PeerRefused",
    "PeerResumed",
    "PeerUnavailable",
    "PeeringError",
    "PeeringFailed",
    "Port",
    "Status",
    "StatusLost",
    "StatusReader",
    "Subscriber",
    "Timestamp",
    "Timing",
    "TopicError",
    "VersionMismatch",
    "event",
]

__version__ = "0.1.0"
