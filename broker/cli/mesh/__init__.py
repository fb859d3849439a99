"""``broker mesh`` and ``peers``: who is linked with whom, and who subscribes to what."""

from __future__ import annotations
