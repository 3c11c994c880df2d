"""`GuessingEnv`: find out what the other side thinks of, by asking.

Every turn is a question in free text, and costs 1; the turn that names the secret costs nothing and
ends the episode. The rewards and the 20 turns are those of ArCHer's dialogue games (arXiv
2402.19446). An `Oracle` answers.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.envs.dialogue.expert import Questioner
from agentgym.envs.dialogue.oracle import Oracle
from agentgym.errors import UnknownNameError, UsageError
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec

QUESTION_REWARD = -1.0
"""What a question earns that doesn't name the secret."""
MAX_TURNS = 20

ASK = ToolSpec.text("ask", "Asks a question, or names what it is.", "question", "the question")


class GuessingEnv(AgentEnv):
    """Base of the games in which something is to be found out by asking.

    A subclass has `opening` and an oracle, and makes the expert.

    Args:
        secrets: What the secret may be, in the order of the tasks.
        oracle: Answers the questions.
        max_turns: See `AgentEnv`.
        action_format: See `AgentEnv`.
        expert: See `AgentEnv`; "questioner" halves what is left with every question.
        instructions: See `AgentEnv`.
        render_mode: None or "ansi".

    Raises:
        UsageError: If an option is none of the above.
    """

    worker = WorkerKind.SHARED
    tools = (ASK,)
    experts = ("questioner",)
    opening: ClassVar[str] = ""
    """What a game begins with."""

    def __init__(
        self,
        *,
        secrets: Sequence[str],
        oracle: Oracle,
        max_turns: int | None = MAX_TURNS,
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
        self.tasks = TaskList([Task(id=name, goal=self.opening, truth=name) for name in secrets])
        self.oracle = oracle
        self._asked: list[tuple[str, str]] = []
        self._misunderstood = 0

    @abstractmethod
    def _questioner(self) -> Questioner:
        """Return the expert; it is asked for once a turn, so it should be made once."""

    @property
    def data_version(self) -> str:
        """A hash of the current task's secret."""
        return hashlib.sha256(str(self.task.truth).encode()).hexdigest()[:16]

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            name = type(self).__name__.removesuffix("Env")
            raise UsageError(f"{name}'s reset takes no option but 'task', got {sorted(options)}")
        self._asked = []
        self._misunderstood = 0
        return Frame(self.opening, metrics=self._metrics())

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        question = str(calls[0].arguments["question"])
        answer = self.oracle.answer(str(self.task.truth), question)
        self._asked.append((question, answer.text))
        self._misunderstood += not answer.understood
        return Frame(
            answer.text,
            reward=0.0 if answer.found else QUESTION_REWARD,
            ended=answer.found,
            success=answer.found,
            action_error=None if answer.understood else answer.text,
            metrics=self._metrics(),
        )

    def _metrics(self) -> dict[str, float]:
        return {"questions": float(len(self._asked)), "not_understood": float(self._misunderstood)}

    def _expert(self, name: str) -> ParsedAction | None:
        question = self._questioner().ask(self._asked)
        return ParsedAction((ToolCall(ASK.name, {"question": question}),))


def chosen(choice: Sequence[str] | int | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Return what the secret may be.

    Args:
        choice: Names, or how many of the first, or None for all.
        known: All names.
        what: What they are names of.

    Raises:
        UsageError: If there is no such choice.
    """
    if choice is None:
        return tuple(known)
    if isinstance(choice, int):
        if not 1 <= choice <= len(known):
            raise UsageError(f"There are {len(known)} {what} names; choose from 1 on, got {choice}")
        return tuple(known[:choice])
    for name in choice:
        if name not in known:
            raise UnknownNameError(what, name, known)
    if not choice or len(set(choice)) != len(choice):
        raise UsageError(f"Choose at least one {what}, and none of them twice.")
    return tuple(choice)
