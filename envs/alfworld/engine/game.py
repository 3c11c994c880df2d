"""A game: one grounded problem with its words, immutable and shared by all who play it.

A state is an int, and everything about it is a method of the game: what applies (places.py), what
comes of it, whether the goal holds, what is said (words.py). What was once worked out is
remembered, within bounds, and belongs to the game, so that a further player costs next to nothing.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

from agentgym.envs.alfworld.engine.domain import Domain, compile_domain
from agentgym.envs.alfworld.engine.expression import Entity
from agentgym.envs.alfworld.engine.formula import Formula
from agentgym.envs.alfworld.engine.grammar import Call
from agentgym.envs.alfworld.engine.ground import Operator, ground
from agentgym.envs.alfworld.engine.names import demangle
from agentgym.envs.alfworld.engine.pddl import Problem, read_problem
from agentgym.envs.alfworld.engine.places import Moves, Places
from agentgym.envs.alfworld.engine.play import Play
from agentgym.envs.alfworld.engine.queries import Queries, Scope
from agentgym.envs.alfworld.engine.relations import Args
from agentgym.envs.alfworld.engine.text import Saying
from agentgym.envs.alfworld.engine.words import Phrase, Words
from agentgym.errors import DataError

_MEMORY = 4096  # states whose outcome is remembered before that starts again


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
        physical: Mask of the facts that decide what applies and whether the goal holds. States that
            agree on it differ in their texts at most, so search compares `state & game.physical`.
        goal: The goal condition as written, derived predicates written out.
        objects: Type → its objects, subtypes included.
        names: Object → the name that players see.
        walkthrough: Commands that win; empty where the file has none.
        introduction: The first text of every play.
        task: The line that states the task ("Your task is to: …"); "" where the grammar has none.
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
        self.grounding = ground(domain, problem)
        self.initial = self.grounding.initial
        self.operators: list[Operator] = self.grounding.operators
        self.physical = (1 << self.grounding.physical) - 1
        self.goal: Formula = domain.rules.inline(problem.goal)
        self.objects: dict[str, list[str]] = self.grounding.relations.objects
        mentioned = {arg for facts in problem.init.values() for args in facts for arg in args}
        self.names: dict[str, str] = {name: name for name in problem.types} | demangle(mentioned)
        entities = {
            id_: Entity(id_, type_, self.names[id_]) for id_, type_ in problem.types.items()
        }
        grammar = domain.grammar
        queries = Queries(domain.rules.pddl.parents, self.grounding, entities)
        words = Words(grammar.rules, queries, entities)
        self._words = words
        self._by_action: dict[str, tuple[Phrase, Phrase]] = {}
        self._commands: list[str | None] = [None] * len(self.operators)
        self._feedbacks: list[Saying | None] = [None] * len(self.operators)
        self._places = Places(self.grounding, self.command)
        self._masks: dict[int, tuple[int, int]] = {}
        self._goal_mask = 0
        for condition in self.grounding.goal:
            self._goal_mask |= condition.mask
        self._won: dict[int, bool] = {}
        start = Scope({}, {}, self.initial)
        self.introduction: str = words.saying((Call("intro"),), start).text(0)
        task = (Call("task"),) if "task" in grammar.rules else ()
        self.task: str = words.saying(task, start).text(0)

    @classmethod
    def load(cls, path: str | Path) -> "Game":
        """Load a game.tw-pddl file.

        Raises:
            DataError: The file can't be read or is not a game; the message says what is wrong.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_bytes())
        except OSError as error:
            raise DataError(f"can't read game {path}: {error.strerror}; check the path") from None
        except (ValueError, RecursionError) as error:
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
        walkthrough = data.get("walkthrough") or []
        if not isinstance(walkthrough, list) or not all(isinstance(x, str) for x in walkthrough):
            raise DataError(f"game {source} has a walkthrough that is not a list of commands")
        try:
            domain = compile_domain(data["pddl_domain"], data["grammar"])
            problem = read_problem(data["pddl_problem"], domain.rules.pddl)
            return cls(domain, problem, tuple(walkthrough), source)
        except DataError as error:
            raise DataError(f"game {source} can't be played: {error}") from error
        except RecursionError:
            raise DataError(f"game {source} can't be played: it is nested too deeply") from None

    def start(self) -> Play:
        """Start to play."""
        return Play(self, self.initial, self.introduction)

    # What applies, and what comes of it.

    def moves(self, state: int) -> Moves:
        """Return the admissible commands of a state, sorted, each with its operator.

        The dictionary is shared: don't change it.
        """
        return self._places.moves(state)

    def applicable(self, state: int) -> list[int]:
        """Return the operators that apply in a state, one per admissible command."""
        return list(self.moves(state).values())

    def apply(self, state: int, operator: int) -> int:
        """Return the state after an operator that applies."""
        masks = self._masks.get(operator)
        if masks is None:
            adds, deletes = self.operators[operator].adds, self.operators[operator].deletes
            masks = self._masks[operator] = (~_mask(deletes), _mask(adds))
        keep, add = masks
        conditional = self.operators[operator].conditional
        if conditional:
            for effect in conditional:
                need = _mask(effect.positive)
                if state & need == need and not state & _mask(effect.negative):
                    add |= _mask(effect.adds)
                    keep &= ~_mask(effect.deletes)
        return state & keep | add

    def is_goal(self, state: int) -> bool:
        """Whether the goal holds in a state."""
        key = state & self._goal_mask
        won = self._won.get(key)
        if won is None:
            if len(self._won) >= _MEMORY:
                self._won.clear()
            won = all(condition.holds(state) for condition in self.grounding.goal)
            self._won[key] = won
        return won

    # Words.

    def command(self, operator: int) -> str:
        """Return the command that stands for an operator.

        Raises:
            DataError: The grammar makes the command depend on facts that change.
        """
        command = self._commands[operator]
        if command is None:
            action, args = self.operators[operator][:2]
            try:
                command = self._commands[operator] = self._phrases(action)[0].text(args)
            except DataError as error:
                raise DataError(f"the command of action {action!r}: {error}") from error
        return command

    def operator(self, command: str, state: int | None = None) -> int | None:
        """Return the operator that a command stands for.

        Args:
            command: The text, exactly as in the admissible list.
            state: Several operators may share a command (going somewhere from here or from there):
                the one that applies in this state is returned, or None. Without a state, the first.
        """
        if state is not None:
            return self.moves(state).get(command)
        return self._operators.get(command)

    def feedback(self, operator: int, state: int) -> str:
        """Return what is said after an operator led to `state`."""
        saying = self._feedbacks[operator]
        if saying is None:
            action, args = self.operators[operator][:2]
            saying = self._feedbacks[operator] = self._phrases(action)[1].saying(args)
        return saying.text(state)

    def _phrases(self, action: str) -> tuple[Phrase, Phrase]:
        """Return the command and the feedback of an action."""
        phrases = self._by_action.get(action)
        if phrases is None:
            template = self.domain.grammar.templates[action]
            parameters = self.domain.rules.parameters[action]
            phrases = self._by_action[action] = (
                Phrase(self._words, template.command, parameters),
                Phrase(self._words, template.feedback, parameters),
            )
        return phrases

    @cached_property
    def _operators(self) -> dict[str, int]:
        numbers = range(len(self.operators) - 1, -1, -1)  # so that the first stays
        return {self.command(number): number for number in numbers}

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


def _mask(facts: tuple[int, ...]) -> int:
    mask = 0
    for fact in facts:
        mask |= 1 << fact
    return mask
