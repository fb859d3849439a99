"""``broker log info``: the log streams of a mesh and who writes them, or what is in a spool's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import trio
from rich.text import Text

import broker
from broker.cli.exits import FAILED
from broker.cli.jsonform import dumps
from broker.cli.log.reach import LogReach
from broker.cli.log.spool import spool_form
from broker.cli.running import InputError, counted
from broker.cli.standard import Output, printable
from broker.cli.tables import drawn as drawn_text
from broker.cli.tables import fields_table, new_table
from broker.errors import JournalBusy, JournalMismatch, JournalUnreadable

__all__ = ["LogInfoOfMesh", "LogInfoOfSpool"]

_LOOK_S: Final = 0.02
_NOT_READ: Final = (JournalBusy, JournalMismatch, JournalUnreadable)
_EPOCHS_SHOWN: Final = 5


@attrs.frozen
class LogInfoOfMesh:
    """One run of ``broker log info`` with a mesh to look at."""

    reach: LogReach
    stream: str | None
    as_json: bool

    async def __call__(self, output: Output) -> int:
        """Show each stream's writers, and how many records each has written."""
        async with self.reach.identity.endpoint(linger_s=0, forward=False) as endpoint:
            await self.reach.link(endpoint)
            streams = endpoint.streams()
            if self.stream is not None:
                streams = {self.stream: streams.get(self.stream, ())}
            forms = [await self._form(endpoint, stream, names) for stream, names in streams.items()]
        drawn = output.is_terminal and not self.as_json
        text = _streams_table(forms) if drawn else "".join(dumps(form) + "\n" for form in forms)
        await output.write(text)
        if self.stream is not None and not forms[0]["writers"]:
            raise broker.LogError(self.stream, "nobody in this mesh writes it into a spool now")
        return 0

    async def _form(self, endpoint: broker.Endpoint, stream: str, names: Sequence[str]) -> dict[str, Any]:
        """A stream; a collector that only looks asks each of its writers how far it is."""
        lags: Mapping[str, broker.WriterLag] = {}
        try:
            collector = endpoint.collect(stream, since="now")
        except ValueError as error:
            raise InputError(str(error)) from None
        async with collector as records:
            with trio.move_on_after(self.reach.timeout_s):
                while True:
                    lags = {lag.writer: lag for lag in records.lag() if lag.reachable}
                    if all(name in lags or name in records.refused for name in names):
                        break
                    await trio.sleep(_LOOK_S)  # no event tells that a writer has answered
        writers = []
        for name in names:
            lag = lags.get(name)
            answer = (
                {"last": None, "journal": None} if lag is None else {"last": lag.last, "journal": lag.journal.hex()}
            )
            writers.append({"writer": name, **answer})
        return {"stream": stream, "writers": writers}


def _streams_table(forms: Sequence[Mapping[str, Any]]) -> str:
    table = new_table()
    table.add_column("stream", no_wrap=True)
    table.add_column("writer", no_wrap=True)
    table.add_column("records written", justify="right", no_wrap=True)
    for form in forms:
        for number, writer in enumerate(form["writers"]):
            name = "" if number else printable(form["stream"])
            last = "?" if writer["last"] is None else f"{writer['last']:,}"
            table.add_row(Text(name, style="cyan"), Text(printable(writer["writer"])), last)
    return drawn_text(table) if forms else "no log stream is written into a spool in this mesh\n"


@attrs.frozen
class LogInfoOfSpool:
    """One run of ``broker log info`` with a spool's file to look at."""

    path: str
    as_json: bool

    async def __call__(self, output: Output) -> int:
        """Show what is in it; fails when something of it is damaged."""
        try:
            form = await trio.to_thread.run_sync(spool_form, self.path, abandon_on_cancel=True)
        except _NOT_READ as error:
            raise InputError(str(error)) from None
        await output.write(_spool_text(form) if output.is_terminal and not self.as_json else dumps(form) + "\n")
        return FAILED if form["problems"] or form.get("damaged_chunks") else 0


def _spool_text(form: dict[str, Any]) -> str:
    shown = {
        "spool": form["path"],
        "stream": form["stream"],
        "in use": "by the program that writes it" if form["in_use"] else "by nobody",
        "size": f"{form['bytes']:,} bytes",
    }
    if "journal" not in form:
        return fields_table(shown) + _problems_text(form)
    shown |= {
        "journal": form["journal"],
        "records": f"{form['records']:,}, numbers {form['first']:,} to {form['last']:,}, {form['record_bytes']:,} bytes"
        if form["records"]
        else f"none; the last had the number {form['last']:,}",
        "written": f"{form['oldest']} to {form['latest']}" if form["oldest"] else "",
        "dropped": f"{form['dropped']:,} that not all collectors had" if form["dropped"] else "",
        "damaged": f"{counted(form['damaged_chunks'], 'chunk')}, {counted(form['damaged_records'], 'record')}"
        if form["damaged_chunks"]
        else "",
    }
    for schema in form["schemas"]:
        shown[f"record {schema['record']}"] = ", ".join(schema["columns"])
    for epoch in form["epochs"][-_EPOCHS_SHOWN:]:
        shown[f"epoch {epoch['epoch']}"] = f"from record {epoch['first']:,} on, {epoch['time']}"
    for collector in form["collectors"]:
        lost = f", {collector['lost']:,} lost" if collector["lost"] else ""
        shown[f"collector {collector['name']}"] = (
            f"has all up to {collector['acknowledged']:,}, lacks {counted(collector['behind'], 'record')}{lost}"
        )
    return fields_table(shown) + _problems_text(form)


def _problems_text(form: dict[str, Any]) -> str:
    return "".join(printable(f"problem: {problem}") + "\n" for problem in form["problems"])
