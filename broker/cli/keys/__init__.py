"""``broker keys``: files of keys and access rules; the only commands that write those."""

from __future__ import annotations
