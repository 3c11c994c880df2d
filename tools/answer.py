"""`submit_answer`: says what the answer is."""

from agentgym.function_tools import FunctionTool
from agentgym.tool import ToolResult


class SubmitAnswer(FunctionTool):
    """The `submit_answer` tool; the answer is in the result's `data`, for whoever judges it."""

    def __init__(self) -> None:
        super().__init__(self.submit_answer)

    def submit_answer(self, answer: str) -> ToolResult:
        """Submits the final answer.

        Args:
            answer: The answer and nothing else.
        """
        return ToolResult("Submitted.", data={"answer": answer})
