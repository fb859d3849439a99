"""What Python's object layout allows: faster ways to make instances of plain classes.

attrs sets the fields of a frozen class through ``object.__setattr__``, 297 ns for four fields.  A class is *plain* if
making an instance is nothing but setting its fields.  For those:

- ``speed_up_init`` gives the class an ``__init__`` that sets them through the slots' own descriptors, 223 ns;
- ``loose_class`` is a sibling with the same slots and without the lock.  A decoder fills one by plain assignment and
  then changes its ``__class__``, which Python allows between classes of equal layout: 80 ns.
"""

from __future__ import annotations

from types import MemberDescriptorType
from typing import Any

import attrs

from broker.schema.source import compile_function, indented

__all__ = ["init_name", "is_plain", "loose_class", "speed_up_init"]


def init_name(cls: type) -> str:
    """The method that sets the fields: attrs names it otherwise if the class body has an ``__init__`` of its own."""
    return "__attrs_init__" if "__attrs_init__" in cls.__dict__ else "__init__"


def is_plain(cls: type) -> bool:
    """Whether making an instance of ``cls`` is nothing but setting its fields."""
    fields = attrs.fields(cls)
    return (
        type(cls) is type
        and not any("__new__" in base.__dict__ or "__init_subclass__" in base.__dict__ for base in cls.__mro__[:-1])
        and init_name(cls) == "__init__"
        and not hasattr(cls, "__attrs_pre_init__")
        and not hasattr(cls, "__attrs_post_init__")
        and all(field.init and field.converter is None and field.validator is None for field in fields)
    )


def loose_class(cls: type) -> type | None:
    """A class of the same layout as ``cls`` whose empty instances take plain assignment and then become ``cls``.

    None if there can be none (a class without slots, a base with a ``__dict__``).
    """
    slots = cls.__dict__.get("__slots__")
    if slots is None or set(slots) - {"__weakref__", *(field.name for field in attrs.fields(cls))}:
        return None
    body: dict[str, Any] = {"__slots__": slots, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    # Named here so that Python takes the fast C slots even where a base class has its own, locked, ones.
    body |= {"__init__": object.__init__, "__setattr__": object.__setattr__}
    try:
        loose = type(cls.__name__, cls.__bases__, body)
        probe = loose()
        probe.__class__ = cls
    except TypeError:
        return None
    return loose


def speed_up_init(cls: type) -> None:
    """Give a plain class with slots an ``__init__`` that fills the slots directly; leave any other as it is.

    Its signature, defaults, errors and annotations are those of attrs' own.
    """
    fields = attrs.fields(cls)
    setters: list[Any] = [getattr(cls, field.name, None) for field in fields]
    factories = [field.default for field in fields if isinstance(field.default, attrs.Factory)]  # type: ignore[arg-type]
    if (
        not is_plain(cls)
        or not all(isinstance(setter, MemberDescriptorType) for setter in setters)
        or "_attrs_cached_hash" in cls.__dict__["__slots__"]
        or any(factory.takes_self for factory in factories)
    ):
        return
    names: dict[str, Any] = {}
    parameters: list[str] = []
    lines: list[str] = []
    for number, (field, setter) in enumerate(zip(fields, setters, strict=True)):
        # Dunder names, because a parameter may have any other.
        names[f"__set_{number}__"] = setter.__set__
        value = field.alias
        if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
            names[f"__make_{number}__"] = field.default.factory
            names[f"__default_{number}__"] = attrs.NOTHING
            value = f"__make_{number}__() if {field.alias} is __default_{number}__ else {field.alias}"
        else:
            names[f"__default_{number}__"] = field.default
        if field.kw_only and "*" not in parameters:
            parameters.append("*")
        default = "" if field.default is attrs.NOTHING else f"=__default_{number}__"
        parameters.append(field.alias + default)
        lines.append(f"__set_{number}__(self, {value})")
    text = f"def __init__(self, {', '.join(parameters)}):\n{indented(lines or ['pass'], 1)}\n"
    init = compile_function("__init__", f"make {cls.__qualname__}", text, names)
    former = cls.__init__  # type: ignore[misc]
    for attribute in ("__annotations__", "__doc__", "__module__", "__qualname__"):
        setattr(init, attribute, getattr(former, attribute))
    cls.__init__ = init  # type: ignore[misc]
