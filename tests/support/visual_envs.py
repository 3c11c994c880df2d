"""An environment whose texts say nothing: what to do can only be seen.

Importable by name, so that worker processes can make it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agentgym.actions import ParsedAction
from agentgym.env import AgentEnv, Frame, Image
from agentgym.registry import register
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec

COLOURS = "toy/Colours-v0"
_CHANNELS = ("red", "green", "blue")


class Colours(AgentEnv):
    """A square of some colour lies somewhere on a grey, noisy screen; say which colour, twice.

    Each right answer earns a half, and the episode is a success if both are right: whoever sees
    nothing succeeds in one episode out of nine, whatever it says.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 1}
    experts: ClassVar[tuple[str, ...]] = ("seer",)
    size: ClassVar[tuple[int, int]] = (64, 64)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(image_shape=self.size, **kwargs)
        self.tools = (ToolSpec.text("say", "Says a colour.", "colour", ", ".join(_CHANNELS)),)
        self.tasks = TaskList([Task("colours", "Say what colour the square has.")])
        self.colour = ""
        self.rights: list[bool] = []

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self.rights = []
        return self._show(0.0)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        right = calls[0].arguments["colour"] == self.colour
        self.rights.append(right)
        return self._show(right / 2)

    def _expert(self, name: str) -> ParsedAction:
        return ParsedAction((ToolCall("say", {"colour": self.colour}),))

    def _show(self, reward: float) -> Frame:
        self.colour = _CHANNELS[int(self.np_random.integers(3))]
        ended = len(self.rights) == 2
        return Frame(
            "Which?",
            reward=reward,
            ended=ended,
            success=ended and all(self.rights),
            image=self._screen(),
        )

    def _screen(self) -> Image:
        height, width = self.size
        pixels = self.np_random.integers(0, 64, (height, width, 3)).astype(np.uint8)
        top, left = (int(self.np_random.integers(side - 32)) for side in self.size)
        pixels[top : top + 32, left : left + 32, _CHANNELS.index(self.colour)] = 255
        return pixels


register(COLOURS, "visual_envs:Colours")
