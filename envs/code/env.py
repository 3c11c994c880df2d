"""`CodeEnv`: what the code environments share. A turn runs code in a sandbox, or ends the episode.

With ReTool's tags the model writes `<code>…</code>`, reads `<interpreter>…</interpreter>`, and ends
with `<answer>…</answer>`; with tool calls the same are `python` and `submit_answer`. What code does
wrong (an error, a time-out) is what the interpreter shows, and the episode goes on; what the
sandbox does wrong is an `InfraError`. See README.md in this folder.
"""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.envs.code.formats import CodeTags, code_format
from agentgym.errors import InfraError, UsageError
from agentgym.interpreter import Interpreter, Output
from agentgym.sandbox import Sandbox, sandbox_maker
from agentgym.task import Task
from agentgym.tool import ToolCall, ToolSpec

SUCCESS, FAILURE = 1.0, -1.0
"""ReTool's rewards, at the end of the episode; every other turn earns nothing."""
NO_OUTPUT = "(no output)"
"""What is shown of code that showed nothing."""
OPEN_OUTPUT, CLOSE_OUTPUT = "<interpreter>", "</interpreter>"
"""What output stands between, in the format `tags`."""


@dataclass(slots=True)
class Usage:
    """How an episode used the interpreter.

    Attributes:
        calls: How often code was run.
        passed: How often it ran without an error.
        chars: Characters of code in all.
        mended: Whether an error was followed by code that ran.
    """

    calls: int = 0
    passed: int = 0
    chars: int = 0
    mended: bool = False

    def count(self, code: str, output: Output) -> None:
        """Count a run."""
        self.mended = self.mended or (output.ok and self.passed < self.calls)
        self.calls += 1
        self.passed += output.ok
        self.chars += len(code)

    def metrics(self) -> dict[str, float]:
        """Return the figures as metrics."""
        return {
            "code_calls": float(self.calls),
            "code_passed": float(self.passed),
            "code_chars": float(self.chars),
            "code_mended": float(self.mended),
        }


class CodeEnv(AgentEnv):
    """Base of the environments in which a model runs code before it answers.

    A subclass has `answer_about`, `_pose` and `_judge`, and says what an expert would run and
    answer (`_expert_code`, `_expert_answer`).

    Args:
        sandbox: The sandbox's name.
        sandbox_options: Fields of `SandboxSpec`, and what the backend takes besides.
        stateful: Whether names outlive the turn that made them.
        code_seconds: How long the code of a turn may run.
        show_last: Whether the last expression's value is shown.
        traceback: Whether an error is shown with its traceback; its last line alone if not.
        output_chars: Longest output that the model is shown.
        action_format: See `AgentEnv`; "tags" and "tool_call" are what this is made for.
        max_turns: See `AgentEnv`.
        expert: See `AgentEnv`; "coder" runs code and answers what it prints, "oracle" knows the
            answer.
        instructions: See `AgentEnv`.
        render_mode: None or "ansi".

    Attributes:
        stateful: Whether names outlive the turn that made them.

    Raises:
        UsageError: If an option is none of the above.
    """

    worker = WorkerKind.THREAD  # it waits for the sandbox
    experts = ("coder", "oracle")
    parallel_calls = True
    cut_short_reward = FAILURE
    answer_about: ClassVar[str] = ""
    """What the model is told about the tool that takes the answer."""
    boxed: ClassVar[bool] = False
    """Whether an answer may be given in a box."""

    def __init__(
        self,
        *,
        sandbox: str = "bubblewrap",
        sandbox_options: Mapping[str, Any] | None = None,
        stateful: bool = False,
        code_seconds: float = 5.0,
        show_last: bool = True,
        traceback: bool = True,
        output_chars: int = 2048,
        action_format: str | ActionFormat = "tags",
        max_turns: int | None = 8,
        expert: bool | str = False,
        instructions: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            action_format=code_format(action_format, boxed=self.boxed),
            max_turns=max_turns,
            expert=expert,
            instructions=instructions,
            render_mode=render_mode,
        )
        if output_chars < 1:
            raise UsageError(f"output_chars must be at least 1, got {output_chars}")
        tagged = isinstance(self.action_format, CodeTags)
        run, answer = ("code", "answer") if tagged else ("python", "submit_answer")
        self.tools = (
            ToolSpec.text(run, "Runs Python code and shows its output.", "code", "the code"),
            ToolSpec.text(answer, self.answer_about, "answer", "the answer and nothing else"),
        )
        options = {"wall_seconds": code_seconds, "cpu_seconds": code_seconds}
        options = {**options, "stateful": stateful, **(sandbox_options or {})}
        self.stateful = bool(options["stateful"])
        self._make_box = sandbox_maker(sandbox, **options)
        self._interpreter = partial(
            Interpreter, show_last=show_last, traceback=traceback, most_chars=output_chars
        )
        self._wrap = f"{OPEN_OUTPUT}{{}}{CLOSE_OUTPUT}" if tagged else "{}"
        self._box: Sandbox | None = None
        self._usage = Usage()
        self._found: str | None = None  # what the expert's own code printed

    @property
    def data_version(self) -> str:
        """A hash of the current task: equal hashes ask and judge the same."""
        task = self.task
        told = json.dumps([task.goal, task.truth, dict(task.data)], sort_keys=True, default=str)
        return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]

    @abstractmethod
    def _pose(self) -> str:
        """Return what the model is asked."""

    @abstractmethod
    def _judge(self, answer: str) -> tuple[bool, str, Mapping[str, float]]:
        """Judge the answer that ends the episode: (right, what the model reads, metrics)."""

    @abstractmethod
    def _expert_code(self) -> str | None:
        """Return code that prints the answer; None where none is known."""

    @abstractmethod
    def _expert_answer(self, printed: str | None) -> str | None:
        """Return the expert's answer; None where none is known.

        Args:
            printed: What its code printed; None where it ran none.
        """

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            name = type(self).__name__.removesuffix("Env")
            raise UsageError(f"{name}'s reset takes no option but 'task', got {sorted(options)}")
        self._release()
        self._usage = Usage()
        self._found = None
        return Frame(self._pose(), metrics=self._usage.metrics())

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        shown: list[str] = []
        for call in calls:
            if call.name == self.tools[-1].name:
                return self._end(str(call.arguments["answer"]), shown)
            shown.append(self._run(str(call.arguments["code"])))
        return Frame("\n".join(shown), metrics=self._usage.metrics())

    def _run(self, code: str) -> str:
        output = self.execute(code)
        self._usage.count(code, output)
        if output.ok and code.strip() == (self._expert_code() or "").strip():
            self._found = output.text
        return self._wrap.format(output.text or NO_OUTPUT)

    def _end(self, answer: str, shown: list[str]) -> Frame:
        right, said, metrics = self._judge(answer)
        return Frame(
            "\n".join([*shown, said]),
            reward=SUCCESS if right else FAILURE,
            ended=True,
            success=right,
            metrics={**self._usage.metrics(), **metrics},
        )

    def execute(self, code: str) -> Output:
        """Run code in the episode's box, which is made for the first code that there is.

        Raises:
            InfraError: If the sandbox failed.
        """
        try:
            if self._box is None:
                self._box = self._make_box()
            return self._interpreter(self._box).run(code)
        except InfraError:
            self._release()
            raise

    def _expert(self, name: str) -> ParsedAction | None:
        run, answer = self.tools
        code = None if name == "oracle" else self._expert_code()
        if code is not None and self._found is None:
            return ParsedAction((ToolCall(run.name, {"code": code}),))
        said = self._expert_answer(None if code is None else self._found)
        return None if said is None else ParsedAction((ToolCall(answer.name, {"answer": said}),))

    def _release(self) -> None:
        box, self._box = self._box, None
        if box is not None:
            box.close()
