"""A toy environment whose tasks have solutions that can be converted."""

from collections.abc import Mapping, Sequence
from typing import Any

import toy_envs

from agentgym.env import Frame
from agentgym.errors import InfraError
from agentgym.message import Message
from agentgym.registry import register
from agentgym.scripts import Script, UnscriptedError
from agentgym.task import Task
from agentgym.tool import ToolCall
from agentgym.trajectory import Trajectory

SOLVED = "toy/Solved-v0"
SOLUTIONS = {
    "goal-3": ["say: three", "add: 3"],
    "goal-4": ["add: 3"],  # goes on
    "goal-5": ["say: five", "add: five", "add: 5"],  # a mistake on the way
    "goal-6": ["say: oops", "add: 6"],  # flawed
    "goal-7": [],
    "goal-8": ["say: die", "add: 8"],  # on a world that fails once
}


class HasFlaw(Script):
    def flaw(self, trajectory: Trajectory) -> UnscriptedError | None:
        said = any("oops" in turn.observation for turn in trajectory.turns)
        return UnscriptedError("said oops", "out loud") if said else None


class Writer:
    """Writes the solutions in the format `tags`."""

    def by_rule(self, task: Task) -> Script:
        return self._script(SOLUTIONS[task.id])

    def asking(self, task: Task) -> Sequence[Message]:
        return [{"role": "user", "content": f"{task.id}: {'; '.join(SOLUTIONS[task.id])}"}]

    def by_model(self, task: Task, answer: str) -> Script:
        if not answer:
            raise UnscriptedError("nothing written")
        return self._script(answer.split("; "))

    def _script(self, solution: Sequence[str]) -> Script:
        if not solution:
            raise UnscriptedError("no solution", "it is empty")
        parts = [line.split(": ") for line in solution]
        return HasFlaw(tuple(f"<{name}>{what}</{name}>" for name, what in parts))


class Solved(toy_envs.Counter):
    """`Counter`, starting at 0, with solutions."""

    deaths = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(action_format="tags", **kwargs)

    def scriptwriter(self) -> Writer:
        return Writer()

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        frame = super()._begin(task, options)
        self.count = 0
        return frame

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        if calls[0].arguments == {"words": "die"}:
            Solved.deaths += 1
            if Solved.deaths == 1:
                raise InfraError("the world has died")
        return super()._act(calls)


register(SOLVED, "scripted_envs:Solved")
