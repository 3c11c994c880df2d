"""`bench/TwoRooms-v0`: a key in the first room, a locked door in the second, forks between them.

At every place of the corridor one way leads on and the other one back, always the same, and nothing
says which. Only the open door earns anything. So a trainer has to find out, from what happened a
dozen turns later, what each place's turn was worth: how well it assigns credit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentgym.actions import ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.registry import register
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec

ENV = "bench/TwoRooms-v0"
TAKE, ENTER, OPEN, LEAVE = "take key", "enter corridor", "open door", "leave room"
LEFT, RIGHT = "go left", "go right"
_WAYS = (LEFT, RIGHT, RIGHT, LEFT, RIGHT, LEFT, LEFT, RIGHT, LEFT, RIGHT)
"""Which way leads on, place by place, round and round."""


class TwoRooms(AgentEnv):
    """Take the key, find the way, open the door: reward 1 for that and for nothing else.

    Args:
        corridor: Places between the two rooms.
        **options: See `AgentEnv`; the experts are "direct", who knows the way, and "wanderer", who
            does anything that can be done.
    """

    worker: ClassVar[WorkerKind] = WorkerKind.SHARED
    experts: ClassVar[tuple[str, ...]] = ("direct", "wanderer")
    description: ClassVar[str] = "Open the door of the second room; its key lies in the first one."

    def __init__(self, *, corridor: int = 10, **options: Any) -> None:
        super().__init__(**options)
        self.tools = (ToolSpec.text("do", "Does something.", "command", "what to do"),)
        self.tasks = TaskList([Task("door", "Open the door.")])
        self._last = corridor + 1
        self._place = 0
        self._key = False

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self._place, self._key = 0, False
        return self._show()

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        command = str(calls[0].arguments["command"])
        commands = self._commands()
        if command not in commands:
            return self._show(error="You can't do that here.")
        if command == TAKE:
            self._key = True
        elif command == OPEN:
            if self._key:
                return Frame("The door is open.", reward=1.0, ended=True, success=True)
        else:
            on = command in (ENTER, commands[0]) and command != LEAVE
            self._place += 1 if on else -1
        return self._show()

    def _expert(self, name: str) -> ParsedAction:
        commands = self._commands()
        wanted = commands[0]
        if name == "wanderer":
            wanted = commands[int(self.np_random.integers(len(commands)))]
        return ParsedAction((ToolCall("do", {"command": wanted}),))

    def _commands(self) -> list[str]:
        """Return what can be done, what leads to the open door first."""
        if self._place == 0:
            return [ENTER] if self._key else [TAKE, ENTER]
        if self._place == self._last:
            return [OPEN, LEAVE] if self._key else [LEAVE, OPEN]
        way = _WAYS[(self._place - 1) % len(_WAYS)]
        return [way, LEFT if way == RIGHT else RIGHT]

    def _show(self, error: str | None = None) -> Frame:
        where = {0: "in the first room", self._last: "in the second room"}.get(
            self._place, f"at fork {self._place} of the corridor"
        )
        key = "have the key" if self._key else "have no key"
        text = f"You are {where} and {key}."
        return Frame(
            f"{error} {text}" if error else text,
            action_error=error,
            info={"admissible_commands": sorted(self._commands())},
        )


register(ENV, f"{__name__}:TwoRooms")
