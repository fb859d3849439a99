"""What the two processes of ``broker bench`` publish."""

from __future__ import annotations

import broker

__all__ = ["Asked", "Counted", "Figure"]


@broker.event(name="broker bench figure")
class Figure:
    """The event whose rate and round trip are measured: four fields, as a monitoring agent's figures have."""

    host: str
    mount: str
    used: float
    number: int


@broker.event(name="broker bench asked")
class Asked:
    """How many figures came?  Published behind them, on their topic, so that it comes behind them, too."""

    number: int


@broker.event(name="broker bench counted")
class Counted:
    """The answer: how many figures came since the last question, and how many were lost on the way."""

    received: int
    lost: int
