"""Publish/subscribe and shared state for monitoring agents: endpoints that peer with each other, with no server.

An **endpoint** listens, peers with others, publishes and subscribes.  An **event** is an attrs class made by
:func:`event`; it is checked against its annotations where it is published and where it arrives.  A **topic** is a text
such as ``host/web-01/disk``; a subscription is a prefix of topics.  A **store** is a key-value store that endpoints
share: its **master** decides every write, **clones** are replicas of it, a **proxy** only asks.

    @broker.event
    class DiskUsage:
        host: str
        used: float

    async with broker.Endpoint("manager") as endpoint:
        address = await endpoint.listen("tcp://127.0.0.1:0")
        async with endpoint.subscribe("host/", DiskUsage) as messages, endpoint.master("disks") as disks:
            async for message in messages:
                await disks.put(message.event.host, message.event.used, expires_in=60)

The layers, each of which imports only from those below it: ``cli`` (the command line) and ``testing`` (endpoints on a
simulated network); ``sinks`` (log files); ``endpoint`` and its handles, such as ``store`` (trio); ``net`` (ZeroMQ),
``journal`` (LMDB) and ``keyring`` (files of keys and access rules); ``node`` (an endpoint without I/O); ``stores``
(master and clones) and ``logs``; ``protocol`` (what endpoints say to each other); ``trust`` (keys and rights);
``journaling`` (what a journal is); ``values``, ``events``, ``log_records``, ``topics``, ``errors`` (what is said).
"""

from __future__ import annotations

from broker.endpoint import Endpoint
from broker.errors import (
    AccessError,
    AddressError,
    AuthenticationFailed,
    AuthorizationFailed,
    BadKey,
    BrokerError,
    ChangesLost,
    DuplicateName,
    EndpointClosed,
    EventDefinitionError,
    EventMisfit,
    InsecureAddress,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalMismatch,
    JournalUnreadable,
    KeyExists,
    KeyFileError,
    ListenError,
    LogClosed,
    LogError,
    LogInUse,
    Malformed,
    MasterExists,
    MasterUnavailable,
    NoSuchElement,
    NoSuchKey,
    NotCarried,
    NotMaster,
    NotPermitted,
    NotReplicated,
    OutcomeUnknown,
    OutOfRange,
    PeeringError,
    PeerUnavailable,
    StaleData,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreInUse,
    StoreNotPermitted,
    TopicError,
    TypeClash,
    ValueDiffers,
    VersionMismatch,
)
from broker.events import Event, event
from broker.figures import Figures
from broker.handles.batch import Batch
from broker.handles.collector import Collector
from broker.handles.log_topic import LogTopic
from broker.handles.log_writer import CollectorInfo, LogInfo, LogWriter
from broker.handles.status_reader import StatusReader
from broker.handles.store import Store, StoreFollower, StoreInfo
from broker.handles.store_proxy import StoreProxy
from broker.handles.store_roles import StoreClone, StoreMaster
from broker.handles.store_writing import Level, Outcome, Replicated
from broker.handles.subscriber import Subscriber
from broker.handles.watch import Watch
from broker.journaling import Position
from broker.log_records import Column, column, log_record
from broker.logs.batches import WriterLag
from broker.logs.messages import LogMessage
from broker.mesh import Mesh, MeshEndpoint, MeshLink, MeshSubscription
from broker.messages import Message
from broker.protocol.survey import Peer
from broker.protocol.wires import Timing
from broker.status import (
    AccessRefused,
    AccessRules,
    CollectorRefused,
    CollectorStalled,
    EventMisfitted,
    LogFailing,
    LogRecovered,
    MessagesLost,
    MessagesRecovered,
    PeerAdded,
    PeeringFailed,
    PeerInterrupted,
    PeerLost,
    PeerRefused,
    PeerResumed,
    RecordMisfitted,
    RecordsDropped,
    RecordsLost,
    Status,
    StatusLost,
    StoreConflict,
    StoreFailing,
    StoreForked,
    StoreRecovered,
    StoreSynced,
    WriterReset,
)
from broker.stores.changes import ABSENT, LAST, OMITTED, Change
from broker.trust.access import Access, Trusted
from broker.trust.keys import PublicKey, SecretKey
from broker.trust.rights import Rights
from broker.values import Count, EnumValue, Port, Timestamp

__all__ = [
    "ABSENT",
    "Access",
    "AccessError",
    "AccessRefused",
    "AccessRules",
    "AddressError",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "BadKey",
    "Batch",
    "BrokerError",
    "Change",
    "ChangesLost",
    "Collector",
    "CollectorInfo",
    "CollectorRefused",
    "CollectorStalled",
    "column",
    "Column",
    "Count",
    "DuplicateName",
    "Endpoint",
    "EndpointClosed",
    "EnumValue",
    "event",
    "Event",
    "EventDefinitionError",
    "EventMisfit",
    "EventMisfitted",
    "Figures",
    "InsecureAddress",
    "JournalBusy",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalMismatch",
    "JournalUnreadable",
    "KeyExists",
    "KeyFileError",
    "LAST",
    "Level",
    "ListenError",
    "log_record",
    "LogClosed",
    "LogError",
    "LogFailing",
    "LogInfo",
    "LogInUse",
    "LogMessage",
    "LogRecovered",
    "LogTopic",
    "LogWriter",
    "Malformed",
    "MasterExists",
    "MasterUnavailable",
    "Mesh",
    "MeshEndpoint",
    "MeshLink",
    "MeshSubscription",
    "Message",
    "MessagesLost",
    "MessagesRecovered",
    "NoSuchElement",
    "NoSuchKey",
    "NotCarried",
    "NotMaster",
    "NotPermitted",
    "NotReplicated",
    "OMITTED",
    "Outcome",
    "OutcomeUnknown",
    "OutOfRange",
    "Peer",
    "PeerAdded",
    "PeeringError",
    "PeeringFailed",
    "PeerInterrupted",
    "PeerLost",
    "PeerRefused",
    "PeerResumed",
    "PeerUnavailable",
    "Port",
    "Position",
    "PublicKey",
    "RecordMisfitted",
    "RecordsDropped",
    "RecordsLost",
    "Replicated",
    "Rights",
    "SecretKey",
    "StaleData",
    "Status",
    "StatusLost",
    "StatusReader",
    "Store",
    "StoreClone",
    "StoreClosed",
    "StoreConflict",
    "StoreError",
    "StoreFailing",
    "StoreFollower",
    "StoreForked",
    "StoreFull",
    "StoreInfo",
    "StoreInUse",
    "StoreMaster",
    "StoreNotPermitted",
    "StoreProxy",
    "StoreRecovered",
    "StoreSynced",
    "Subscriber",
    "Timestamp",
    "Timing",
    "TopicError",
    "Trusted",
    "TypeClash",
    "ValueDiffers",
    "VersionMismatch",
    "Watch",
    "WriterLag",
    "WriterReset",
]

__version__ = "0.1.0"
