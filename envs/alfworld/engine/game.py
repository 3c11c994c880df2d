"""A game: one grounded problem with its words, immutable and shared by all who play it.

A state is an int. What applies in it is found in two steps. Every operator needs some fact that is
scarce (in ALFWorld: where the agent is), so the scarce facts of the state pick a short list of
candidates. Which of these apply then depends on the few facts that they mention, and the answer is
remembered under those: going back to a table that nobody touched costs one dictionary look-up.
Feedback works alike (see text.py). Both memories are bounded, and both belong to the game, so that
a further player costs nothing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from agentgym.envs.alfworld.engine.domain import Domain, compile_domain
from agentgym.envs.alfworld.engine.formula import Formula
from agentgym.envs.alfworld.engine.grammar import Call, Entity
from agentgym.envs.alfworld.engine.ground import Grounding, Operator, ground
from agentgym.envs.alfworld.engine.names import demangle
from agentgym.envs.alfworld.engine.pddl import Problem, read_problem
from agentgym.envs.alfworld.engine.play import Play
from agentgym.envs.alfworld.engine.relations import Args
from agentgym.envs.alfworld.engine.text import Saying, Scope, Words
from agentgym.errors import DataError

NOTHING_HAPPENS = "Nothing happens."
_MEMORY = 1024  # situations that one place remembers before it starts again
_PLACES = 4096  # places that a game remembers before it starts again

Moves = dict[str, int]
"""Command → operator, in the order of the admissible list."""


@dataclass(slots=True)
class _Candidate:
    command: str
    operator: int
    need: int
    forbid: int


@dataclass(slots=True)
class _Place:
    """The operators that the scarce facts of a state leave, and what they came to before."""

    candidates: list[_Candidate]
    mask: int
    guarded: bool  # some candidate has tests besides its masks
    known: dict[int, Moves] = field(default_factory=dict[int, Moves])


@final
class Game:
    """One game.

    Args:
        domain: The compiled domain and grammar.
        problem: The objects, the initial facts and the goal.
        walkthrough: Commands that win, where the file has them.
        source: The file, for messages.

    Attributes:
        domain: The compiled domain and grammar.
        grounding: Facts and operators by number.
        initial: The state in which every play starts.
        operators: The ground operators; an operator's number is its position here.
        physical: Mask of the facts that decide what applies and whether the goal holds. Two states
            that agree on it differ in their text at most, so search compares `state &
            game.physical`.
        goal: The goal condition as written, derived predicates written out.
        objects: Type → its objects, subtypes included.
        names: Object → the name that players see.
        walkthrough: Commands that win; empty where the file has none.
        introduction: The first text of every play.
        task: The line that states the task ("Your task is to: …"), or "" where the grammar has
            none.
        source: The file that the game came from, or a word for where it came from.
    """

    def __init__(
        self,
        domain: Domain,
        problem: Problem,
        walkthrough: tuple[str, ...] = (),
        source: str = "<data>",
    ) -> None:
        self.domain = domain
        self.source = source
        self.walkthrough = walkthrough
        self.grounding: Grounding = ground(domain, problem)
        self.initial: int = self.grounding.initial
        self.operators: list[Operator] = self.grounding.operators
        self.physical: int = (1 << self.grounding.physical) - 1
        self.goal: Formula = domain.rules.inline(problem.goal)
        self.objects: dict[str, list[str]] = self.grounding.relations.objects
        mentioned = {arg for facts in problem.init.values() for args in facts for arg in args}
        self.names: dict[str, str] = {
            **{name: name for name in problem.types},
            **demangle(mentioned),
        }
        self._entities = {
            id_: Entity(id_, type_, self.names[id_]) for id_, type_ in problem.types.items()
        }
        self._words = Words(domain, self.grounding, self._entities)
        self._commands = [self._command(operator) for operator in self.operators]
        self._by_command: dict[str, list[int]] = {}
        for number, command in enumerate(self._commands):
            self._by_command.setdefault(command, []).append(number)
        self._masks: dict[int, tuple[int, int]] = {}
        self._sayings: dict[int, Saying] = {}
        self._goal_mask = 0
        for test in self.grounding.goal:
            self._goal_mask |= test.mask
        self._goal_known: dict[int, bool] = {}
        self._scarce, self._by_scarce, self._always = self._index()
        self._places: dict[int, _Place] = {}
        nowhere = Scope({}, {})
        self.introduction: str = self._words.saying((Call("intro"),), nowhere).text(self.initial)
        self.task: str = (
            self._words.saying((Call("task"),), nowhere).text(self.initial)
            if "task" in domain.grammar.rules
            else ""
        )

    @classmethod
    def load(cls, path: str | Path) -> "Game":
        """Load a game.tw-pddl file.

        Raises:
            DataError: The file can't be read or is not a game; the message says what is wrong with
                it.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_bytes())
        except OSError as error:
            raise DataError(f"can't read game {path}: {error.strerror}; check the path") from None
        except ValueError as error:
            raise DataError(
                f"game {path} is not JSON ({error}); it is damaged, or not a game.tw-pddl file"
            ) from None
        return cls.from_data(data, source=str(path))

    @classmethod
    def from_data(cls, data: Mapping[str, Any], source: str = "<data>") -> "Game":
        """Make a game of what a game.tw-pddl file holds.

        Args:
            data: A mapping with `pddl_domain`, `grammar` and `pddl_problem`, all of them text, and
                perhaps a `walkthrough`.
            source: Where it came from, for messages.

        Raises:
            DataError: Something is missing or can't be read.
        """
        if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DataError(f"game {source} must be a JSON object; it is damaged, or not a game")
        for key in ("pddl_domain", "grammar", "pddl_problem"):
            if not isinstance(data.get(key), str):
                raise DataError(
                    f"game {source} has no text under {key!r}; "
                    "write it again with alfworld-generate or with agentgym's generator"
                )
        try:
            domain = compile_domain(data["pddl_domain"], data["grammar"])
            problem = read_problem(data["pddl_problem"], domain.rules.pddl)
            return cls(domain, problem, tuple(data.get("walkthrough") or ()), source)
        except DataError as error:
            raise DataError(f"game {source} can't be played: {error}") from error

    def start(self) -> Play:
        """Start to play."""
        return Play(self, self.initial, self.introduction)

    # What applies.

    def moves(self, state: int) -> Moves:
        """Return the admissible commands of a state, sorted, each with its operator.

        The dictionary is shared: don't change it.
        """
        scarce = state & self._scarce
        place = self._places.get(scarce)
        if place is None:
            place = self._place(scarce)
        key = state & place.mask
        moves = place.known.get(key)
        if moves is None:
            moves = {
                candidate.command: candidate.operator
                for candidate in place.candidates
                if state & candidate.need == candidate.need and not state & candidate.forbid
            }
            if place.guarded:
                moves = self._guarded(place, state)
            if len(place.known) >= _MEMORY:
                place.known.clear()
            place.known[key] = moves
        return moves

    def applicable(self, state: int) -> list[int]:
        """Return the operators that apply in a state, one per admissible command."""
        return list(self.moves(state).values())

    def apply(self, state: int, operator: int) -> int:
        """Return the state after an operator that applies."""
        masks = self._masks.get(operator)
        if masks is None:
            masks = self._masks[operator] = self._effects(self.operators[operator])
        keep, add = masks
        conditional = self.operators[operator].conditional
        if not conditional:
            return state & keep | add
        adds, deletes = add, ~keep
        for effect in conditional:
            if all(state >> fact & 1 for fact in effect.positive) and not any(
                state >> fact & 1 for fact in effect.negative
            ):
                for fact in effect.adds:
                    adds |= 1 << fact
                for fact in effect.deletes:
                    deletes |= 1 << fact
        return state & ~deletes | adds

    def is_goal(self, state: int) -> bool:
        """Whether the goal holds in a state."""
        key = state & self._goal_mask
        won = self._goal_known.get(key)
        if won is None:
            if len(self._goal_known) >= _MEMORY:
                self._goal_known.clear()
            won = all(test.holds(state) for test in self.grounding.goal)
            self._goal_known[key] = won
        return won

    # Words.

    def command(self, operator: int) -> str:
        """Return the command that stands for an operator."""
        return self._commands[operator]

    def operator(self, command: str, state: int | None = None) -> int | None:
        """Return the operator that a command stands for.

        Args:
            command: The text, exactly as in the admissible list.
            state: Several operators may share a command (going somewhere from here or from there):
                the one that applies in this state is returned, or None. Without a state, the first.
        """
        if state is not None:
            return self.moves(state).get(command)
        found = self._by_command.get(command)
        return found[0] if found else None

    def feedback(self, operator: int, state: int) -> str:
        """Return what is said after an operator led to `state`."""
        saying = self._sayings.get(operator)
        if saying is None:
            ground_operator = self.operators[operator]
            template = self.domain.grammar.templates[ground_operator.action]
            scope = self._scope(ground_operator)
            saying = self._sayings[operator] = self._words.saying(template.feedback, scope)
        return saying.text(state)

    # Facts.

    def facts(self, state: int) -> Iterator[tuple[str, Args]]:
        """Yield the changeable facts that hold in a state, as predicate and arguments."""
        facts = self.grounding.facts
        rest = state & ((1 << self.grounding.plain) - 1)
        while rest:
            lowest = rest & -rest
            yield facts[lowest.bit_length() - 1]
            rest ^= lowest

    def static_facts(self, predicate: str) -> list[Args]:
        """Return the arguments of which an unchanging predicate holds, in the order of the file."""
        return list(self.grounding.relations.facts.get(predicate, ()))

    def fact_id(self, predicate: str, *args: str) -> int | None:
        """Return the bit position of a changeable fact, or None where it has none.

        A fact has none if it never changes, if nothing can make it true, or if nothing reads it.
        """
        return self.grounding.ids.get(predicate, {}).get(args)

    # How it is built.

    def _scope(self, operator: Operator) -> Scope:
        parameters = self.domain.rules.parameters[operator.action]
        bound = [
            (p.name[1:], p.type, arg) for p, arg in zip(parameters, operator.args, strict=True)
        ]
        return Scope(
            {name: self._entities[arg] for name, _, arg in bound},
            {(name, type_): arg for name, type_, arg in bound},
        )

    def _command(self, operator: Operator) -> str:
        template = self.domain.grammar.templates[operator.action]
        saying = self._words.saying(template.command, self._scope(operator))
        if saying.mask:
            raise DataError(
                f"the command of action {operator.action!r} depends on facts that change, "
                "which is not supported"
            )
        return saying.text(self.initial)

    @staticmethod
    def _effects(operator: Operator) -> tuple[int, int]:
        keep, add = -1, 0
        for fact in operator.deletes:
            keep &= ~(1 << fact)
        for fact in operator.adds:
            add |= 1 << fact
        return keep, add

    def _index(self) -> tuple[int, dict[int, list[int]], list[int]]:
        """Choose the scarce predicate and file the operators by its facts."""
        facts = self.grounding.facts
        true: dict[str, int] = {}
        for predicate, _ in self.facts(self.initial):
            true[predicate] = true.get(predicate, 0) + 1
        served: dict[str, int] = {}
        for operator in self.operators:
            for predicate in {facts[fact][0] for fact in operator.positive}:
                served[predicate] = served.get(predicate, 0) + 1
        best = max(served, key=lambda name: served[name] / (1 + true.get(name, 0)), default="")
        mask = 0
        filed: dict[int, list[int]] = {}
        always: list[int] = []
        for number, operator in enumerate(self.operators):
            key = next((fact for fact in operator.positive if facts[fact][0] == best), None)
            if key is None:
                always.append(number)
            else:
                filed.setdefault(key, []).append(number)
                mask |= 1 << key
        return mask, filed, always

    def _place(self, scarce: int) -> _Place:
        numbers = list(self._always)
        for fact, filed in self._by_scarce.items():
            if scarce >> fact & 1:
                numbers += filed
        candidates: list[_Candidate] = []
        guarded = False
        whole = 0
        for number in numbers:
            operator = self.operators[number]
            need = forbid = 0
            for fact in operator.positive:
                need |= 1 << fact
            for fact in operator.negative:
                forbid |= 1 << fact
            if need & self._scarce & ~scarce or forbid & scarce:
                continue
            need &= ~self._scarce
            forbid &= ~self._scarce
            whole |= need | forbid
            guarded = guarded or bool(operator.unless)
            for test in operator.unless:
                whole |= test.mask
            candidates.append(_Candidate(self._commands[number], number, need, forbid))
        # Of operators with one command the first is meant; a dictionary keeps the last.
        candidates.sort(key=lambda candidate: (candidate.command, -candidate.operator))
        if len(self._places) >= _PLACES:
            self._places.clear()
        place = self._places[scarce] = _Place(candidates, whole, guarded)
        return place

    def _guarded(self, place: _Place, state: int) -> Moves:
        return {
            candidate.command: candidate.operator
            for candidate in place.candidates
            if state & candidate.need == candidate.need
            and not state & candidate.forbid
            and not any(test.holds(state) for test in self.operators[candidate.operator].unless)
        }
