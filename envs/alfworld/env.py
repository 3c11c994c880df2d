"""`ALFWorldEnv`: household tasks in text, played by a native engine.

The texts and commands are ALFWorld's own, string for string; the engine under them is ours
(`engine/`), so a reset or a step costs microseconds and needs no TextWorld. Games are generated
(`generator/`) unless ALFWorld's files are asked for. See README.md in this folder for the spaces,
rewards and versions.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.envs.alfworld.engine import Game, Play
from agentgym.envs.alfworld.experts import Expert, make_expert
from agentgym.envs.alfworld.generator import Difficulty, Split, TaskType
from agentgym.envs.alfworld.tasks import (
    GameFiles,
    GeneratedGames,
    parse_task_types,
    single_game,
    split_folder,
)
from agentgym.errors import DataError, UsageError
from agentgym.members import member
from agentgym.task import Task, TaskList, TaskSet
from agentgym.tool import ToolCall, ToolSpec


class Source(StrEnum):
    """Where games come from."""

    GENERATED = "generated"
    ALFWORLD = "alfworld"


class ObservationStyle(StrEnum):
    """What an observation's text holds."""

    FEEDBACK = "feedback"
    """The engine's feedback and nothing else."""
    ADMISSIBLE = "admissible"
    """The feedback, and below it the commands that would do something now."""


ACTION = ToolSpec.text(
    "action",
    "Do one thing in the house, such as 'go to desk 1', 'take mug 1 from desk 1', 'open fridge 1', "
    "'move mug 1 to fridge 1', 'clean mug 1 with sinkbasin 1', 'use desklamp 1' or 'help'.",
    "command",
    "the command",
)

# How releases of ALFWorld before 0.4 said it; many published prompts still do.
_PUT = re.compile(r"put (?P<object>.+?) in/on (?P<place>.+)")

# Compiling a game costs far more than playing it, and groups of rollouts share their game.
_GAMES_KEPT = 512


class ALFWorldEnv(AgentEnv):
    """Household tasks in text: find it, treat it, put it away.

    Args:
        split: "train", "valid_seen" or "valid_unseen".
        source: "generated" makes games on the spot; "alfworld" reads ALFWorld's own from
            `data` or `$ALFWORLD_DATA`.
        data: ALFWorld's data folder, for `source="alfworld"`.
        game: Plays this one `game.tw-pddl` file.
        task: Plays this one task, by index or id.
        task_types: Kinds of tasks, by name or by ALFWorld's numbers 1 to 6; all where None.
        difficulty: Size of generated rooms: 1 to 5, "tiny" to "full", or a `Difficulty`.
        scenes: Whose rooms are generated: "agentgym", or "alfworld" for that package's floor plans.
        games: How many games are generated; as many as ALFWorld's split has where None.
        observation: "feedback", or "admissible" to list the admissible commands in the text.
        accept_put: Whether "put O in/on R" is understood beside "move O to R".
        max_turns: Turns after which the episode is truncated.
        action_format: See `AgentEnv`.
        expert: See `AgentEnv`; "explorer" knows what was seen, "oracle" knows everything.
        instructions: See `AgentEnv`.
        render_mode: None or "ansi".

    Raises:
        UsageError: If an option is none of the above.
        DataError: If game files are asked for and missing or damaged.
    """

    worker = WorkerKind.SHARED
    tools = (ACTION,)
    experts = ("explorer", "oracle")
    description = "You are in a house and have a task to do. You see the room in words."

    def __init__(
        self,
        *,
        split: str = "train",
        source: str = "generated",
        data: str | Path | None = None,
        game: str | Path | None = None,
        task: int | str | None = None,
        task_types: Iterable[str | int] | None = None,
        difficulty: Difficulty | int | str = "full",
        scenes: str = "agentgym",
        games: int | None = None,
        observation: str = "feedback",
        accept_put: bool = False,
        max_turns: int | None = 50,
        action_format: str | ActionFormat = "plain",
        expert: bool | str = False,
        instructions: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            action_format=action_format,
            max_turns=max_turns,
            expert=expert,
            instructions=instructions,
            render_mode=render_mode,
        )
        types = parse_task_types(task_types)
        self.tasks = _task_set(split, source, data, game, types, difficulty, scenes, games)
        if task is not None:
            index = task if isinstance(task, int) else self.tasks.find(task)
            self.tasks = TaskList([self._pick(index)])
        self._style = member(ObservationStyle, observation, "observation style")
        self._accept_put = accept_put
        self._play: Play | None = None
        self._advisor: Expert | None = None

    @property
    def data_version(self) -> str:
        """A hash of the current game's file: equal hashes play equal games."""
        return fingerprint(self.task)

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            raise UsageError(f"ALFWorld's reset takes no option but 'task', got {sorted(options)}")
        game = compiled(task)
        self._play = game.start()
        self._advisor = None
        if self.expert is not None:
            self._advisor = make_expert(self.expert, game, self._play)
        return self._frame_of(self._play, 0.0)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        play = self._playing()
        command = str(calls[0].arguments["command"])
        if self._accept_put and (match := _PUT.fullmatch(command)):
            command = f"move {match['object']} to {match['place']}"
        play.step(command)
        if self._advisor is not None:
            self._advisor.observe(command, play)
        return self._frame_of(play, float(play.won))

    def _expert(self, name: str) -> ParsedAction | None:
        command = None if self._advisor is None else self._advisor.advise(self._playing())
        return (
            None if command is None else ParsedAction((ToolCall("action", {"command": command}),))
        )

    def _release(self) -> None:
        self._play = self._advisor = None

    def _frame_of(self, play: Play, reward: float) -> Frame:
        text = play.feedback
        if self._style is ObservationStyle.ADMISSIBLE:
            text = f"{text}\nYou can: {', '.join(play.admissible)}."
        return Frame(
            text=text,
            reward=reward,
            ended=play.done,
            success=play.won,
            action_error=None if play.obeyed else "That command does nothing here.",
            info={"admissible_commands": list(play.admissible)},
        )

    def _playing(self) -> Play:
        assert self._play is not None  # AgentEnv calls only between reset and the end
        return self._play


def compiled(task: Task) -> Game:
    """Return the task's game, ready to play; the last few hundred are kept.

    Raises:
        DataError: If the task holds no game that can be played.
    """
    return _compile(*_texts(task))


def fingerprint(task: Task) -> str:
    """Return a hash of what decides how the task's game plays."""
    return _digest(*_texts(task))


def _texts(task: Task) -> tuple[str, str, str]:
    data = task.data.get("game")
    if not isinstance(data, Mapping):
        raise DataError(
            f"Task {task.id!r} holds no game; take tasks from the environment's `tasks`."
        )
    missing = [key for key in ("pddl_domain", "grammar", "pddl_problem") if key not in data]
    if missing:
        raise DataError(f"The game of task {task.id!r} lacks {', '.join(missing)}.")
    return data["pddl_domain"], data["grammar"], data["pddl_problem"]


@lru_cache(maxsize=_GAMES_KEPT)
def _compile(domain: str, grammar: str, problem: str) -> Game:
    return Game.from_data({"pddl_domain": domain, "grammar": grammar, "pddl_problem": problem})


@lru_cache(maxsize=_GAMES_KEPT)
def _digest(domain: str, grammar: str, problem: str) -> str:
    return hashlib.sha256("\0".join((domain, grammar, problem)).encode()).hexdigest()[:16]


def _task_set(
    split: str,
    source: str,
    data: str | Path | None,
    game: str | Path | None,
    types: tuple[TaskType, ...] | None,
    difficulty: Difficulty | int | str,
    scenes: str,
    games: int | None,
) -> TaskSet:
    if game is not None:
        return single_game(game)
    chosen = member(Split, split, "split")
    if member(Source, source, "source") is Source.ALFWORLD:
        return GameFiles(split_folder(chosen, data), types)
    return GeneratedGames(chosen, types, difficulty, scenes, games)
