"""`ScriptPolicy`: plays, in every episode, what was written for its task beforehand."""

from collections.abc import Awaitable, Callable, Sequence

from agentgym.policy import Completion, Request
from agentgym.scripts import Script, UnscriptedError


class ScriptPolicy:
    """Answers turn k with action k of the task's script.

    A script is written when its task is first asked for, so that a model that writes it is asked
    for many at once, within the rollout's limits, and is kept: an episode that is tried again for
    the sake of its environment doesn't have it written again.

    Args:
        write: Gives the script of a task, by the task's id. What it raises ends the episode.
    """

    template = None
    context_length: int | None = None
    episodes_at_once: int | None = None
    wants_expert: bool | str | None = None

    def __init__(self, write: Callable[[str], Awaitable[Script]]) -> None:
        self._write = write
        self.scripts: dict[str, Script] = {}
        self.unscripted: dict[str, UnscriptedError] = {}

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order.

        Raises:
            UnscriptedError: If there is no script for a task, or it is over and its episode isn't.
        """
        return [Completion(await self._answer(request)) for request in requests]

    async def _answer(self, request: Request) -> str:
        task_id = request.task_id
        try:
            if task_id not in self.scripts:
                self.scripts[task_id] = await self._write(task_id)
            actions = self.scripts[task_id].actions
            turn = sum(message["role"] == "assistant" for message in request.messages)
            if turn >= len(actions):
                raise UnscriptedError("no end", f"the episode goes on after {len(actions)} actions")
            return actions[turn]
        except UnscriptedError as fault:
            self.unscripted[task_id] = fault
            raise

    def release(self, episode: str) -> None:
        """Do nothing: scripts belong to tasks, not to episodes."""

    async def close(self) -> None:
        """Do nothing: nothing is held."""
