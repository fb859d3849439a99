"""What carries out what log streams want done: commits in threads, handles to be woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from broker.errors import JournalError
from broker.handles.journal_thread import JournalThread
from broker.journaling import Work
from broker.logs.collector import Collector as CollectorMachine
from broker.logs.writer import Writer
from broker.protocol.actions import Action, CarryOut, LogChanged

if TYPE_CHECKING:
    from broker.endpoint_life import EndpointLife
    from broker.handles.collector import Collector
    from broker.handles.log_writer import LogWriter

__all__ = ["LogDriver"]


class LogDriver:
    """The trio side of all log streams of one endpoint."""

    def __init__(self, endpoint: EndpointLife) -> None:
        self._endpoint = endpoint
        self.writers: dict[Writer, LogWriter] = {}
        self.collectors: dict[CollectorMachine, Collector] = {}
        self.opening: set[str] = set()  # streams whose spools are just being opened
        self._threads: dict[
            str, JournalThread
        ] = {}  # by stream: a spool's first commit comes before its handle knows it
        self.flush_due = False  # the flusher has been told that something was written

    def carry_out(self, action: Action) -> None:
        """Do what a log stream wants done."""
        if type(action) is LogChanged:
            handle = self.writers.get(action.owner) or self.collectors.get(action.owner)  # type: ignore[call-overload]
            if handle is not None:
                handle.wake()
        elif type(action) is CarryOut:
            owner = action.owner
            assert isinstance(owner, Writer)
            self._do(owner, action.work)

    def _do(self, writer: Writer, work: Work) -> None:
        thread = self._threads.get(writer.name)
        if thread is not None:
            thread.carry_out(work)

    def begin_thread(self, stream: str, journal: object) -> JournalThread:
        """Let a spool be written from now on."""
        endpoint = self._endpoint

        def done(error: JournalError | None) -> None:
            writer = endpoint._node.logs.writers.get(stream)
            if writer is not None:
                endpoint._node.carried_out(writer, error, trio.current_time())
                endpoint._carry_out()

        thread = self._threads[stream] = JournalThread(stream, journal, done)  # type: ignore[arg-type]
        endpoint._nursery.start_soon(thread.run)
        return thread

    def commit_s(self, stream: str) -> float:
        """Return what a spool's commits have taken, in all."""
        thread = self._threads.get(stream)
        return 0.0 if thread is None else thread.commit_s

    def end_thread(self, stream: str) -> None:
        """Let nothing more be written."""
        self._threads.pop(stream, None)

    def flush_soon(self) -> None:
        """Have what was written leave as soon as the loop comes round."""
        if not self.flush_due:
            self.flush_due = True
            self._endpoint._published.unpark()
