"""`python`: runs code in a sandbox and shows what a notebook would."""

from typing import Any

from agentgym.interpreter import Interpreter
from agentgym.sandbox import Sandbox
from agentgym.tool import ToolResult
from agentgym.tools._in_sandbox import InSandbox


class Python(InSandbox):
    """The `python` tool.

    Args:
        sandbox: A backend's name, or a box that it shares with other tools.
        show_last: Whether the last expression's value is shown.
        traceback: Whether an error is shown with its traceback; its last line alone if not.
        most_chars: Longest answer.
        **options: Of the sandbox; `stateful=True` keeps names from call to call.
    """

    def __init__(
        self,
        sandbox: str | Sandbox = "bubblewrap",
        *,
        show_last: bool = True,
        traceback: bool = True,
        most_chars: int = 4096,
        **options: Any,
    ) -> None:
        super().__init__(self.python, sandbox, options)
        self._interpreter = Interpreter(
            self.box, show_last=show_last, traceback=traceback, most_chars=most_chars
        )

    async def python(self, code: str, *, timeout: float) -> ToolResult:
        """Runs Python code and shows what it prints and the value of its last expression.

        Args:
            code: The code.
            timeout: Seconds that it may take.
        """
        output = await self._interpreter.arun(code, seconds=timeout)
        error = None if output.ok else (output.text or "It failed.")
        return ToolResult(output.text, error, {"exit_code": output.result.exit_code})
