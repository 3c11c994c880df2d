"""Read PDDL: the domain and the problem of a text game.

The subset is what ALFWorld's domain needs and a little more: typing, constants, the ADL conditions
(and, or, not, imply, exists, forall, =), conditional and universal effects, derived predicates, and
action costs, which are read and dropped. Tokens are lower-cased and comments end at the line, as in
Fast Downward, whose reading decides what the game's text looks like. A list of typed names may use
a type that nobody declared: no object has it, so nothing matches.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from agentgym.envs.alfworld.engine.formula import (
    Exists,
    Forall,
    Formula,
    Literal,
    Parameter,
    conjunction,
    disjunction,
)
from agentgym.errors import DataError

_COMMENT = re.compile(r";[^\n]*")
_TOKEN = re.compile(r"[()]|\?[^\s()?]*|[^\s()?]+")

Expression = str | list["Expression"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One simple effect: for all `parameters`, when `condition`, then `literal`."""

    parameters: tuple[Parameter, ...]
    condition: Formula
    literal: Literal


@dataclass(frozen=True, slots=True)
class Action:
    """A lifted action."""

    name: str
    parameters: tuple[Parameter, ...]
    precondition: Formula
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived predicate: it holds of the parameters exactly where the condition does."""

    name: str
    parameters: tuple[Parameter, ...]
    condition: Formula


@dataclass(frozen=True, slots=True)
class Domain:
    """A PDDL domain as written."""

    name: str
    parents: dict[str, str | None]
    """Type → its supertype, in the order of declaration; `object` is the root."""
    constants: tuple[Parameter, ...]
    arity: dict[str, int]
    actions: tuple[Action, ...]
    derived: tuple[Derived, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A PDDL problem as written, constants of the domain included among the objects."""

    name: str
    types: dict[str, str]
    """Object → its type, in the order of declaration."""
    init: dict[str, dict[tuple[str, ...], None]] = field(repr=False)
    """Predicate → the arguments that it holds of: a set, kept in the order of the file."""
    goal: Formula


def read(text: str) -> list[Expression]:
    """Read one parenthesised expression.

    Raises:
        DataError: The parentheses don't match, or a character outside a comment is not ASCII.
    """
    text = _COMMENT.sub("", text).lower()
    if not text.isascii():
        bad = next(char for char in text if not char.isascii())
        raise DataError(f"PDDL is ASCII, and {bad!r} is not; remove it or move it into a comment")
    stack: list[list[Expression]] = [[]]
    for token in _TOKEN.findall(text):
        if token == "(":
            stack.append([])
        elif token == ")":
            if len(stack) == 1:
                raise DataError("PDDL closes a parenthesis that was never opened")
            closed = stack.pop()
            stack[-1].append(closed)
        else:
            stack[-1].append(token)
    if len(stack) > 1:
        raise DataError(f"PDDL leaves {len(stack) - 1} parentheses open at its end")
    if len(stack[0]) != 1 or not isinstance(stack[0][0], list):
        raise DataError("PDDL must be exactly one (define …) expression")
    return stack[0][0]


def _words(items: Iterable[Expression], where: str) -> list[str]:
    words = list(items)
    for word in words:
        if not isinstance(word, str):
            raise DataError(f"PDDL has a list in {where}, where a name belongs")
    return words  # pyright: ignore[reportReturnType]


def _typed(items: list[Expression], where: str, default: str = "object") -> tuple[Parameter, ...]:
    words = _words(items, where)
    result: list[Parameter] = []
    waiting: list[str] = []
    position = 0
    while position < len(words):
        if words[position] != "-":
            waiting.append(words[position])
            position += 1
            continue
        if position + 1 == len(words):
            raise DataError(f"PDDL ends {where} with '-' and no type after it")
        result += (Parameter(name, words[position + 1]) for name in waiting)
        waiting = []
        position += 2
    return (*result, *(Parameter(name, default) for name in waiting))


def _list(expression: Expression, where: str) -> list[Expression]:
    if not isinstance(expression, list):
        raise DataError(f"PDDL has {expression!r} in {where}, where a list belongs")
    return expression


def _head(expression: list[Expression], where: str) -> str:
    if not expression or not isinstance(expression[0], str):
        raise DataError(f"PDDL has a list without a leading name in {where}")
    return expression[0]


class _Conditions:
    """Parses conditions and effects against the predicates of one domain."""

    def __init__(self, arity: dict[str, int], types: Iterable[str]) -> None:
        self._arity = arity
        self._types = set(types)

    def literal(self, expression: list[Expression], positive: bool, where: str) -> Literal:
        predicate = _head(expression, where)
        if predicate == "not" and len(expression) == 2:
            return self.literal(_list(expression[1], where), not positive, where)
        args = tuple(_words(expression[1:], where))
        known = self._arity.get(predicate)
        if known is None and predicate in self._types:
            predicate, known = f"type@{predicate}", 1
        if known is None:
            raise DataError(f"PDDL uses predicate {predicate!r} in {where} and never declares it")
        if known != len(args):
            raise DataError(
                f"PDDL gives predicate {predicate!r} {len(args)} arguments in {where}; "
                f"it is declared with {known}"
            )
        return Literal(predicate, args, positive)

    def condition(self, expression: Expression, where: str, positive: bool = True) -> Formula:
        items = _list(expression, where)
        if not items:
            return conjunction(())
        tag = _head(items, where)
        if tag == "not" and len(items) == 2:
            return self.condition(items[1], where, not positive)
        if tag == "imply" and len(items) == 3:
            parts = (
                self.condition(items[1], where, not positive),
                self.condition(items[2], where, positive),
            )
            return disjunction(parts) if positive else conjunction(parts)
        if tag in ("and", "or"):
            parts = tuple(self.condition(item, where, positive) for item in items[1:])
            return conjunction(parts) if (tag == "and") == positive else disjunction(parts)
        if tag in ("exists", "forall") and len(items) == 3:
            parameters = _typed(_list(items[1], where), where)
            body = self.condition(items[2], where, positive)
            return (Exists if (tag == "exists") == positive else Forall)(parameters, body)
        return self.literal(items, positive, where)

    def effects(
        self,
        expression: Expression,
        where: str,
        parameters: tuple[Parameter, ...] = (),
        condition: Formula | None = None,
    ) -> Iterator[Effect]:
        items = _list(expression, where)
        if not items:
            return
        tag = _head(items, where)
        condition = conjunction(()) if condition is None else condition
        if tag == "and":
            for item in items[1:]:
                yield from self.effects(item, where, parameters, condition)
        elif tag == "forall" and len(items) == 3:
            more = _typed(_list(items[1], where), where)
            yield from self.effects(items[2], where, parameters + more, condition)
        elif tag == "when" and len(items) == 3:
            both = conjunction((condition, self.condition(items[1], where)))
            yield from self.effects(items[2], where, parameters, both)
        elif tag != "increase":
            yield Effect(parameters, condition, self.literal(items, True, where))


def _action(items: list[Expression], conditions: _Conditions) -> Action | None:
    name = items[1] if len(items) > 1 and isinstance(items[1], str) else "?"
    where = f"action {name}"
    fields: dict[str, Expression] = {}
    for key, value in zip(items[2::2], items[3::2], strict=False):
        if not isinstance(key, str) or not key.startswith(":"):
            raise DataError(f"PDDL has {key!r} in {where}, where a :keyword belongs")
        fields[key] = value
    parameters = _typed(_list(fields.get(":parameters", []), where), where)
    precondition = conditions.condition(fields.get(":precondition", []), where)
    effects = tuple(conditions.effects(fields.get(":effect", []), where))
    return Action(name, parameters, precondition, effects) if effects else None


@lru_cache(maxsize=64)
def read_domain(text: str) -> Domain:
    """Read a PDDL domain; the result is cached by content.

    Raises:
        DataError: The text is not a domain in the supported subset.
    """
    items = read(text)
    if _head(items, "the domain") != "define" or len(items) < 2:
        raise DataError("the PDDL domain must start with (define (domain …))")
    name = _words(_list(items[1], "the domain's name"), "the domain's name")[-1]
    parents: dict[str, str | None] = {"object": None}
    constants: tuple[Parameter, ...] = ()
    arity: dict[str, int] = {"=": 2}
    rest: list[list[Expression]] = []
    for item in items[2:]:
        section = _list(item, "the domain")
        tag = _head(section, "the domain")
        if tag == ":types":
            for declared in _typed(section[1:], ":types"):
                parents.setdefault(declared.name, declared.type)
        elif tag == ":constants":
            constants = _typed(section[1:], ":constants")
        elif tag == ":predicates":
            for predicate in section[1:]:
                signature = _list(predicate, ":predicates")
                arity[_head(signature, ":predicates")] = len(_typed(signature[1:], ":predicates"))
        elif tag in (":action", ":derived"):
            rest.append(section)
        elif tag not in (":requirements", ":functions"):
            raise DataError(f"PDDL section {tag} is not supported in a domain")
    conditions = _Conditions(arity, parents)
    actions: list[Action] = []
    derived: list[Derived] = []
    for section in rest:
        if section[0] == ":action":
            action = _action(section, conditions)
            if action is not None:
                actions.append(action)
        elif len(section) == 3:
            signature = _list(section[1], ":derived")
            head = _head(signature, ":derived")
            where = f"derived predicate {head}"
            parameters = _typed(signature[1:], where)
            derived.append(Derived(head, parameters, conditions.condition(section[2], where)))
        else:
            raise DataError("PDDL has a :derived that is not (:derived (predicate …) condition)")
    return Domain(name, parents, constants, arity, tuple(actions), tuple(derived))


def read_problem(text: str, domain: Domain) -> Problem:
    """Read a PDDL problem of `domain`.

    Raises:
        DataError: The text is not a problem of that domain in the supported subset.
    """
    items = read(text)
    if _head(items, "the problem") != "define" or len(items) < 2:
        raise DataError("the PDDL problem must start with (define (problem …))")
    name = _words(_list(items[1], "the problem's name"), "the problem's name")[-1]
    types = {constant.name: constant.type for constant in domain.constants}
    init: dict[str, dict[tuple[str, ...], None]] = {}
    goal: Formula | None = None
    for item in items[2:]:
        section = _list(item, "the problem")
        tag = _head(section, "the problem")
        if tag == ":domain":
            if section[1:] != [domain.name]:
                raise DataError(f"the problem is for domain {section[1:]}, not {domain.name!r}")
        elif tag == ":objects":
            for declared in _typed(section[1:], ":objects"):
                if declared.name in types:
                    raise DataError(f"PDDL declares object {declared.name!r} twice")
                if declared.type not in domain.parents:
                    raise DataError(
                        f"PDDL gives object {declared.name!r} the type {declared.type!r}, "
                        "which the domain does not declare"
                    )
                types[declared.name] = declared.type
        elif tag == ":init":
            init = _initial(section, types)
        elif tag == ":goal" and len(section) == 2:
            goal = _Conditions(domain.arity, domain.parents).condition(section[1], ":goal")
        elif tag not in (":requirements", ":metric"):
            raise DataError(f"PDDL section {tag} is not supported in a problem")
    if goal is None:
        raise DataError("the PDDL problem has no :goal")
    return Problem(name, types, init, goal)


def _initial(
    section: list[Expression], types: dict[str, str]
) -> dict[str, dict[tuple[str, ...], None]]:
    init: dict[str, dict[tuple[str, ...], None]] = {}
    for item in section[1:]:
        fact = _list(item, ":init")
        predicate = _head(fact, ":init")
        if predicate in ("=", "not"):  # numeric values are never read; what is not said is false
            continue
        args = tuple(_words(fact[1:], ":init"))
        for arg in args:
            if arg not in types:
                raise DataError(f"PDDL :init uses object {arg!r}, which :objects does not declare")
        init.setdefault(predicate, {})[args] = None
    return init
