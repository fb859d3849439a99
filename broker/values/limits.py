"""How large a value may be, and why.

A limit is checked on both sides: the sender refuses with the path to what is too large
(:class:`broker.errors.NotCarried`), the receiver refuses bytes (:class:`broker.errors.Malformed`).  Receivers are a
little more generous than senders, because what the layers above put around a value (the array of an event, the
array of a batch) is decoded together with it.
"""

from __future__ import annotations

import attrs

__all__ = ["DEFAULT_LIMITS", "Limits"]


@attrs.frozen
class Limits:
    """The limits of one value.  All are inclusive.

    There is no separate limit for one ``str``, ``bytes`` or ext payload: it cannot be longer than the value it is
    part of, and the decoder allocates for it only what has arrived.
    """

    # Bytes of one packed value.  A value is whole in memory several times while it is sent (the object, its bytes,
    # the frame, ZeroMQ's copy); at 16 MiB that is still well below 100 MB.  Larger things belong in files or in
    # many values.
    max_bytes: int = 16 * 1024 * 1024

    # Containers inside containers.  Real data seldom passes 10; Python's recursion limit (1000 frames) must hold
    # with several frames a level, here and in whoever compares, prints or copies the value.
    max_depth: int = 64

    # Elements of all containers of one value together; an entry of a dict counts as two, its key and its value.  An
    # element costs a receiver up to some 110 bytes of memory however short it is on the wire (a set of one small
    # integer: 4 bytes there, over 200 here), so half a million are at most about 60 MB.
    max_elements: int = 512 * 1024

    # Bytes of memory that a value takes where it is received, by the table in scanning.py: so many, and so many more
    # for each packed byte.  Text and numbers need less than memory_per_byte; a list of empty dicts needs 73 bytes for
    # each, dicts inside dicts 120.  A value of up to 128 KiB is thus never refused, whatever is in it, nor is any of
    # ordinary records, nor a set of a hundred thousand numbers (17 MB); a megabyte of empty dicts (73 MB) is.
    memory_per_byte: int = 24
    max_memory: int = 16 * 1024 * 1024

    # Bytes of an EnumValue's name in UTF-8: names are identifiers, with their scope.
    max_enum_name_bytes: int = 255

    # What a receiver grants beyond max_depth to the layers above: event in batch in frame, with room to grow.
    spare_depth: int = 16

    # What a receiver grants beyond max_elements: one value at its limit and what shares its batch.  Together they
    # are 2**20, so a body of up to 1 MiB, where every element takes a byte at least, needs no counting at all.
    spare_elements: int = 512 * 1024

    # What a receiver grants beyond max_bytes: what shares a frame with one value at its limit.
    spare_bytes: int = 1024 * 1024

    # What a receiver grants beyond max_memory: up to 64 KiB of anything share a batch with one value at its limit.
    spare_memory: int = 6 * 1024 * 1024

    @property
    def max_bytes_received(self) -> int:
        """Bytes that :func:`broker.values.unpack` accepts."""
        return self.max_bytes + self.spare_bytes

    @property
    def max_depth_received(self) -> int:
        """Depth that :func:`broker.values.unpack` accepts."""
        return self.max_depth + self.spare_depth

    @property
    def max_elements_received(self) -> int:
        """Elements that :func:`broker.values.unpack` accepts."""
        return self.max_elements + self.spare_elements

    @property
    def max_memory_received(self) -> int:
        """Memory that :func:`broker.values.unpack` grants, beyond that for each byte."""
        return self.max_memory + self.spare_memory


DEFAULT_LIMITS = Limits()
"""The limits that all endpoints keep: they are part of the protocol, not a setting."""
