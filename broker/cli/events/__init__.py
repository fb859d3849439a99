"""``broker pub``, ``sub`` and ``listen``: messages from the shell and to it.

It stands on the public names of :mod:`broker`.
"""

from __future__ import annotations
