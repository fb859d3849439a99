"""Status events as records of :mod:`logging`: see :mod:`broker.log_format`."""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import Final

from broker import status
from broker.log_format import about
from broker.status import Status

__all__ = ["log_status"]

_DEBUG, _INFO, _WARNING = logging.DEBUG, logging.INFO, logging.WARNING
_LEVELS: Final[dict[str, dict[type[Status], int]]] = {
    "broker.peers": {
        status.PeerAdded: _INFO,
        status.PeerInterrupted: _INFO,
        status.PeerResumed: _INFO,
        status.PeerLost: _INFO,
        status.PeerRefused: _INFO,
        status.PeeringFailed: _DEBUG,
    },
    "broker.messages": {
        status.MessagesLost: _WARNING,
        status.MessagesRecovered: _INFO,
        status.EventMisfitted: _DEBUG,
    },
    "broker.access": {status.AccessRefused: _WARNING, status.AccessRules: _WARNING},
    "broker.stores": {
        status.StoreConflict: _WARNING,
        status.StoreFailing: _WARNING,
        status.StoreForked: _WARNING,
        status.StoreRecovered: _INFO,
        status.StoreSynced: _INFO,
    },
    "broker.logs": {
        status.CollectorRefused: _WARNING,
        status.CollectorStalled: _WARNING,
        status.LogFailing: _WARNING,
        status.LogRecovered: _INFO,
        status.RecordMisfitted: _WARNING,
        status.RecordsDropped: _WARNING,
        status.RecordsLost: _WARNING,
        status.WriterReset: _WARNING,
    },
    "broker.rules": {
        status.ActionsLost: _WARNING,
        status.RuleFailed: _WARNING,
        status.RulesBroken: _WARNING,
        status.RulesFailing: _WARNING,
        status.RulesRecovered: _INFO,
        status.RulesReloaded: _INFO,
    },
}
_LOGGERS: Final = {
    kind: (logging.getLogger(name), level) for name, levels in _LEVELS.items() for kind, level in levels.items()
}
_OTHER: Final = (logging.getLogger("broker"), _INFO)


def log_status(endpoint: str, told: Status, raised: Container[str] = ()) -> None:
    """Write a status event of an endpoint to the log; of addresses that are ``raised`` somebody gets an exception."""
    logger, level = _LOGGERS.get(type(told), _OTHER)
    if isinstance(told, status.AccessRules) and told.accepted:
        level = _INFO
    elif (isinstance(told, status.RulesRecovered) and told.lost) or _is_refusal(told, raised):
        level = _WARNING
    if logger.isEnabledFor(level):
        fields = {name: getattr(told, name) for name in told.__struct_fields__}
        logger.log(level, "%s: %s", endpoint, told, extra=about(endpoint, event=type(told).__name__, **fields))


def _is_refusal(told: Status, raised: Container[str]) -> bool:
    return isinstance(told, status.PeeringFailed) and told.final and told.address not in raised
