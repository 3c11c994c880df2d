"""`shell`: runs a command line in a sandbox."""

from typing import Any

from agentgym.interpreter import clipped
from agentgym.sandbox import Limit, Sandbox
from agentgym.tool import ToolResult
from agentgym.tools._in_sandbox import InSandbox


class Shell(InSandbox):
    """The `shell` tool.

    Args:
        sandbox: A backend's name, or a box that it shares with other tools.
        most_chars: Longest answer.
        **options: Of the sandbox.
    """

    def __init__(
        self, sandbox: str | Sandbox = "bubblewrap", *, most_chars: int = 4096, **options: Any
    ) -> None:
        super().__init__(self.shell, sandbox, options)
        self._most_chars = most_chars

    async def shell(self, command: str, *, timeout: float) -> ToolResult:
        """Runs a command line with sh and shows its output.

        Args:
            command: The command line.
            timeout: Seconds that it may take.
        """
        # What no encoding has bytes for, or what no argument of a program can hold.
        line = (
            command.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
        )
        result = await self.box.aexec(line, language="sh", wall_seconds=timeout)
        said = ""
        if result.limit is Limit.WALL:
            said = f"Stopped: it ran for longer than {timeout:g} s."
        elif not result.ok:
            said = f"Ended with exit code {result.exit_code}."
        parts = (result.stdout.rstrip("\n"), result.stderr.rstrip("\n"), said)
        text = clipped("\n".join(part for part in parts if part), self._most_chars)
        return ToolResult(text, None if result.ok else text, {"exit_code": result.exit_code})
