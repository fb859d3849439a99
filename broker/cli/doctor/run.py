"""One run of ``broker doctor``: the steps in their order, until one fails."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs

import broker
from broker.cli.doctor.linked import Visit
from broker.cli.doctor.show import finding_line, finding_text, verdict_line, verdict_text
from broker.cli.doctor.steps import STEPS, Finding, StepFailed
from broker.cli.doctor.wire import connected, greeted, path_of, resolved, security_of
from broker.cli.exits import DONE, FAILED
from broker.cli.identity import Identity
from broker.cli.standard import Output, silence_library
from broker.net.address import Address, parse_address

__all__ = ["Doctor"]

_CLOCK_S: Final = 2.5


@attrs.frozen
class Doctor:
    """One run of the command."""

    address: str
    identity: Identity
    prefixes: Sequence[str]  # to subscribe to, to see whether that is allowed
    timeout_s: float

    async def __call__(self, output: Output) -> int:
        """Take the steps, and tell each as it is done; those behind one that failed are skipped."""
        silence_library()
        findings: list[Finding] = []

        async def report(finding: Finding) -> None:
            findings.append(finding)
            await output.write(finding_text(finding) if output.is_terminal else finding_line(finding))

        try:
            await self._examine(report)
        except StepFailed as error:
            step, *behind = STEPS[len(findings) :]
            await report(Finding(step, "failed", error.found, error.advice, error.details))
            for each in behind if not output.is_terminal else ():
                await report(Finding(each, "skipped", f"not tried: the {step} comes first"))
        await output.write((verdict_text if output.is_terminal else verdict_line)(self.address, findings))
        return FAILED if any(finding.state == "failed" for finding in findings) else DONE

    async def _examine(self, report: Callable[[Finding], Awaitable[None]]) -> None:
        """Take the steps; raises StepFailed for the first that cannot be taken."""
        address = self._parsed()
        await report(Finding("address", "ok", _taken_apart(address)))
        await report(self._key())
        if address.transport == "tcp":
            finding, targets = await resolved(address)
        else:
            finding = Finding("name", "skipped", "a path on this machine needs none")
            # ZeroMQ's "@" is the zero with which names begin that Linux keeps outside of the file system.
            path = "\0" + address.rest[1:] if address.rest.startswith("@") else address.rest
            targets = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path)]
        await report(finding)
        finding, wire = await connected(address, targets, self.timeout_s)
        async with wire:
            await report(finding)
            await report(path_of(wire))
            have_keys = self.identity.keys is not None
            finding, theirs = await greeted(wire, self.timeout_s)
        await report(finding)
        await report(security_of(theirs, have_keys=have_keys))
        async with self.identity.endpoint(linger_s=0, forward=False) as endpoint, endpoint.status() as changes:
            visit = Visit(endpoint, self.address, self.timeout_s, have_keys=have_keys)
            await report(await visit.handshake(self.identity))
            await report(await visit.rights(self.prefixes, changes))
            await report(await visit.round_trip())
            await report(await visit.large_frames())
            await report(await visit.clock(min(_CLOCK_S, self.timeout_s)))
            await report(visit.mesh())

    def _parsed(self) -> Address:
        try:
            address = parse_address(self.address, to_dial=True)
        except broker.AddressError as error:
            raise StepFailed(str(error)) from None
        if address.transport == "inproc":
            raise StepFailed(
                "inproc:// leads to endpoints of one process, and this is another",
                "look from within the program itself",
            )
        away = not address.is_of_this_machine
        if away and self.identity.keys is None and not self.identity.insecure:
            raise StepFailed(
                f"{self.address} may be another machine's, and without keys anybody could pose as it",
                "say --keys NAME; or --insecure, where everybody on the network is trusted",
            )
        return address

    def _key(self) -> Finding:
        if self.identity.keys is None:
            return Finding("key", "skipped", "we have none (--keys NAME)")
        from broker.keyring import access_beside, key_path, read_access, read_key

        try:
            key = read_key(key_path(self.identity.keys))
            path = self.identity.access or access_beside(key.path)
            access = read_access(path)
        except broker.BrokerError as error:
            raise StepFailed(str(error), "'broker keys check' looks at all of them") from None
        public = str(key.secret.public)
        expected = [name for name, entry in access.trusted.items() if self.address in entry.addresses]
        details: dict[str, Any] = {"name": key.name, "key": public, "access": str(path), "expected": expected}
        text = f"ours is {key.name}'s, {public[:14]}...; the rules in {path} trust {len(access.trusted)}"
        if not expected and self.identity.peer_key is None:
            raise StepFailed(
                f"{text}, and say of none that it is at {self.address}",
                "say whose key to expect there: --peer-key NAME; for good: "
                f"broker keys trust KEY --name NAME --address {self.address}",
                **details,
            )
        return Finding(
            "key", "ok", f"{text}; expected there: {self.identity.peer_key or ', '.join(expected)}", details=details
        )


def _taken_apart(address: Address) -> str:
    if address.transport == "tcp":
        return f"TCP, host {address.host}, port {address.port}"
    return f"a socket of this machine, {address.rest}"
