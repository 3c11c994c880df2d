"""`HumanPolicy`: a person at the terminal.

The person sees what a model would see, and what they type is the action, verbatim. Reading happens
on a thread of its own, so that a slow player holds up nothing else; one question is on the screen
at a time.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence

from agentgym.errors import PolicyError
from agentgym.policy import Completion, Request

HELP = "Type an action. /hint shows what the expert would do, /quit ends."


class HumanPolicy:
    """Asks a person.

    Args:
        hints: The environment's expert behind `/hint` (True for its first one); None for no hints.
        read: Shows a prompt, blocks, returns a line, and raises EOFError at the end; `input` by
            default.
        write: Shows a text; `print` by default.
    """

    template = None
    context_length: int | None = None
    episodes_at_once = 1

    def __init__(
        self,
        hints: bool | str | None = None,
        *,
        read: Callable[[str], str] = input,
        write: Callable[[str], None] = print,
    ) -> None:
        self.wants_expert = hints
        self._read, self._write = read, write
        self._turn = asyncio.Lock()
        self._greeted: set[str] = set()

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Ask for each answer, one after the other.

        Raises:
            PolicyError: If the person leaves.
        """
        async with self._turn:
            return [Completion(await self._ask(request)) for request in requests]

    def release(self, episode: str) -> None:
        """Greet again should an episode of that name return."""
        self._greeted.discard(episode)

    async def close(self) -> None:
        """Do nothing: a thread that still waits for a line ends with the program."""

    async def _ask(self, request: Request) -> str:
        if request.episode not in self._greeted:
            self._greeted.add(request.episode)
            for message in request.messages[:-1]:
                self._write(str(message["content"]))
            self._write(HELP)
        if request.messages:
            self._write(f"\n{request.messages[-1]['content']}")
        while True:
            line = await self._line()
            if line.strip() == "/quit":
                raise PolicyError("The player left.")
            if line.strip() != "/hint":
                return line
            hint = request.info.get("expert_action")
            self._write(str(hint) if hint else "There is no hint here.")

    async def _line(self) -> str:
        # Not `asyncio.to_thread`: its threads are joined at exit, and this one may wait for ever.
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def settle(line: str | None) -> None:
            if answer.done():
                return
            if line is None:
                answer.set_exception(PolicyError("The player left: the input ended."))
            else:
                answer.set_result(line)

        def wait() -> None:
            try:
                line = self._read("> ")
            except (EOFError, OSError, ValueError):  # closed, or never open
                line = None
            with contextlib.suppress(RuntimeError):  # the loop has gone meanwhile
                loop.call_soon_threadsafe(settle, line)

        threading.Thread(target=wait, name="agentgym-human", daemon=True).start()
        return await answer
