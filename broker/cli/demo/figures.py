"""This machine's figures, as psutil reads them."""

from __future__ import annotations

import platform

import psutil

from broker.cli.demo.events import CpuLoad, DiskUsage, MemoryUsage, ProcessSample

__all__ = ["Figures"]

_PROCESS_FIELDS = ["pid", "name", "cpu_percent", "memory_info", "num_threads"]
# On a machine with thousands of processes the idle ones interest nobody.
_PROCESSES_MAX = 50


class Figures:
    """Reads figures; the processes are shared out, each of ``shares`` readers has those that fall to its ``share``."""

    def __init__(self, share: int, shares: int) -> None:
        self.host = platform.node() or "localhost"
        self._share = share
        self._shares = shares
        psutil.cpu_percent(percpu=True)  # percentages are since the last call: this one begins

    def cpu(self) -> CpuLoad:
        """How busy the processors were since the last call."""
        each = psutil.cpu_percent(percpu=True) or [0.0]
        return CpuLoad(self.host, round(sum(each) / len(each), 1), each, psutil.getloadavg()[0])

    def memory(self) -> MemoryUsage:
        """Memory and swap space in use."""
        memory = psutil.virtual_memory()
        try:
            swap_percent = psutil.swap_memory().percent
        except (OSError, RuntimeError):  # some containers hide it
            swap_percent = 0.0
        return MemoryUsage(self.host, memory.total, memory.available, memory.percent, swap_percent)

    def disks(self) -> list[DiskUsage]:
        """Every mounted disk that can be looked at; at least the root's file system."""
        # A device that is mounted in several places is one disk, and the root comes first.
        places = {part.device: part.mountpoint for part in reversed(psutil.disk_partitions())}
        found = []
        for mount in dict.fromkeys(["/", *places.values()]):
            try:
                usage = psutil.disk_usage(mount)
            except OSError:  # not permitted, or gone
                continue
            if usage.total:
                found.append(DiskUsage(self.host, _text(mount), usage.total, usage.free, usage.percent))
        return found

    def processes(self) -> list[ProcessSample]:
        """Our share of the processes, the busiest first; what may not be read of one is 0."""
        found = [self._sample(process.info) for process in psutil.process_iter(_PROCESS_FIELDS) if self._ours(process)]
        found.sort(key=lambda sample: (sample.cpu_percent, sample.resident_bytes), reverse=True)
        return found[:_PROCESSES_MAX]

    def own_process(self) -> ProcessSample:
        """The process that reads."""
        return self._sample(psutil.Process().as_dict(_PROCESS_FIELDS))

    def _ours(self, process: psutil.Process) -> bool:
        return process.pid % self._shares == self._share

    def _sample(self, info: dict[str, object]) -> ProcessSample:
        memory = info["memory_info"]
        return ProcessSample(
            self.host,
            int(str(info["pid"])),
            _text(str(info["name"] or "?")),
            float(str(info["cpu_percent"] or 0.0)),
            getattr(memory, "rss", 0),
            int(str(info["num_threads"] or 0)),
        )


def _text(name: str) -> str:
    """The name as valid Unicode: names of files and programs may hold any bytes."""
    return name.encode(errors="replace").decode()
