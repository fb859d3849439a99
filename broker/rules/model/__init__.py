"""The rule model: what every spelling lowers to and the engine runs, as plain frozen values.

- ``types``: the names of types, and event types with their members;
- ``operators``: the table of operators, with the types of their operands;
- ``expressions``: what is computed from events;
- ``rules``: functions, patterns, windows, rules, and programs of them;
- ``trees``: Tornado's trees of filters, iterators and rulesets;
- ``data``: to plain data (carried and stored like any value) and back, and content hashes.
"""

from __future__ import annotations

from broker.rules.model.data import ModelError, from_data, identity, register, to_data
from broker.rules.model.expressions import (
    Aggregate,
    Apply,
    Call,
    Constant,
    Expression,
    Make,
    Member,
    Meta,
    Name,
    children,
    names_in,
    walk,
)
from broker.rules.model.operators import OPERATORS, Operator
from broker.rules.model.rules import (
    Clause,
    Function,
    Limit,
    Parameter,
    Program,
    Rule,
    Select,
    Step,
    Where,
    Window,
)
from broker.rules.model.trees import (
    AllOf,
    AnyOf,
    Compare,
    DateAndTime,
    EventPath,
    Extraction,
    FilterNode,
    Fixed,
    IteratorNode,
    ListOf,
    Lowercase,
    MapOf,
    Mapped,
    Matches,
    NoneOf,
    Replace,
    RulesetNode,
    Template,
    ToNumber,
    TreeAction,
    TreeRule,
    Trim,
    Unknown,
    VariablePath,
)
from broker.rules.model.types import EventType, MemberType, Type

__all__ = [
    "OPERATORS",
    "Aggregate",
    "AllOf",
    "AnyOf",
    "Apply",
    "Call",
    "Clause",
    "Compare",
    "Constant",
    "DateAndTime",
    "EventPath",
    "EventType",
    "Expression",
    "Extraction",
    "FilterNode",
    "Fixed",
    "Function",
    "IteratorNode",
    "Limit",
    "ListOf",
    "Lowercase",
    "Make",
    "MapOf",
    "Mapped",
    "Matches",
    "Member",
    "MemberType",
    "Meta",
    "ModelError",
    "Name",
    "NoneOf",
    "Operator",
    "Parameter",
    "Program",
    "Replace",
    "Rule",
    "RulesetNode",
    "Select",
    "Step",
    "Template",
    "ToNumber",
    "TreeAction",
    "TreeRule",
    "Trim",
    "Type",
    "Unknown",
    "VariablePath",
    "Where",
    "Window",
    "children",
    "from_data",
    "identity",
    "names_in",
    "to_data",
    "walk",
]

register(EventType, MemberType, Parameter, Function, Step, Clause, Window, Limit, Rule, Program, Where)
register(Fixed, ListOf, MapOf, EventPath, VariablePath, Unknown, Template, Compare, Matches, AllOf, AnyOf, NoneOf)
register(Lowercase, Trim, ToNumber, Mapped, Replace, DateAndTime, Extraction, TreeAction, TreeRule)
register(RulesetNode, FilterNode, IteratorNode)
