"""A bed to water until everything in it blooms."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentgym import AgentEnv, Frame, ParsedAction, Task, TaskList, ToolCall, ToolSpec

_BEDS = {"tulips": 2, "roses": 3, "lilies": 4}


class Garden(AgentEnv):
    """Water the right bed often enough."""

    description = "You look after a garden."
    experts = ("gardener",)

    def __init__(self, *, beds: int = 3, max_turns: int | None = 12, **kwargs: Any) -> None:
        super().__init__(max_turns=max_turns, **kwargs)
        self.tools = (ToolSpec.text("water", "Waters a bed.", "bed", "the bed's name"),)
        names = list(_BEDS)[:beds]
        self.tasks = TaskList([Task(name, f"Make the {name} bloom.") for name in names])
        self._thirst = 0

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self._thirst = _BEDS[task.id] + int(self.np_random.integers(3))
        return Frame(task.goal)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        bed = calls[0].arguments["bed"]
        if bed not in _BEDS:
            return Frame("There is no such bed.", action_error=f"The beds are {', '.join(_BEDS)}.")
        self._thirst -= bed == self.task.id
        done = self._thirst == 0
        text = f"The {bed} bloom." if done else f"You water the {bed}."
        return Frame(text, reward=float(done), ended=done, success=done)

    def _expert(self, name: str) -> ParsedAction:
        return ParsedAction((ToolCall("water", {"bed": self.task.id}),))
