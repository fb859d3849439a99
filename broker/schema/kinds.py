"""Kinds: what an annotation asks of a value, and how the value travels.

A kind has two verbs.  ``lower`` checks a Python value on the sender and turns it into one of the data model (an attrs
object becomes the list of its fields, an enum member its name); ``load`` does the reverse on what was read from the
wire.  Both raise :class:`DoesNotFit` and neither repairs anything: what comes back is equal and of the same type.

Most kinds are *identical* on both sides: the check is all there is, and the same object is returned.  *Exact* kinds
are the simplest of those, for the value's class alone decides; the source generator writes that check in line.

Nothing here is called for a field of an exact kind until it does not fit, so clarity wins over speed.
"""

# ruff: noqa: D102 - what the verbs mean is told once, in Kind

from __future__ import annotations

import enum
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from broker.values import EnumValue, lower

__all__ = [
    "ANYTHING",
    "Anything",
    "DoesNotFit",
    "EnumOf",
    "Exact",
    "Kind",
    "LiteralOf",
    "UnionOf",
    "describe",
    "quote",
]

# What was found is quoted in errors and status events, and may come from anywhere: short, whatever its size.
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 40
_brief.maxlevel = 2
quote = _brief.repr


def describe(value: object) -> str:
    """The class of a value and a short form of it, for the ``found`` of a misfit: ``str 'web-01'``."""
    if value is None:
        return "None"
    return f"{type(value).__name__} {quote(value)}"


class DoesNotFit(Exception):
    """A value that is not of its kind; ``path`` grows from the inside out while the error rises through the kinds."""

    def __init__(self, expected: str, found: str, path: str = "") -> None:
        super().__init__(f"{path}: expected {expected}, found {found}")
        self.expected = expected
        self.found = found
        self.path = path

    def inside(self, step: str) -> DoesNotFit:
        """The same complaint, told from one level further out: ``step`` is ``.field``, ``[3]`` or ``['key']``."""
        self.path = step + self.path
        return self


class Kind:
    """Base of the kinds.

    ``text`` names the kind in errors.  ``classes`` and ``wire`` are the exact classes that a fitting value can have
    in the program and as read from the wire; ``None`` means any.  ``identical``: ``lower`` and ``load`` return the very
    object they are given.  ``exact``: the class alone decides (implies ``identical``).
    """

    text: str
    classes: frozenset[type] | None
    wire: frozenset[type] | None
    identical: bool = True
    exact: bool = False

    def lower(self, value: Any) -> Any:
        """The value of the data model that carries ``value``; :class:`DoesNotFit` if it is not of this kind."""
        raise NotImplementedError

    def load(self, value: Any) -> Any:
        """What ``value``, as read from the wire, stands for; :class:`DoesNotFit` if it is not of this kind."""
        raise NotImplementedError

    def refuse(self, value: Any, path: str) -> None:
        """Raise NotCarried if some part of a fitting ``value`` cannot be carried, with the path as the program sees it.

        The codec's own path leads through the lowered value, where the fields of attrs objects have numbers.
        """
        lower(self.lower(value), path)

    def misfit(self, value: object) -> DoesNotFit:
        """The complaint that ``value`` itself, not something inside it, is of another kind."""
        return DoesNotFit(self.text, describe(value))


class Anything(Kind):
    """Whatever can be carried (``Any``, ``object``); the codec finds out."""

    text = "anything"
    classes = None
    wire = None

    def lower(self, value: Any) -> Any:
        return value

    load = lower


ANYTHING = Anything()


class Exact(Kind):
    """Values of certain classes, subclasses excluded; ``float`` is the classes float and int (PEP 484)."""

    exact = True

    def __init__(self, text: str, *classes: type) -> None:
        self.text = text
        self.classes = self.wire = self._classes = frozenset(classes)

    def lower(self, value: Any) -> Any:
        if value.__class__ not in self._classes:
            raise self.misfit(value)
        return value

    load = lower


class LiteralOf(Kind):
    """A few values (``Literal["up", "down"]``), told apart by class as well, so that True is not 1."""

    def __init__(self, values: Iterable[object]) -> None:
        values = tuple(values)
        self._allowed = frozenset((value.__class__, value) for value in values)
        self.values = frozenset(values)
        self.classes = self.wire = frozenset(value.__class__ for value in values)
        self._classes = self.classes
        self.text = f"Literal[{', '.join(map(repr, values))}]"

    def lower(self, value: Any) -> Any:
        # The class first: only a value of a literal's class is known to be hashable.
        if value.__class__ not in self._classes or (value.__class__, value) not in self._allowed:
            raise self.misfit(value)
        return value

    load = lower


class EnumOf(Kind):
    """Members of an Enum class, sent by name, so that their values may change and need not be carriable."""

    identical = False
    wire = frozenset((EnumValue,))

    def __init__(self, cls: type[enum.Enum], members: Iterable[enum.Enum] | None = None) -> None:
        self.members: Mapping[str, enum.Enum] = {
            name: member for name, member in cls.__members__.items() if members is None or member in members
        }
        self._cls = cls
        self._sent = {name: EnumValue(name) for name in self.members}
        self.classes = frozenset((cls,))
        self.text = cls.__qualname__ if members is None else f"Literal[{', '.join(map(str, self.members.values()))}]"

    def lower(self, value: Any) -> Any:
        if value.__class__ is not self._cls or value.name not in self._sent:
            raise self.misfit(value)
        return self._sent[value.name]

    def load(self, value: Any) -> Any:
        member = self.members.get(value.name) if value.__class__ is EnumValue else None
        if member is None:
            raise self.misfit(value)
        return member


class UnionOf(Kind):
    """``X | Y``: the first alternative that the value fits.

    The builder has made sure that the order decides nothing but the text of errors: alternatives that share a class on
    the wire are all identical there (see ``annotations``).
    """

    def __init__(self, alternatives: Iterable[Kind]) -> None:
        self.alternatives = tuple(alternatives)
        self.text = " | ".join(alternative.text for alternative in self.alternatives)
        self.identical = all(alternative.identical for alternative in self.alternatives)
        self.exact = all(alternative.exact for alternative in self.alternatives)
        self.classes = frozenset().union(*(alternative.classes or () for alternative in self.alternatives))
        self.wire = frozenset().union(*(alternative.wire or () for alternative in self.alternatives))

    def lower(self, value: Any) -> Any:
        cls = value.__class__
        return self._first("lower", [kind for kind in self.alternatives if cls in (kind.classes or ())], value)

    def load(self, value: Any) -> Any:
        cls = value.__class__
        return self._first("load", [kind for kind in self.alternatives if cls in (kind.wire or ())], value)

    def refuse(self, value: Any, path: str) -> None:
        fitting = [kind for kind in self.alternatives if value.__class__ in (kind.classes or ())]
        if len(fitting) == 1:
            fitting[0].refuse(value, path)
        super().refuse(value, path)

    def _first(self, method: str, candidates: list[Kind], value: Any) -> Any:
        inner = []
        for candidate in candidates:
            try:
                return getattr(candidate, method)(value)
            except DoesNotFit as error:
                if len(candidates) == 1 or error.path:
                    inner.append(error)
        # If the complaint of one alternative alone leads inside the value, that one was meant.
        raise inner[0] if len(inner) == 1 else self.misfit(value)
