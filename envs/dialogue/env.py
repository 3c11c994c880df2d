"""`GuessingEnv`: find out what the other side thinks of, by asking.

Every turn is a question in free text, and costs 1; the turn that names the secret costs nothing and
ends the episode. The rewards and the 20 turns are those of ArCHer's dialogue games (arXiv
2402.19446). An `Oracle` answers: a table of facts, or a policy.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, TypeGuard, cast

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.envs.dialogue.expert import Questioner
from agentgym.envs.dialogue.oracle import Oracle, Table
from agentgym.envs.dialogue.policy_oracle import PolicyOracle, Role
from agentgym.errors import UnknownNameError, UsageError
from agentgym.policy import Policy
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec

QUESTION_REWARD = -1.0
"""What a question earns that doesn't name the secret."""
MAX_TURNS = 20

ASK = ToolSpec.text("ask", "Asks a question, or names what it is.", "question", "the question")


class GuessingEnv(AgentEnv):
    """Base of the games in which something is to be found out by asking.

    A subclass has `opening`, a table and a policy's role, and makes the expert.

    Args:
        secrets: What the secret may be, in the order of the tasks.
        table: Answers the questions where no other oracle does, and knows what is a guess.
        role: How a policy is asked to answer them.
        oracle: Who answers: None for the table, the name of a policy (see `make_policy`), a
            `Policy`, which stays the caller's, or an `Oracle`.
        oracle_options: Arguments for making the policy that `oracle` names.
        oracle_seconds: How long a policy may take for one answer; then the step raises a
            `TimeLimitError`.
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
        table: Table,
        role: Role,
        oracle: Oracle | Policy | str | None = None,
        oracle_options: Mapping[str, Any] | None = None,
        oracle_seconds: float = 60.0,
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
        self.worker = self.worker_for({"oracle": oracle})
        self.oracle: Oracle = table
        self._table = table
        self._policy_oracle: PolicyOracle | None = None
        if _is_policy(oracle):
            self.oracle = self._policy_oracle = PolicyOracle(
                oracle, table, role, options=oracle_options, seconds=oracle_seconds
            )
        elif oracle_options:
            raise UsageError("oracle_options go with the name of a policy as the oracle.")
        elif oracle is not None:
            if not callable(getattr(oracle, "answer", None)):
                raise UsageError(
                    "An oracle is the name of a policy, a Policy, or has a method answer(secret, "
                    f"question); got {oracle!r}"
                )
            self.oracle = cast("Oracle", oracle)
        self._asked: list[tuple[str, str]] = []
        self._misunderstood = 0

    @classmethod
    def worker_for(cls, options: Mapping[str, Any]) -> WorkerKind:
        """Return where it wants to live: one that waits for a policy on a thread of its own."""
        return WorkerKind.THREAD if _is_policy(options.get("oracle")) else cls.worker

    @abstractmethod
    def _questioner(self) -> Questioner:
        """Return the expert; it is asked for once a turn, so it should be made once."""

    @property
    def data_version(self) -> str:
        """A hash of the current task's secret, and of what the table says of it."""
        return _digest(self._table, str(self.task.truth))

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            name = type(self).__name__.removesuffix("Env")
            raise UsageError(f"{name}'s reset takes no option but 'task', got {sorted(options)}")
        if self._policy_oracle is not None:
            self._policy_oracle.open()
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

    def _release(self) -> None:
        if self._policy_oracle is not None:
            self._policy_oracle.close()

    def _metrics(self) -> dict[str, float]:
        return {"questions": float(len(self._asked)), "not_understood": float(self._misunderstood)}

    def _expert(self, name: str) -> ParsedAction | None:
        question = self._questioner().ask(self._asked)
        return ParsedAction((ToolCall(ASK.name, {"question": question}),))


@lru_cache(maxsize=4096)
def _digest(table: Table, secret: str) -> str:
    said = [table.answer(secret, question).text for question in table.questions]
    return hashlib.sha256("\n".join([*table.names(secret), *said]).encode()).hexdigest()[:16]


def _is_policy(oracle: object) -> TypeGuard[Policy | str]:
    return isinstance(oracle, str) or callable(getattr(oracle, "generate", None))


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
