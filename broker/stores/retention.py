"""How much of its log a store keeps."""

from __future__ import annotations

from typing import Final

from broker.journaling import Journal

__all__ = ["LOG_BYTES", "trim"]

# Enough for clones to resume and watches to go on: minutes of a busy store, days of most.
LOG_BYTES: Final = 64 << 20


def trim(journal: Journal, log_bytes: int) -> int:
    """Return up to which record the log is to go, to keep about so many bytes; 0: none, it is not a tenth over."""
    excess = journal.log_bytes - log_bytes
    if excess <= log_bytes // 10:
        return 0
    kept = journal.position.sequence - journal.first + 1
    return journal.first - 1 + kept * excess // journal.log_bytes
