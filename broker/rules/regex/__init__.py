r"""Regular expressions in linear time: no pattern, and no text, can hang whoever uses them.

The dialect is that of Rust's ``regex`` (:mod:`broker.rules.regex.syntax` reads it), the engine is RE2.  Where RE2's
meaning is that of ASCII alone, boundaries of words (``\b``), a text with other characters goes to a small machine in
Python (:mod:`broker.rules.regex.words`), which is slower and as linear.

    pattern = regex.compile(r"(?P<user>\w+)@(?P<host>\S+)")
    pattern.search("root@web-01")              # True
    pattern.captures("root@web-01")            # ("root@web-01", "root", "web-01")
    pattern.names                              # (("user", 1), ("host", 2))

To find a match takes time that is linear in the text; to find all matches of a text may take that as often as there are
matches, as it may in Rust.

Bounds: a pattern has at most :data:`PATTERN_CHARS_MAX` characters, and RE2's program for it at most
:data:`MEMORY_BYTES_MAX` bytes; what is beyond is refused as :class:`~broker.errors.BadRegex`, which says why in words.
"""

from __future__ import annotations

from broker.rules.regex.patterns import MEMORY_BYTES_MAX, PATTERN_CHARS_MAX, Pattern, compile  # noqa: A004 - as re.compile is called

__all__ = ["MEMORY_BYTES_MAX", "PATTERN_CHARS_MAX", "Pattern", "compile"]
