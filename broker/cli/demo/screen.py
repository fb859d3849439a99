"""What the manager shows in a terminal: a live table of the agents, and the summary at the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.cli.demo.events import CpuLoad, DiskUsage, MemoryUsage
from broker.cli.demo.hosts import EXPIRES_S, STORE, HostsTally
from broker.cli.demo.tally import AgentTally, Tally, kind_of
from broker.cli.running import counted
from broker.cli.standard import printable

__all__ = ["live_table", "plain_line", "print_summary"]

# Columns that give way in a terminal of fewer columns.
_COLUMNS_FOR_PROCESS = 98
_COLUMNS_BESIDE_PROCESS = 84
_COLUMNS_FOR_DISK = 80
_COLUMNS_FOR_ENTRY = 62
_COLUMNS_FOR_SUMMARY = 68
_KINDS = ("cpu", "memory", "disk", "process", "burst")
_HIGH_PERCENT = 90.0
_RAISED_PERCENT = 70.0


def live_table(tally: Tally, seconds: float, events_per_s: float, columns: int) -> Table:
    """The agents as they are now; ``columns`` is the terminal's width."""
    table = Table(box=box.SIMPLE_HEAD, title=_title(tally, seconds, events_per_s), title_justify="left")
    table.add_column("agent", no_wrap=True)
    if columns >= _COLUMNS_FOR_ENTRY:
        table.add_column("entry", justify="right", no_wrap=True)  # how long it lives unless it is renewed
    table.add_column("cpu", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    if columns >= _COLUMNS_FOR_DISK:
        table.add_column("fullest disk", no_wrap=True)
    if columns >= _COLUMNS_FOR_PROCESS:
        table.add_column("busiest process", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    for agent in tally.agents.values():
        entry = [_entry(agent.name, tally.hosts)] if columns >= _COLUMNS_FOR_ENTRY else []
        cells = [_name(agent), *entry, _cpu(agent), _memory(agent)]
        if columns >= _COLUMNS_FOR_DISK:
            cells.append(_disk(agent))
        if columns >= _COLUMNS_FOR_PROCESS:
            process = _process(agent)
            process.truncate(columns - _COLUMNS_BESIDE_PROCESS, overflow="ellipsis")
            cells.append(process)
        table.add_row(*cells, f"{agent.received.total():,}")
    return table


def _title(tally: Tally, seconds: float, events_per_s: float) -> str:
    hosts = f"{STORE}: {_entries(tally.hosts)}"
    return f"{seconds:.0f} s  {tally.events:,} events  {events_per_s:,.0f} events/s  {hosts}  Ctrl-C stops"


def _entries(hosts: HostsTally) -> str:
    return counted(len(hosts.values), "entry", "entries")


def _entry(name: str, hosts: HostsTally) -> Text:
    """When an agent's entry is over, unless the agent renews it."""
    expires = hosts.expires.get(name)
    if expires is not None:
        seconds = max(0.0, (expires - datetime.now(UTC)).total_seconds())
        return Text(f"{seconds:.1f} s", style="green" if seconds > EXPIRES_S / 2 else "yellow")
    return Text("expired", style="red") if hosts.expired[name] else Text("-")


def _name(agent: AgentTally) -> Text:
    if agent.died:
        return Text(f"{agent.name} died", style="bold red")
    return Text(agent.name, style="cyan")


def _percent(percent: float) -> Text:
    style = "red" if percent >= _HIGH_PERCENT else "yellow" if percent >= _RAISED_PERCENT else "green"
    return Text(f"{percent:.0f} %", style=style)


def _cpu(agent: AgentTally) -> Text:
    load = agent.last(CpuLoad)
    return _percent(load.percent) if load else Text("-")


def _memory(agent: AgentTally) -> Text:
    memory = agent.last(MemoryUsage)
    if memory is None:
        return Text("-")
    used = memory.total_bytes - memory.available_bytes
    return Text.assemble(f"{_gib(used)} of {_gib(memory.total_bytes)} GiB ", _percent(memory.percent))


def _disk(agent: AgentTally) -> Text:
    if not agent.disks:
        return Text("-")
    disk: DiskUsage = max(agent.disks.values(), key=lambda disk: disk.percent)
    return Text.assemble(printable(disk.mount), " ", _percent(disk.percent))


def _process(agent: AgentTally) -> Text:
    process = agent.busiest
    if process is None:
        return Text("-")
    name = printable(process.name)[:16]
    return Text(f"{name} ({process.pid}) {process.cpu_percent:.0f} %, {process.resident_bytes >> 20:,} MiB")


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f}"


def plain_line(tally: Tally, seconds: float, events_per_s: float) -> str:
    """The same on one line, for terminals that cannot move the cursor."""
    loads = [load.percent for agent in tally.agents.values() if (load := agent.last(CpuLoad))]
    cpu = f"{max(loads):.0f} %" if loads else "-"
    died = f"  died: {', '.join(tally.died)}" if tally.died else ""
    up = f"  up {len(tally.hosts.values)}"
    return f"{seconds:4.0f} s  {tally.events:,} events  {events_per_s:,.0f} events/s  cpu {cpu}{up}{died}"


def print_summary(console: Console, tally: Tally, seconds: float) -> None:
    """Events by agent and topic, and what was lost, as a table and a sentence."""
    if console.width >= _COLUMNS_FOR_SUMMARY:
        console.print(_summary_table(tally))
    else:
        for agent in tally.agents.values():
            console.print(_summary_line(agent), soft_wrap=True)
    console.print(summary_text(tally.summary(seconds)), soft_wrap=True, highlight=False)


def _counts(agent: AgentTally) -> dict[str, int]:
    received = {kind_of(topic): count for topic, count in agent.received.items()}
    return {kind: received.get(kind, 0) for kind in _KINDS}


def _lost(agent: AgentTally) -> str:
    return "?" if agent.lost is None else f"{agent.lost:,}"


def _summary_line(agent: AgentTally) -> Text:
    counts = ", ".join(f"{kind} {count:,}" for kind, count in _counts(agent).items())
    return Text.assemble(_name(agent), f": {counts}, lost {_lost(agent)}")


def _summary_table(tally: Tally) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="events by agent and topic", title_justify="left")
    table.add_column("agent", no_wrap=True)
    for heading in (*_KINDS, "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for agent in tally.agents.values():
        table.add_row(_name(agent), *(f"{count:,}" for count in _counts(agent).values()), _lost(agent))
    return table


def summary_text(summary: dict[str, Any]) -> str:
    """The summary in a sentence or two."""
    burst = summary["burst"]
    text = f"{summary['events']:,} events, {summary['lost']:,} lost; {summary['events_per_s']:,} events/s"
    if burst["events"]:
        text += f", in the burst {burst['events_per_s']:,} events/s"
    hosts = summary["hosts"]
    if hosts:
        text += (
            f". Store {STORE!r}: {counted(hosts['entries'], 'entry', 'entries')}, {counted(hosts['writes'], 'write')}"
        )
        text += f", {hosts['acknowledged']:,} of them known to agents as acknowledged, {hosts['expired']:,} expired, "
        text += f"{counted(hosts['unlike'], 'difference')}"
    if summary["logs"]:
        text += f". {_logs_text(summary['logs'])}"
    if summary["alerts"]:
        alerts = summary["alerts"]
        text += f". {counted(alerts['raised'], 'alert')} of figures over {alerts['limit_percent']:g} %"
    if summary["security"]:
        text += f". {_security_text(summary['security'])}"
    if summary["died"]:
        text += f". Died: {', '.join(summary['died'])}; what they had published is not known"
    return text + "."


def _security_text(security: dict[str, Any]) -> str:
    text = f"All of it encrypted, with {security['keys']} keys: {security['tampered']}, which published in the name of "
    text += f"{security['posed_as']}, was refused {counted(security['refused'], 'time')} by the manager"
    return f"{text}, and told so {counted(security['told'] or 0, 'time')}"


def _logs_text(logs: dict[str, Any]) -> str:
    """Both ends of the log stream: what the agents' spools say, and what is in the file."""
    each = ", ".join(f"{name} {logs['rows'][name]:,} of {written:,}" for name, written in logs["written"].items())
    text = f"Log stream {logs['stream']!r}: {sum(logs['rows'].values()):,} rows in the file of "
    text += f"{sum(logs['written'].values()):,} records in spools ({each}), {logs['twice']:,} twice"
    if logs["collector_kills"]:
        text += f", with the collector killed {'once' if logs['collector_kills'] == 1 else 'more than once'}"
    return text
