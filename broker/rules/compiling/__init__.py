"""Compiled rules: an expression's shape becomes Python source, once; its constants stay in a table beside it.

- ``shapes``: what remains of an expression without its constants, its variables' names and its calls;
- ``python``: from a shape to source;
- ``functions``: from source to functions, kept per shape;
- ``classes``: the classes of event types, generated for those that a program declares itself.

A compiled path over raw frames would stand beside ``python`` and take the same shapes and tables.
"""

from __future__ import annotations

from broker.rules.compiling.classes import EventClasses, Misfit, class_for
from broker.rules.compiling.functions import compile_expression, compile_filter, compile_sweep, compile_where, source_of
from broker.rules.interpreter import EvaluationFailed, Variable

__all__ = [
    "EvaluationFailed",
    "EventClasses",
    "Misfit",
    "Variable",
    "class_for",
    "compile_expression",
    "compile_filter",
    "compile_sweep",
    "compile_where",
    "source_of",
]
