"""`MathScripts`: worked solutions of CodeMath's problems as scripts, for a cold start as ReTool's.

A solution says what it is about to compute, code computes it, and the text goes on with what came
out. By rule that is made of solutions whose calculations are marked, a program for each step, and
of the generated problems, whose code is known; a model can make it of any solution in text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.envs.code.env import CLOSE_OUTPUT, NO_OUTPUT, OPEN_OUTPUT
from agentgym.envs.code.judge import same_figure
from agentgym.envs.code.plans import AFTER, plan
from agentgym.envs.code.problems import GeneratedProblems
from agentgym.envs.code.rewriting import asking, read_rewritten
from agentgym.envs.code.rows import RowProblems
from agentgym.envs.code.spans import Program, read_worked
from agentgym.errors import UsageError
from agentgym.message import Message
from agentgym.scripts import Script, UnscriptedError
from agentgym.task import Task, TaskSet
from agentgym.tool import ToolCall, ToolSpec
from agentgym.trajectory import Trajectory

NO_SOLUTION = "no solution"
_MANY = 1000
"""Turns of an environment that has no limit."""


@dataclass(frozen=True, slots=True)
class CodeScript(Script):
    """A script that runs code.

    Attributes:
        stated: Per action that runs code, the numbers that it is to print, one a line; empty where
            nothing is known.
    """

    stated: tuple[tuple[str, ...], ...] = ()

    def flaw(self, trajectory: Trajectory) -> UnscriptedError | None:
        """Return what the interpreter said that the solution doesn't know of."""
        metrics = trajectory.metrics
        if metrics["code_passed"] < metrics["code_calls"]:
            return UnscriptedError("code failed", _first_error(trajectory))
        shown = [_inside(turn.observation) for turn in trajectory.turns[1:]]
        for printed, stated in zip(shown, self.stated, strict=False):
            if printed == NO_OUTPUT:
                return UnscriptedError("code printed nothing", "")
            lines = printed.split("\n")
            if stated and (len(lines) != len(stated) or not all(map(same_figure, lines, stated))):
                told = f"the text has {', '.join(stated)}, the interpreter {', '.join(lines)}"
                return UnscriptedError("another result", told[:200])
        return None


class MathScripts:
    """The scriptwriter of CodeMath.

    Args:
        tasks: The problems.
        action_format: How actions are written.
        tools: What runs code, and what takes the answer.
        max_turns: Most turns of an episode: solutions with more steps have neighbours joined.
        stateful: Whether names outlive the turn that made them.
    """

    def __init__(
        self,
        tasks: TaskSet,
        action_format: ActionFormat,
        tools: Sequence[ToolSpec],
        *,
        max_turns: int | None,
        stateful: bool,
    ) -> None:
        self._tasks, self._format, self._tools = tasks, action_format, tuple(tools)
        self._blocks = (_MANY if max_turns is None else max_turns) - 1
        self._stateful = stateful

    def by_rule(self, task: Task) -> CodeScript:
        """Return the script of a problem whose calculations are marked, or whose code is known.

        Raises:
            UnscriptedError: If it is neither, or has a calculation that can't be read.
        """
        self._check_room()
        tasks = self._tasks
        if isinstance(tasks, GeneratedProblems):
            before = plan(tasks.family(tasks.find(task.id)), tasks.level)
            answer = str(task.truth)
            return self._script((before, AFTER), [Program(task.data["code"], (answer,))], answer)
        worked = read_worked(self._solution(task)).at_most(self._blocks)
        programs = worked.programs(task.goal, stateful=self._stateful)
        return self._script(worked.texts, programs, worked.answer)

    def asking(self, task: Task) -> list[Message]:
        """Return the chat in which a model is asked to rewrite a problem's solution.

        Raises:
            UnscriptedError: If the problem has an answer and no solution.
        """
        self._check_room()
        solution = self._solution(task)
        if solution.strip() == str(task.truth).strip():
            raise UnscriptedError(NO_SOLUTION, "there is an answer alone")
        return asking(task.goal, solution, blocks=self._blocks, stateful=self._stateful)

    def by_model(self, task: Task, answer: str) -> CodeScript:
        """Return the script that a model wrote.

        Raises:
            UnscriptedError: If it has not the form that was asked for.
        """
        del task  # the environment judges the answer
        rewritten = read_rewritten(answer)
        blocks, most = len(rewritten.blocks), self._blocks
        if blocks > most:
            raise UnscriptedError("too many blocks", f"{blocks} of them, with room for {most}")
        programs = [Program(code) for code in rewritten.blocks]
        return self._script(rewritten.texts, programs, rewritten.answer)

    def _check_room(self) -> None:
        if self._blocks < 1:
            raise UsageError("Code and an answer take two turns; max_turns must be 2 or more")

    def _solution(self, task: Task) -> str:
        tasks = self._tasks
        if not isinstance(tasks, RowProblems):
            raise UnscriptedError(NO_SOLUTION, "only rows have solutions in text; see `data`")
        solution = tasks.solution(tasks.find(task.id))
        if solution is None:
            raise UnscriptedError(NO_SOLUTION, "the row's field is empty")
        return solution

    def _script(self, texts: Sequence[str], programs: Sequence[Program], answer: str) -> CodeScript:
        run, end = self._tools[0], self._tools[-1]
        said = (*(program.code for program in programs), answer)
        actions = tuple(
            self._action(text, ToolCall(tool.name, {tool.text_argument or "": what}))
            for text, tool, what in zip(texts, (*[run] * len(programs), end), said, strict=True)
        )
        return CodeScript(actions, tuple(program.stated for program in programs))

    def _action(self, text: str, call: ToolCall) -> str:
        """Write an action behind the text that leads to it.

        Where the format would put it between think tags it stands as it is: templates drop what is
        between them from earlier turns, and a solution goes on from what it said.
        """
        text = text.strip()
        led = self._format.render(ParsedAction((call,), text), self._tools)
        if led.startswith("<think>"):
            led = f"{text}\n{self._format.render(ParsedAction((call,)), self._tools)}"
        parsed = self._format.parse(led, self._tools)
        if parsed.error is not None or parsed.calls != (call,):
            told = parsed.error or f"{self._format.name} reads it as something else"
            raise UnscriptedError("wrong format", f"{told}: {led[:120]!r}")
        return led


def _inside(output: str) -> str:
    return output.removeprefix(OPEN_OUTPUT).removesuffix(CLOSE_OUTPUT)


def _first_error(trajectory: Trajectory) -> str:
    """Return the last line of the first output that ends with one in the form of an error."""
    for turn in trajectory.turns[1:]:
        last = _inside(turn.observation).rstrip().rpartition("\n")[2]
        if "Error" in last or "Stopped" in last:
            return last[:200]
    return ""
