"""What a step finds, and the order of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

__all__ = ["STEPS", "Finding", "State", "StepFailed"]

State = Literal["ok", "warning", "failed", "skipped"]

STEPS: Final[tuple[str, ...]] = (
    "address",
    "key",
    "name",
    "connection",
    "path",
    "greeting",
    "security",
    "handshake",
    "rights",
    "round trip",
    "large frames",
    "clock",
    "mesh",
)


@attrs.frozen
class Finding:
    """What one step found, what to do about it, and the figures in it for programs."""

    step: str
    state: State
    found: str
    advice: str = ""
    details: Mapping[str, Any] = attrs.field(factory=dict)


class StepFailed(Exception):
    """The step that is being taken cannot be; those behind it need not be tried."""

    def __init__(self, found: str, advice: str = "", **details: Any) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
        self.details = details
