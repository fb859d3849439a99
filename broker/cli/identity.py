"""Who a command's endpoint is, and whom it trusts: the options for that, and the endpoint they make.

What takes long to import is imported where it is used: help and completion need the options alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import click
from click.core import ParameterSource

import broker
from broker.cli.completing import holders, key_names

__all__ = ["Identity", "identity_options"]


@attrs.frozen
class Identity:
    """What an endpoint of a command is called, the key it has, whose keys it trusts."""

    name: str | None = None
    keys: str | None = None
    access: Path | None = None
    insecure: bool = False  # without keys, at addresses that lead to other machines
    peer_key: str | None = (
        None  # whose key is expected at what we dial; None: that which the rules have for the address
    )

    def endpoint(self, linger_s: float, *, forward: bool = True) -> broker.Endpoint:
        """An endpoint so; one that publishes nothing need not linger, one that only looks need not forward."""
        try:
            return broker.Endpoint(self.name, keys=self.keys, access=self.access, linger_s=linger_s, forward=forward)
        except broker.BrokerError:
            raise
        except ValueError as error:
            from broker.cli.running import InputError

            raise InputError(str(error)) from None

    async def listen(self, endpoint: broker.Endpoint, address: str) -> str:
        """Listen on an address; returns which it became."""
        return await endpoint.listen(address, insecure=self.insecure)

    async def listen_all(self, endpoint: broker.Endpoint, addresses: Iterable[str]) -> None:
        """Listen on each address, and say on which it became."""
        from broker.cli.standard import note

        for address in addresses:
            note(f"listening on {await self.listen(endpoint, address)}")

    async def peer_all(self, endpoint: broker.Endpoint, addresses: Iterable[str], timeout: float) -> None:
        """Link with each address."""
        for address in addresses:
            await endpoint.peer(address, timeout=timeout, key=self.peer_key, insecure=self.insecure)


def identity_options(*, name_taken: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of every command that has an endpoint, which gets them as one :class:`Identity`, ``identity``.

    ``--endpoint`` is our name everywhere, and so is ``--name``, but where something else is named so.
    """
    options = (
        click.option(
            "--endpoint",
            *(() if name_taken else ("--name",)),
            "our_name",
            metavar="NAME",
            help="Our name in the mesh; by default the host's and the process's number, behind the key's name.",
        ),
        click.option(
            "--keys", metavar="NAME|PATH", shell_complete=key_names, help="Our key, and encryption (see 'broker keys')."
        ),
        click.option(
            "--access",
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="BROKER_ACCESS",
            show_envvar=True,
            help="Whom we trust; by default access.toml beside the key.",
        ),
        click.option(
            "--peer-key",
            metavar="NAME|KEY",
            shell_complete=holders,
            help="Whose key is at --connect; by default who has the address in --access.",
        ),
        click.option("--insecure", is_flag=True, help="Do without keys on a network where everybody is trusted."),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_identity(
            *arguments: Any,
            our_name: str | None,
            keys: str | None,
            access: Path | None,
            peer_key: str | None,
            insecure: bool,
            **given: Any,
        ) -> Any:
            if keys is None:
                source = click.get_current_context().get_parameter_source("access")
                if access is not None and source is not ParameterSource.ENVIRONMENT:
                    raise click.UsageError("--access needs keys, by which others are known: say --keys NAME, too")
                if peer_key is not None:
                    raise click.UsageError("--peer-key needs a key of our own: say --keys NAME, too")
                access = None
            elif insecure:
                raise click.UsageError("with --keys all is encrypted: leave --insecure out")
            identity = Identity(our_name, keys, access, insecure, peer_key)
            return command(*arguments, identity=identity, **given)

        for option in reversed(options):
            with_identity = option(with_identity)
        return with_identity

    return decorate
