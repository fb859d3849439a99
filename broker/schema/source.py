"""Source text for the functions of one class, so that no field costs a turn of a loop or a call.

Fields of exact kinds are checked in line (``v_host.__class__ is str``); the others through their kind.  A function
that finds anything amiss hands over to the schema's ``explain_...``, which goes field by field and can say where;
the fast text need not know why.

The text of each function is given to ``linecache``, so tracebacks and debuggers show it.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from broker.schema.kinds import DoesNotFit, Kind, LiteralOf

if TYPE_CHECKING:
    from broker.schema.schemas import Field, Schema

__all__ = [
    "Names",
    "checks",
    "compile_function",
    "compile_load",
    "compile_lower",
    "construct",
    "indented",
    "loads",
    "variable",
]

Names = dict[str, Any]
"""What the text of a function refers to."""

_numbers = itertools.count(1)


def variable(field: Field) -> str:
    """The local variable of a field; the prefix keeps it apart from every other name in the text."""
    return "v_" + field.name


def fits(kind: Kind, name: str, names: Names) -> str:
    """An expression that is true if the variable ``name`` holds a value of this kind; "" if only the kind can tell."""
    if not (kind.exact or isinstance(kind, LiteralOf)) or kind.classes is None:
        return ""
    classes = sorted(kind.classes, key=lambda cls: cls.__name__)
    for cls in classes:
        names[f"class_{cls.__name__}"] = cls
    if isinstance(kind, LiteralOf):
        if len(classes) > 1:
            return ""
        names[f"values_{name}"] = kind.values
        return f"{name}.__class__ is class_{classes[0].__name__} and {name} in values_{name}"
    # `is` for each of a few classes takes 8 ns apiece, a look-up in a set 25.
    if len(classes) <= 3:
        tests = [
            f"{name} is None" if cls is type(None) else f"{name}.__class__ is class_{cls.__name__}" for cls in classes
        ]
        return tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"
    names[f"classes_{name}"] = kind.classes
    return f"{name}.__class__ in classes_{name}"


def construct(schema: Schema, names: Names) -> list[str]:
    """Lines that make ``instance`` from the fields' variables, checked before."""
    names["Class"] = schema.cls
    if schema.loose is not None:
        names["Loose"] = schema.loose
        return [
            "instance = Loose()",
            *(f"instance.{field.name} = {variable(field)}" for field in schema.fields),
            "instance.__class__ = Class",
        ]
    arguments = ", ".join(
        f"{field.argument}={variable(field)}" if field.by_keyword else variable(field) for field in schema.fields
    )
    if schema.init == "__init__":
        return [f"instance = Class({arguments})"]
    return ["instance = Class.__new__(Class)", f"instance.{schema.init}({arguments})"]


def indented(lines: Iterable[str], levels: int) -> str:
    """The lines as text, so many levels in."""
    return "\n".join("    " * levels + line for line in lines)


def compile_function(name: str, title: str, text: str, names: Names) -> Callable[..., Any]:
    """The function ``name`` that ``text`` defines; ``title`` shows in tracebacks as its file."""
    filename = f"<broker {title} #{next(_numbers)}>"
    # The text is made of field names, which are identifiers, and of what stands in this package: nothing from outside.
    exec(compile(text, filename, "exec"), names)  # noqa: S102
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    function: Callable[..., Any] = names[name]
    return function


def checks(schema: Schema, names: Names) -> tuple[str, list[Field]]:
    """The expression that checks the fields it can check in line, and the fields that are left to their kinds."""
    tests, left = [], []
    for field in schema.fields:
        test = fits(field.kind, variable(field), names)
        if test:
            tests.append(test)
        else:
            names["kind_" + variable(field)] = field.kind
            left.append(field)
    return " and ".join(tests) or "True", left


def loads(fields: Iterable[Field]) -> list[str]:
    """Lines that put in place of what came from the wire what it stands for."""
    return [f"{variable(field)} = kind_{variable(field)}.load({variable(field)})" for field in fields]


def compile_lower(schema: Schema) -> Callable[[Any], list[Any]]:
    """The ``lower`` of a schema."""
    names: Names = {"schema": schema, "DoesNotFit": DoesNotFit}
    test, left = checks(schema, names)
    lowered = [f"kind_{variable(f)}.lower({variable(f)})" if f in left else variable(f) for f in schema.fields]
    text = f"""\
def lower(instance):
{indented((f"{variable(field)} = instance.{field.name}" for field in schema.fields), 1)}
    if {test}:
        try:
            return [{", ".join(lowered)}]
        except DoesNotFit:
            pass
    return schema.explain_lower(instance)
"""
    return compile_function("lower", f"lower {schema.name}", text, names)


def compile_load(schema: Schema) -> Callable[[Sequence[Any]], Any]:
    """The ``load`` of a schema."""
    names: Names = {"schema": schema}
    test, left = checks(schema, names)
    targets = "".join(variable(field) + ", " for field in schema.fields)
    text = f"""\
def load(values):
    if len(values) == {len(schema.fields)}:
        {f"{targets}= values" if targets else "pass"}
        if {test}:
            try:
{indented([*loads(left), *construct(schema, names)], 4)}
                return instance
            except Exception:  # The class's own validators may raise anything; explain_load says whose.
                pass
    return schema.explain_load(values)
"""
    return compile_function("load", f"load {schema.name}", text, names)
