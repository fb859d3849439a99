"""Expressions: their types checked, and what they are in the model, in one walk.

What is wrong gets the type UNKNOWN, with which everything goes: one mistake is told once.

``usage`` says what may be used where, ``calls`` checks calls; what is here is all else.
"""

from __future__ import annotations

from datetime import timedelta

from broker.rules.language import own_functions, tree
from broker.rules.language.calls import Calls
from broker.rules.language.operators import Misfit, address, binary, negative
from broker.rules.language.problems import Place, suggestion
from broker.rules.language.scope import NOTHING, UNKNOWN, Value, in_words
from broker.rules.model import Apply, Constant, EventType, Make, Member, Name, Type

__all__ = ["Elaboration"]


class Elaboration(Calls):
    """Checks the expressions of one place; ``use`` is what they have used so far."""

    # -- entries -------------------------------------------------------------------------------------------------------

    def check(self, node: tree.Expression, wanted: Type | None = None) -> Value:
        """The value of an expression.  ``wanted`` is the event type that a literal would be of."""
        match node:
            case tree.Number(value=value) | tree.Text(value=value):
                return Value("string" if isinstance(value, str) else "number", Constant(value))
            case tree.Duration():
                return self._duration(node)
            case tree.Name():
                return self._name(node)
            case tree.MemberOf():
                return self._member(node)
            case tree.Vector():
                return self._vector(node)
            case tree.Literal():
                return self._literal(node, wanted)
            case tree.Call():
                return self.call(node)
            case tree.Negative():
                return self._negative(node)
            case tree.Not():
                return self._logical("not", (node.operand,), "'not' takes a condition")
            case tree.Logical():
                return self._logical(node.operator, node.operands, f"'{node.operator}' joins conditions")
            case tree.Binary():
                return self._binary(node)

    def _logical(self, operator: str, nodes: tuple[tree.Expression, ...], what: str) -> Value:
        operands = tuple(self.boolean(node, what).expression for node in nodes)
        return Value("boolean", Apply(f"bool.{operator}", operands))

    # -- what stands alone ---------------------------------------------------------------------------------------------

    def _duration(self, node: tree.Duration) -> Value:
        whole, rest = divmod(node.value_ns, 1000)
        if rest:
            return self.environment.misfit(node.at, "in expressions durations are whole microseconds")
        return Value("duration", Constant(timedelta(microseconds=whole)))

    def _name(self, node: tree.Name) -> Value:
        variable = self.scope.variables.get(node.name)
        if variable is not None:
            return self._variable(node.name, variable, node.at)
        constant = self.environment.constants.get(node.name)
        if constant is not None:
            return constant
        if node.name in ("true", "false"):
            return Value("boolean", Constant(node.name == "true"))
        if (signature := self.environment.signatures.get(node.name)) is not None:
            return self.environment.misfit(
                node.at, f"'{node.name}' is a {signature.kind}: call it, such as {node.name}(...)"
            )
        return self._unknown(node.name, node.at)

    def _unknown(self, name: str, at: Place) -> Value:
        names = (*self.scope.variables, *self.environment.constants, "true", "false")
        return self.environment.misfit(at, f"there is nothing named '{name}' here{suggestion(name, names)}")

    def _member(self, node: tree.MemberOf) -> Value:
        variable = self.scope.variables.get(node.variable)
        if variable is None:
            return self._member_of_constant(node)
        if variable.type == UNKNOWN or not self._allowed(node.variable, variable, node.at):
            return NOTHING
        if variable.group and self._aggregated is None and not self._one_by_one(node.variable, node.at, node.member):
            return NOTHING
        kind = self._member_type(node, variable.type)
        return Value(kind, Member(Name(node.variable), node.member)) if kind else NOTHING

    def _member_of_constant(self, node: tree.MemberOf) -> Value:
        constant = self.environment.constants.get(node.variable)
        if constant is None:
            return self._unknown(node.variable, node.at)
        if constant.type == UNKNOWN:
            return constant
        kind = self._member_type(node, constant.type)
        made = constant.expression
        if not kind:
            return NOTHING
        if isinstance(made, Make):
            return Value(kind, dict(made.members)[node.member])
        return Value(kind, Member(made, node.member))

    def _member_type(self, node: tree.MemberOf, of: Type) -> Type:
        found = self.environment.types.get(of)
        if found is None:
            what = f"'{node.variable}' is {in_words(of)}, which has no members"
            return self.environment.misfit(node.member_at, what).type
        member = found.member(node.member)
        if member is None:
            hint = suggestion(node.member, (other.name for other in found.members))
            what = f"an event '{of}' has no member '{node.member}'{hint or _members_in_words(found)}"
            return self.environment.misfit(node.member_at, what).type
        return member.type

    # -- what is made of parts -----------------------------------------------------------------------------------------

    def _vector(self, node: tree.Vector) -> Value:
        items = [self.typed(item, "number", "a component of a vector") for item in node.items]
        if any(item.type == UNKNOWN for item in items):
            return Value("vector", Constant(None))
        parts = tuple(item.expression for item in items)
        constants = [part.value for part in parts if isinstance(part, Constant) and isinstance(part.value, int | float)]
        if len(constants) == len(parts):
            return Value("vector", Constant(tuple(constants)))
        return Value("vector", Apply("vec.of", parts))

    def _literal(self, node: tree.Literal, wanted: Type | None) -> Value:
        kind = self.environment.types.get(wanted) if wanted else None
        if kind is None:
            if wanted != UNKNOWN:
                what = "an event is made only where its type is known: in a function, or as an argument of one"
                self.environment.problems.add(node.at, what)
            for given in node.members:
                self.check(given.value)
            return NOTHING
        return self.made(kind, node.at, node.members)

    def made(self, kind: EventType, at: Place, given: tuple[tree.Given, ...]) -> Value:
        """A new event of a type, with the members that are given."""
        problems = self.environment.problems
        values: dict[str, Value] = {}
        for item in given:
            member = kind.member(item.member)
            if member is None:
                hint = suggestion(item.member, (other.name for other in kind.members)) or _members_in_words(kind)
                problems.add(item.at, f"an event '{kind.name}' has no member '{item.member}'{hint}")
                self.check(item.value)
                continue
            if item.member in values:
                problems.add(item.at, f"the member '{item.member}' is given twice")
            what = f"the member '{item.member}' of '{kind.name}'"
            values[item.member] = self._member_value(item.value, member.type, what)
        missing = [member.name for member in kind.members if member.name not in values]
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            problems.add(at, f"an event '{kind.name}' lacks its member{'s' * (len(missing) > 1)} {names}")
            return Value(kind.name, Constant(None))
        members = tuple((member.name, values[member.name].expression) for member in kind.members)
        return Value(kind.name, Make(kind.name, members))

    def _member_value(self, node: tree.Expression, kind: Type, what: str) -> Value:
        if kind == "any":
            return self._of_any_type(node, what)
        if kind == "address" and isinstance(node, tree.Text):
            try:
                return address(self.check(node))
            except Misfit as misfit:
                return self.environment.misfit(node.at, str(misfit))
        return self.typed(node, kind, what)

    def _of_any_type(self, node: tree.Expression, what: str) -> Value:
        value = self.check(node)
        if value.type in self.environment.types.declared or value.group or self.environment.types.get(value.type):
            found = in_words(value.type, group=value.group)
            return self.environment.misfit(node.at, f"{what}: expected a value, found {found}")
        return value

    def _negative(self, node: tree.Negative) -> Value:
        try:
            return negative(self.check(node.operand))
        except Misfit as misfit:
            return self.environment.misfit(node.at, str(misfit))

    def _binary(self, node: tree.Binary) -> Value:
        left = self.check(node.left)
        right = self._texts(node.right) if node.operator == "in" else None
        right = right or self.check(node.right)
        if UNKNOWN in (left.type, right.type):
            known = node.operator in ("==", "!=", "<", ">", "<=", ">=", "in", "contains", "matches")
            return Value("boolean", Constant(None)) if known else NOTHING
        for side, value in ((node.left, left), (node.right, right)):
            if value.group:
                what = f"'{node.operator}' does not go with {in_words(value.type, group=True)}"
                return self.environment.misfit(side.at, what)
        if node.operator == "matches" and (problem := own_functions.regex_problem(right)):
            return self.environment.misfit(node.right.at, problem)
        try:
            return binary(node.operator, left, right)
        except Misfit as misfit:
            return self.environment.misfit(node.operator_at, str(misfit))

    def _texts(self, node: tree.Expression) -> Value | None:
        """A list of texts to the right of ``in``; None for everything else."""
        if not isinstance(node, tree.Vector) or not any(isinstance(item, tree.Text) for item in node.items):
            return None
        texts = []
        for item in node.items:
            if not isinstance(item, tree.Text):
                return self.environment.misfit(item.at, "a list behind 'in' is of texts alone, or of numbers alone")
            texts.append(item.value)
        return Value("strings", Constant(tuple(texts)))


def _members_in_words(kind: EventType) -> str:
    names = [member.name for member in kind.members]
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f": it has {shown}" if names else ": it has none"
