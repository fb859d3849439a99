"""What an endpoint that was made from a configuration does by itself: it listens, and keeps dialling its peers."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio

from broker.config.model import Config, Peer
from broker.errors import BrokerError, EndpointClosed
from broker.log_format import about

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["Wiring"]

_log = logging.getLogger("broker.peers")
# Who has refused us for good is asked again this often: its rules, or ours, may have been changed.
_REFUSED_S: Final = 30.0


class Wiring:
    """The addresses that an endpoint dials until it is linked with them, however long that takes."""

    def __init__(self, endpoint: Endpoint, config: Config) -> None:
        """``config`` is the one that it begins with."""
        self._endpoint = endpoint
        self._config = config
        self._dialling: dict[str, trio.CancelScope] = {}

    async def begin(self, nursery: trio.Nursery) -> None:
        """Listen on every address of the configuration, and begin to dial every peer; raises what ``listen`` does."""
        config = self._config
        for listened in config.listen:
            await self._endpoint.listen(listened.address, insecure=config.is_insecure(listened))
        for peer in config.peer:
            self.dial(peer, config, nursery)

    def dial(self, peer: Peer, config: Config, nursery: trio.Nursery) -> None:
        """Begin to dial a peer."""
        scope = self._dialling[peer.address] = trio.CancelScope()
        nursery.start_soon(self._dial, peer, config.is_insecure(peer), scope)

    def forget(self, address: str) -> bool:
        """Dial an address no more; whether it was still being dialled."""
        scope = self._dialling.pop(address, None)
        if scope is not None:
            scope.cancel()
        return scope is not None

    @trio.lowlevel.enable_ki_protection
    async def _dial(self, peer: Peer, insecure: bool, scope: trio.CancelScope) -> None:
        told = ""
        with scope:
            while True:
                try:
                    await self._endpoint.peer(peer.address, timeout=math.inf, key=peer.key, insecure=insecure)
                except EndpointClosed:
                    return
                except BrokerError as error:
                    if scope.cancel_called:  # it was withdrawn at just that moment
                        return
                    if str(error) != told:
                        told = str(error)
                        name = self._endpoint.name
                        fields = about(name, address=peer.address, reason=told)
                        _log.warning("%s: %s; it is tried again every %.0f s", name, told, _REFUSED_S, extra=fields)
                else:
                    if self._dialling.get(peer.address) is scope:
                        del self._dialling[peer.address]  # from now on it is kept up
                    return
                await trio.sleep(_REFUSED_S)
