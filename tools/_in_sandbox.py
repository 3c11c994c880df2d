"""`InSandbox`: a tool whose function works in a sandbox."""

from collections.abc import Callable
from typing import Any

from agentgym.errors import UsageError
from agentgym.function_tools import FunctionTool
from agentgym.sandbox import Sandbox, make_sandbox


class InSandbox(FunctionTool):
    """A tool that works in a sandbox, its own or one that it shares.

    Args:
        function: What answers the calls.
        sandbox: A backend's name, for a box of the tool's own; or a box, which stays its maker's to
            close.
        options: For the box of its own; see `make_sandbox`.

    Raises:
        UsageError: If there are options for a box that exists.
        InfraError: If the machine can't run the sandbox.
    """

    def __init__(
        self, function: Callable[..., Any], sandbox: str | Sandbox, options: dict[str, Any]
    ) -> None:
        super().__init__(function)
        if isinstance(sandbox, Sandbox) and options:
            raise UsageError(f"A box that exists takes no options, got {sorted(options)}")
        self._owned = isinstance(sandbox, str)
        self.box = make_sandbox(sandbox, **options) if isinstance(sandbox, str) else sandbox
        # Tools that share a box see each other's files, so the order of their calls matters.
        self.exclusive = self.box

    async def close(self) -> None:
        """Close the box, if it is the tool's own."""
        if self._owned:
            self.box.close()
