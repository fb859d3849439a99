"""What expressions may use at a place: single events, groups one by one or as a whole, absent events.

Where a clause of a rule mentions a member of a group outside an aggregate, the clause is asked of each event of the
group.  Elsewhere (in functions and predicates, in what a rule makes) a group appears in aggregates only, or is given on
to a group parameter.  What is absent can be asked for in clauses alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs

from broker.rules.language import tree
from broker.rules.language.problems import Place, Problems
from broker.rules.language.scope import NOTHING, UNKNOWN, Scope, Signature, Types, Use, Value, Variable, in_words
from broker.rules.language.sizes import Sizes
from broker.rules.model import Name, Type

__all__ = ["Environment", "Usage"]


@attrs.frozen
class Environment:
    """What a program declares."""

    types: Types
    problems: Problems
    signatures: dict[str, Signature] = attrs.field(factory=dict)
    constants: dict[str, Value] = attrs.field(factory=dict)
    sizes: Sizes = attrs.field(factory=Sizes)

    def misfit(self, at: Place, what: str) -> Value:
        """Tell a problem; the value of what is wrong."""
        self.problems.add(at, what)
        return NOTHING


class Usage(ABC):
    """The variables of one place; ``use`` is what was used of them so far."""

    def __init__(self, environment: Environment, scope: Scope) -> None:
        self.environment = environment
        self.scope = scope
        self.use = Use()
        self._aggregated: str | None = None

    @abstractmethod
    def check(self, node: tree.Expression, wanted: Type | None = None) -> Value:
        """The value of an expression.  ``wanted`` is the event type that a literal would be of."""

    def boolean(self, node: tree.Expression, what: str) -> Value:
        """The value of an expression that has to be a condition; ``what`` begins the message if it is none."""
        return self.typed(node, "boolean", what)

    def typed(self, node: tree.Expression, kind: Type, what: str) -> Value:
        """The value of an expression that has to be of a type; ``what`` begins the message if it is not."""
        value = self.check(node, kind)
        if value.type == UNKNOWN:
            return value
        if value.group or not self.environment.types.fits(value.type, kind):
            found = in_words(value.type, group=value.group)
            return self.environment.misfit(node.at, f"{what}: expected {in_words(kind)}, found {found}")
        return value

    def _variable(self, name: str, variable: Variable, at: Place) -> Value:
        """A whole event, or a whole group, unless one of its events is meant."""
        if variable.type == UNKNOWN or not self._allowed(name, variable, at):
            return NOTHING
        whole = variable.group and self._aggregated != name
        return Value(variable.type, Name(name), group=whole)

    def _allowed(self, name: str, variable: Variable, at: Place) -> bool:
        """Whether a variable may be used here; notes its use."""
        if self._aggregated is not None and name != self._aggregated:
            self.environment.problems.add(
                at, f"an aggregate is of one group: '{name}' cannot be used beside '{self._aggregated}'"
            )
            return False
        if variable.absent:
            self.use.absent.setdefault(name, at)
            if self.scope.place != "clause":
                self.environment.problems.add(at, f"'{name}' is absent: there is no such event to use")
                return False
        elif not variable.group:
            self.use.single.setdefault(name, at)
        return True

    def _one_by_one(self, name: str, at: Place, member: str) -> bool:
        """Note that a group is asked event by event; tells where that cannot be."""
        if self.scope.place == "clause":
            self.use.loose.setdefault(name, at)
            return True
        example = f"last({name}.{member})"
        self.environment.problems.add(at, f"'{name}' is a group of events: say which is meant, such as {example}")
        return False

    def passed(self, value: Value, node: tree.Expression, parameter: Variable, what: str) -> None:
        """Check that a value may be given for a parameter; notes how a group is used by that."""
        if UNKNOWN in (value.type, parameter.type):
            return
        fits = self.environment.types.fits(value.type, parameter.type)
        if not fits or (parameter.group and not value.group):
            wanted, found = in_words(parameter.type, group=parameter.group), in_words(value.type, group=value.group)
            self.environment.problems.add(node.at, f"{what}: expected {wanted}, found {found}")
            return
        if not isinstance(node, tree.Name) or not value.group:
            return
        if parameter.group:
            self.use.whole.setdefault(node.name, node.at)
        elif self.scope.place == "clause":
            self.use.loose.setdefault(node.name, node.at)
        else:
            found = in_words(value.type, group=True)
            hint = f"give one of them, such as last({node.name}), or write '{parameter.type}+'"
            self.environment.problems.add(
                node.at, f"{what}: expected {in_words(parameter.type)}, found {found}: {hint}"
            )
