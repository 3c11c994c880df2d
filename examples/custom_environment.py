"""An environment of your own, in about 40 lines, and two policies in it.

python examples/custom_environment.py
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agentgym import AgentEnv, Frame, ParsedAction, Task, TaskList, ToolCall, ToolSpec
from agentgym.policies import make_policy
from agentgym.progress import Display
from agentgym.rollout import collect


class HigherLower(AgentEnv):
    """Find a number that only ever says higher or lower."""

    description = "Find the hidden number."
    experts = ("halving",)
    tools = (ToolSpec.text("guess", "Guesses a number.", "number", "a whole number"),)

    def __init__(self, *, max_turns: int | None = 8, **kwargs: Any) -> None:
        super().__init__(max_turns=max_turns, **kwargs)
        self.tasks = TaskList([Task(str(n), f"It lies between 1 and {n}.") for n in (10, 50, 100)])
        self._low = self._high = self._hidden = 1

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self._low, self._high = 1, int(task.id)
        self._hidden = int(self.np_random.integers(1, self._high, endpoint=True))
        return Frame(task.goal)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        text = calls[0].arguments["number"]
        if not text.isdecimal():
            return Frame("Guess a whole number.", action_error=f"{text[:20]!r} is no number.")
        guess = int(text)
        if guess == self._hidden:
            return Frame("That is it.", reward=1.0, ended=True, success=True)
        if guess < self._hidden:
            self._low = max(self._low, guess + 1)
            return Frame("Higher.")
        self._high = min(self._high, guess - 1)
        return Frame("Lower.")

    def _expert(self, name: str) -> ParsedAction:
        middle = (self._low + self._high) // 2
        return ParsedAction((ToolCall("guess", {"number": str(middle)}),))


def main() -> None:
    for spec in ("expert", "random"):
        episodes = collect(HigherLower, make_policy(spec), 30, display=Display.OFF)
        solved = sum(episode.success for episode in episodes)
        print(f"{spec}: {solved} of {len(episodes)} solved")
    first = collect(HigherLower, make_policy("expert"), 1, display=Display.OFF)[0]
    for turn in first.turns:
        print(f"{turn.observation}\n> {turn.action}")
    print(first.final_observation)


if __name__ == "__main__":
    main()
