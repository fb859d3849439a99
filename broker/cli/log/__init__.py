"""``broker log``: log streams as they come, into files, out of standard input; what is in a spool."""

from __future__ import annotations
