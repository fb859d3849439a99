"""Trust: keys, access rules, and the proof that what somebody is said to have sent was sent by it.

No I/O, no clock: files are read by :mod:`broker.keyring`, connections are authenticated by :mod:`broker.net`.

``keys``     what an identity is, its texts, signatures
``rights``   what a holder of a key may do, and the quick way to look it up
``access``   the access rules as plain data
``toml``     the same as a text
``layout``   where the statements of such a text stand
``judge``    the access rules at one moment, ready to be asked
``guard``    what a node asks: who is let in, what is signed and sealed
"""

from __future__ import annotations
