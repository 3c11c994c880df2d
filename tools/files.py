"""`files`: reads, writes and lists the files of a sandbox."""

from typing import Any, Literal

from agentgym.errors import DataError
from agentgym.interpreter import clipped
from agentgym.sandbox import Sandbox
from agentgym.tool import ToolResult
from agentgym.tools._in_sandbox import InSandbox


class Files(InSandbox):
    """The `files` tool.

    Args:
        sandbox: A backend's name, or a box that it shares with other tools.
        most_chars: Longest answer.
        **options: Of the sandbox.
    """

    def __init__(
        self, sandbox: str | Sandbox = "bubblewrap", *, most_chars: int = 16_384, **options: Any
    ) -> None:
        super().__init__(self.files, sandbox, options)
        self._most_chars = most_chars

    def files(
        self,
        action: Literal["read", "write", "list"],
        path: str = ".",
        content: str = "",
        *,
        timeout: float,
    ) -> ToolResult:
        """Reads or writes a file, or lists a folder.

        Args:
            action: What to do.
            path: The file or folder, in the working directory or absolute.
            content: What to write.
            timeout: Seconds that it may take.
        """
        path = path.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
        try:
            if action == "write":
                data = content.encode("utf-8", "replace")
                self.box.put(path, data)
                return ToolResult(f"Wrote {len(data)} bytes to {path}.")
            if action == "read":
                return self._shown(self.box.get(path).decode("utf-8", "replace"))
        except DataError as fault:
            return ToolResult(str(fault), str(fault))
        # The folder is listed by what is in the box: the host follows no path of a model's.
        listing = self.box.exec(["ls", "-1Ap", "--", path], wall_seconds=timeout)
        if not listing.ok:
            said = listing.stderr.strip() or "It can't be listed."
            return ToolResult(said, said)
        return self._shown(listing.stdout.rstrip("\n") or "The folder is empty.")

    def _shown(self, text: str) -> ToolResult:
        return ToolResult(clipped(text, self._most_chars))
