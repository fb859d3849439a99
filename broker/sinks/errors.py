"""What can be wrong with log files beside what the operating system says."""

from __future__ import annotations

from broker.errors import BrokerError

__all__ = ["LogFilesDamaged", "LogFilesError", "LogFilesInUse"]


class LogFilesError(BrokerError):
    """Log files that cannot be opened or written.  ``path`` is the file that is in the way."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class LogFilesInUse(LogFilesError):
    """Another process, or another object of this one, writes the same stream in the same format there."""


class LogFilesDamaged(LogFilesError, ValueError):
    """A file is not what was written: what was committed cannot be told, or is not there."""
