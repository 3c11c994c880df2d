"""Small environments that tests share, importable by name so that worker processes can make them.

`Counter` keeps the contract and has something of everything: several tasks, randomness, two tools,
two experts, an image on request. `Moody` does, on command, what environments do when they fail.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agentgym.actions import ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.errors import InfraError
from agentgym.registry import register
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec

COUNTER = "toy/Counter-v0"
MOODY = "toy/Moody-v0"


class Counter(AgentEnv):
    """Count up to the goal; "say" anything meanwhile. The world drifts by a random step."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}
    experts: ClassVar[tuple[str, ...]] = ("direct", "slow")
    description: ClassVar[str] = "Bring the counter to the goal."

    def __init__(self, *, visual: bool = False, **kwargs: Any) -> None:
        super().__init__(image_shape=(4, 6) if visual else None, **kwargs)
        self.visual = visual
        self.tools = (
            ToolSpec.text("add", "Adds a number to the counter.", "number", "the number"),
            ToolSpec.text("say", "Says something.", "words", "what to say"),
        )
        self.tasks = TaskList([Task(f"goal-{n}", f"Reach {n}.", truth=n) for n in range(3, 9)])
        self.count = 0

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self.count = int(self.np_random.integers(3)) + int(options.get("start", 0))
        return self._show(f"{task.goal} The counter is at {self.count}.")

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        (call,) = calls
        if call.name == "say":
            return self._show(f"You said: {call.arguments['words']}")
        try:
            self.count += int(call.arguments["number"])
        except ValueError:
            return self._show("Nothing happens.", error="That is no number.")
        done = self.count == self.task.truth
        return self._show(f"The counter is at {self.count}.", done=done)

    def _expert(self, name: str) -> ParsedAction:
        missing = self.task.truth - self.count
        step = missing if name == "direct" else int(np.sign(missing))
        return ParsedAction((ToolCall("add", {"number": str(step)}),), "Count on.")

    def _show(self, text: str, *, done: bool = False, error: str | None = None) -> Frame:
        pixels = np.full((4, 6, 3), self.count % 256, np.uint8)
        return Frame(
            text,
            reward=float(done),
            ended=done,
            success=done,
            image=pixels if self.visual or self.render_mode == "rgb_array" else None,
            action_error=error,
            metrics={"count": float(self.count)},
            info={"parity": ["even", "odd"][self.count % 2]},
        )

    def _observation(self, frame: Frame) -> Any:
        observation = super()._observation(frame)
        if not self.visual:
            observation.pop("image", None)
        return observation


class Moody(AgentEnv):
    """Echoes; and dies, hangs, raises or sleeps when told so.

    Commands: "die" (the process exits at once), "hang", "raise", "infra", "sleep SECONDS", "end",
    "pid", "big N" (an answer of N characters), "later COMMAND" (what `do_later` then does).
    """

    worker: ClassVar[WorkerKind] = WorkerKind.PROCESS

    def __init__(self, *, slow_start: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        time.sleep(slow_start)
        self.tools = (ToolSpec.text("do", "Does it.", "what", "what to do"),)
        self.tasks = TaskList([Task("mood", "Be in a mood.")])
        self.steps = 0
        self.later = ""

    def do_later(self) -> str:
        return self._act((ToolCall("do", {"what": self.later}),)).text

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self.steps = 0
        if options.get("fail"):
            raise InfraError("no mood could be had")
        return Frame(f"ready {int(self.np_random.integers(10**6))}", info={"pid": os.getpid()})

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        self.steps += 1
        command, _, rest = str(calls[0].arguments["what"]).partition(" ")
        if command == "die":
            os._exit(9)
        if command == "hang":
            time.sleep(600)
        if command == "raise":
            raise RuntimeError("a bug in the world")
        if command == "infra":
            raise InfraError("the world went away")
        if command == "later":
            self.later = rest
        if command == "sleep":
            time.sleep(float(rest))
        text = "x" * int(rest) if command == "big" else f"{command} {self.steps}"
        ended = command == "end"
        info = {"pid": os.getpid()}
        return Frame(text, reward=float(ended), ended=ended, success=ended, info=info)


register(COUNTER, "toy_envs:Counter")
register(MOODY, "toy_envs:Moody")
