"""A rule's pattern: its steps, what it is asked, and its modifiers, checked one by one and against each other."""

from __future__ import annotations

from typing import Any, Final

import attrs

from broker.errors import TopicError
from broker.rules.language import tree
from broker.rules.language.elaboration import Elaboration
from broker.rules.language.problems import suggestion
from broker.rules.language.scope import UNKNOWN, Scope, Use, Variable, in_words
from broker.rules.language.usage import Environment
from broker.rules.model import Call, Clause, EventType, Limit, Name, Step, Window
from broker.rules.model.checking import STEPS_MAX
from broker.topics import normalize_prefix

__all__ = ["Modifiers", "Pattern", "clauses", "modifiers", "pattern"]

COUNT_MAX: Final = 1_000_000
"""The greatest count of a window or of a limit: more events than an engine keeps."""


@attrs.frozen
class Pattern:
    """The steps of a rule and their variables; in a window the only step is a group."""

    steps: tuple[Step, ...]
    variables: dict[str, Variable]
    types: tuple[EventType, ...]

    @property
    def positive(self) -> list[str]:
        """The variables of the steps that are not absent, in order."""
        return [step.name for step in self.steps if not step.absent]


@attrs.define
class Modifiers:
    """A rule's modifiers, as the model has them."""

    listens: tuple[str, ...] = ()
    within_ns: int | None = None
    per: tuple[str, ...] = ()
    window: Window | None = None
    select: Any = "each"
    consume: bool = False
    limit: Limit | None = None


# -- steps -------------------------------------------------------------------------------------------------------------


def pattern(rule: tree.RuleDecl, environment: Environment) -> Pattern:
    """The steps of a rule."""
    problems = environment.problems
    if not rule.steps:
        problems.add(rule.name.at, f"the rule '{rule.name.name}' has an empty sequence: it has to name an event")
    if len(rule.steps) > STEPS_MAX:
        what = f"a pattern of {len(rule.steps):,} events; at most {STEPS_MAX}"
        problems.add(rule.steps[STEPS_MAX].at, what)
    taken = {step.name.name for step in rule.steps if step.name}
    variables: dict[str, Variable] = {}
    steps, types = [], []
    window = any(isinstance(modifier, tree.Last) for modifier in rule.modifiers)
    for place, step in enumerate(rule.steps, 1):
        found = environment.types.look_up(step.type, problems)
        name = step.name.name if step.name else _made_up(place, taken)
        if name in variables and step.name:
            problems.add(step.name.at, f"two events of this rule are named '{name}'")
            name = _made_up(place, taken)
        kind = found.name if found else UNKNOWN
        group = step.group or (window and not step.absent)
        variables[name] = Variable(kind, group, step.absent)
        within = step.within.value_ns if step.within else None
        steps.append(Step(name, kind, group, step.absent, within))
        if found:
            types.append(found)
    _check_absent(rule, environment)
    return Pattern(tuple(steps), variables, tuple(types))


def _made_up(place: int, taken: set[str]) -> str:
    name = f"event{place}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _check_absent(rule: tree.RuleDecl, environment: Environment) -> None:
    problems = environment.problems
    positive = [place for place, step in enumerate(rule.steps) if not step.absent]
    if rule.steps and not positive:
        problems.add(
            rule.steps[0].at, "a pattern of absent events alone has no beginning: it has to name one that comes"
        )
        return
    has_within = any(isinstance(modifier, tree.Within) for modifier in rule.modifiers)
    for place, step in enumerate(rule.steps):
        trailing = place > positive[-1]
        if step.absent and step.group:
            problems.add(step.at, "'!' forbids every such event: leave the '+' out")
        if step.within and not (step.absent and trailing):
            problems.add(
                step.within.at,
                "'within' inside the '[ ]' is for an absent event at the end; "
                "that of the whole rule stands behind the ']'",
            )
        if step.absent and place < positive[0] and not has_within:
            problems.add(
                step.at, "an absent event at the beginning needs 'within' behind the ']': how far to look back"
            )
        if step.absent and trailing and not has_within and not step.within:
            problems.add(step.at, "an absent event at the end needs 'within': how long to wait for it")


# -- clauses -----------------------------------------------------------------------------------------------------------


def clauses(rule: tree.RuleDecl, found: Pattern, environment: Environment) -> tuple[Clause, ...]:
    """What a rule asks of its events."""
    made = []
    for node in rule.clauses:
        checks = Elaboration(environment, Scope("clause", found.variables))
        if isinstance(node, tree.Name) and _is_predicate(node.name, found, environment):
            clause = _applied(node, found, checks)
        else:
            value = checks.boolean(node, "a clause of a rule is a condition")
            clause = Clause(value.expression, node.name if isinstance(node, tree.Call) else "")
        _check_use(checks.use, environment)
        made.append(clause)
    return tuple(made)


def _is_predicate(name: str, found: Pattern, environment: Environment) -> bool:
    if name in found.variables or name in environment.constants:
        return False
    signature = environment.signatures.get(name)
    if signature is None and name not in ("true", "false"):
        # Told by the checks of a name; a predicate may have been meant, too.
        return bool(suggestion(name, environment.signatures))
    return signature is not None


def _applied(node: tree.Name, found: Pattern, checks: Elaboration) -> Clause:
    """A predicate by its name alone: it is applied to all events that come, in their order."""
    environment = checks.environment
    clause = Clause(Call(node.name, tuple(Name(name) for name in found.positive)), node.name)
    signature = environment.signatures.get(node.name)
    if signature is None:
        names = (*environment.signatures, *found.variables)
        environment.problems.add(node.at, f"there is no predicate '{node.name}'{suggestion(node.name, names)}")
    elif signature.kind != "predicate" and signature.result != UNKNOWN:
        environment.problems.add(node.at, f"'{node.name}' is a function, which makes an event: expected a predicate")
    else:
        apply(node, found, checks)
    return clause


def apply(node: tree.Name, found: Pattern, checks: Elaboration) -> None:
    """Check that a predicate or function fits the events of a pattern."""
    environment = checks.environment
    signature = environment.signatures[node.name]
    wanted, given = signature.parameters, found.positive
    if not given:
        return  # That there are no events was told.
    if len(wanted) != len(given):
        events = f"{len(wanted)} event{'s' * (len(wanted) != 1)}"
        what = f"'{node.name}' takes {events}, and the rule's sequence has {len(given)}"
        environment.problems.add(node.at, what)
        return
    for name, (parameter_name, parameter) in zip(given, wanted, strict=True):
        at = tree.Name(name, node.at)
        checks.passed(checks.check(at), at, parameter, f"'{parameter_name}' of '{node.name}'")


def _check_use(use: Use, environment: Environment) -> None:
    """A clause is asked of one event of one group at a time, or of one absent event."""
    problems = environment.problems
    for name, at in use.loose.items():
        if name in use.whole:
            problems.add(at, f"one clause cannot ask of each event of '{name}' and of the whole group: write two")
    if len(use.loose) > 1:
        first, second = list(use.loose)[:2]
        what = f"one clause cannot ask of each event of two groups, '{first}' and '{second}': use an aggregate of one"
        problems.add(use.loose[second], what)
    if len(use.absent) > 1:
        first, second = list(use.absent)[:2]
        problems.add(use.absent[second], f"one clause cannot ask of two absent events, '{first}' and '{second}'")
    elif use.absent and use.loose:
        absent, group = next(iter(use.absent)), next(iter(use.loose))
        what = f"one clause cannot ask of each event of '{group}' and of the absent '{absent}': use an aggregate"
        problems.add(use.loose[group], what)


# -- modifiers ---------------------------------------------------------------------------------------------------------


def modifiers(rule: tree.RuleDecl, found: Pattern, environment: Environment) -> Modifiers:
    """The modifiers of a rule."""
    made = Modifiers()
    seen: dict[type, tree.Modifier] = {}
    for modifier in rule.modifiers:
        if type(modifier) in seen:
            former = seen[type(modifier)]
            if isinstance(modifier, tree.Select) and isinstance(former, tree.Select) and former.word != modifier.word:
                what = f"'{modifier.word}' stands here beside '{former.word}': choose one"
            else:
                what = f"'{_word_of(modifier)}' stands here twice"
            environment.problems.add(modifier.at, what)
            continue
        seen[type(modifier)] = modifier
        match modifier:
            case tree.On(topics=topics):
                made.listens = tuple(_prefix(topic, environment) for topic in topics)
            case tree.Within(duration=duration):
                made.within_ns = duration.value_ns
            case tree.Per(members=members):
                made.per = _per(members, found, environment)
            case tree.Select(word=word):
                made.select = word
            case tree.Consume():
                made.consume = True
            case tree.Limit(count=count, duration=duration):
                made.limit = Limit(_count(count, "limit", environment), _positive(duration, "per", environment))
    made.window = _window(rule, seen, environment)
    return made


_WORDS: Final[dict[type, str]] = {
    tree.On: "on",
    tree.Within: "within",
    tree.Per: "per",
    tree.Last: "last",
    tree.Every: "every",
    tree.Consume: "consume",
    tree.Limit: "limit",
}


def _word_of(modifier: tree.Modifier) -> str:
    return modifier.word if isinstance(modifier, tree.Select) else _WORDS[type(modifier)]


def _prefix(topic: tree.Text, environment: Environment) -> str:
    try:
        return normalize_prefix(topic.value)
    except TopicError as error:
        environment.problems.add(topic.at, str(error))
        return ""


def _per(members: tuple[tree.Word, ...], found: Pattern, environment: Environment) -> tuple[str, ...]:
    problems = environment.problems
    before: set[str] = set()
    for word in members:
        if word.name in before:
            problems.add(word.at, f"'{word.name}' stands here twice")
            continue
        before.add(word.name)
        kinds: dict[str, str] = {}
        for kind in found.types:
            member = kind.member(word.name)
            if member is None:
                hint = suggestion(word.name, (other.name for other in kind.members))
                problems.add(
                    word.at, f"'per' is for members that all events have: '{kind.name}' has no '{word.name}'{hint}"
                )
                break
            if member.type != UNKNOWN:  # what is wrong with it has been told where it is declared
                kinds.setdefault(member.type, kind.name)
        else:
            if len(kinds) > 1:
                (one, first), (other, second) = list(kinds.items())[:2]
                problems.add(
                    word.at, f"'{word.name}' is {in_words(one)} in '{first}' and {in_words(other)} in '{second}'"
                )
    return tuple(word.name for word in members)


def _window(rule: tree.RuleDecl, seen: dict[type, tree.Modifier], environment: Environment) -> Window | None:
    problems = environment.problems
    last, every = seen.get(tree.Last), seen.get(tree.Every)
    every_ns = _positive(every.duration, "every", environment) if isinstance(every, tree.Every) else None
    if not isinstance(last, tree.Last):
        if every is not None:
            problems.add(every.at, "'every' needs a window: 'last' and a number of events or a duration")
        return None
    if len(rule.steps) > 1:
        problems.add(rule.steps[1].at, "a window is of one event's type: leave 'last' out, or the other events")
    for other in (tree.Within, tree.Select, tree.Consume):
        if found := seen.get(other):
            problems.add(found.at, f"'{_word_of(found)}' is for patterns, not for windows")
    if isinstance(last.size, tree.Number):
        return Window(count=_count(last.size, "last", environment), every_ns=every_ns)
    return Window(length_ns=_positive(last.size, "last", environment), every_ns=every_ns)


def _count(number: tree.Number, word: str, environment: Environment) -> int:
    if isinstance(number.value, int) and 1 <= number.value <= COUNT_MAX:
        return number.value
    environment.problems.add(number.at, f"'{word}' takes a whole number from 1 to {COUNT_MAX:,}")
    return 1


def _positive(duration: tree.Duration, word: str, environment: Environment) -> int:
    if duration.value_ns > 0:
        return duration.value_ns
    environment.problems.add(duration.at, f"'{word}' takes a duration longer than nothing")
    return 1
