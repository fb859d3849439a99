"""The compiler of annotations: from an attrs class to functions that check its instances and carry them.

An attrs object travels as the array of its fields, in the order of the class.  The compiler looks at the annotations
once, when a class is first used, and writes functions for exactly that class.  The way through the rooms:

- ``annotations``: annotation -> kind, and which annotations are refused;
- ``kinds``, ``records``: what a kind asks of a value and how the value travels;
- ``schemas``: the fields of a class and their kinds; here errors find their words;
- ``layout``: fast ways to make an instance; ``source``: the text of the functions;
- ``runs``: events, which have a time in front and come in runs.

No I/O here: no sockets, threads, clocks or chance.
"""

from __future__ import annotations

from broker.schema.kinds import DoesNotFit
from broker.schema.runs import DecodeRun, Encode, Misfit, decoder, encoder, pack_event, rows_of
from broker.schema.schemas import Field, Schema, UnknownName, schema_of

__all__ = [
    "DecodeRun",
    "DoesNotFit",
    "Encode",
    "Field",
    "Misfit",
    "Schema",
    "UnknownName",
    "decoder",
    "encoder",
    "pack_event",
    "rows_of",
    "schema_of",
]
