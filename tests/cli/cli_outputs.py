"""Commands that run in the test's own process: what they write is kept."""

from __future__ import annotations

import json
from typing import Any

from broker.cli.standard import Output


class Kept(Output):
    """Standard output that nobody sees."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self.is_terminal = terminal
        self.text = ""

    async def write(self, text: str) -> None:
        self.text += text

    @property
    def forms(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]
