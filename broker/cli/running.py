"""Running a command: signals, errors and exit codes."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

import broker
from broker.cli.exits import FAILED, INPUT_WRONG
from broker.cli.standard import Output, note
from broker.errors import AccessError, BadKey, ConfigError, InsecureAddress, KeyFileError, RuleError

__all__ = [
    "InputError",
    "counted",
    "follow_status",
    "innermost",
    "run",
    "run_plain",
]


class InputError(Exception):
    """What was typed or read in is wrong; the text says where and what to do."""


_INPUT_ERRORS: Final = (
    InputError,
    broker.AddressError,
    broker.TopicError,
    broker.NotCarried,
    broker.EventMisfit,
    BadKey,
    KeyFileError,
    AccessError,
)


Command = Callable[[Output], Awaitable[int]]


def run(command: Command, at_first_signal: Callable[[], None] | None = None, *, as_json: bool = False) -> int:
    """Run a command to its end, a signal or an error; returns the exit code.

    A signal to stop cancels it, but a first one only calls ``at_first_signal`` if there is such a function: the command
    then ends by itself.  A reader of standard output that goes away cancels it too, and is no failure.  With
    ``as_json`` the output is what it is elsewhere than in a terminal.
    """
    return run_plain(lambda: trio.run(_until_stopped, command, at_first_signal, as_json))


def run_plain(command: Callable[[], int]) -> int:
    """Run a command that needs no loop; returns the exit code."""
    try:
        return command()
    except BaseException as raised:
        error = innermost(raised)
        if isinstance(error, BrokenPipeError):
            return 0
        if isinstance(error, KeyboardInterrupt):
            return 128 + signal.SIGINT
        if not isinstance(error, (InputError, broker.BrokerError, OSError)):
            raise
        if isinstance(error, ConfigError | RuleError):
            for problem in error.problems:
                for line in f"broker: {problem}".split("\n"):
                    note(line)
            return FAILED if isinstance(error.__cause__, OSError) else INPUT_WRONG
        # An OSError's text begins with its number, which says nothing that the rest does not.
        text = error.strerror if isinstance(error, broker.ListenError) and error.strerror else str(error)
        hint = "; with commands: --keys NAME, or --insecure" if isinstance(error, InsecureAddress) else ""
        note(f"broker: {text}{hint}")
        wrong = isinstance(error, _INPUT_ERRORS) and not isinstance(error.__cause__, OSError)
        return INPUT_WRONG if wrong else FAILED


def innermost(error: BaseException) -> BaseException:
    """The one error in groups of one, which is what nurseries make of it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _stop_signals() -> list[signal.Signals]:
    """The signals that ask a command to stop, without those that whoever started it wants ignored (nohup, ``&``)."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


async def _until_stopped(command: Command, at_first_signal: Callable[[], None] | None, as_json: bool) -> int:
    output = Output(as_json=as_json)
    code = 0

    async def stop_when_unread() -> None:
        await output.until_unread()
        nursery.cancel_scope.cancel()

    async def stop_at_signal(task_status: trio.TaskStatus[None]) -> None:
        nonlocal code, at_first_signal
        with trio.open_signal_receiver(*_stop_signals()) as signals:
            task_status.started()
            async for number in signals:
                if at_first_signal is not None:
                    at_first_signal()
                    at_first_signal = None
                    continue
                code = 128 + number
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_at_signal)
        nursery.start_soon(stop_when_unread)
        code = await command(output)
        nursery.cancel_scope.cancel()
    return code


def counted(number: int, thing: str, things: str = "") -> str:
    """A number of things in words: 1 event, 2 events."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


async def follow_status(
    changes: broker.StatusReader, at_each: Callable[[broker.Status], None] = lambda _: None
) -> None:
    """Say on standard error what happens to peers and messages; calls ``at_each`` with each status event.

    Of the failed attempts to dial a peer it tells the first after each link: before any, ``endpoint.peer()`` raises.
    """
    linked: set[str] = set()
    async for change in changes:
        at_each(change)
        if isinstance(change, broker.PeeringFailed):
            if change.address not in linked:
                continue
            linked.remove(change.address)
        elif isinstance(change, (broker.PeerAdded, broker.PeerResumed)):
            linked.add(change.address)
        note(str(change))
