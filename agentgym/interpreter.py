"""`Interpreter`: what a model gets to read of the code that it runs.

A sandbox tells what a program did; a model wants what a notebook would show: what was printed, the
value of the last expression, and the error. The `python` tool and the code environments show it by
this one rule.
"""

import ast
import warnings
from dataclasses import dataclass

from agentgym.sandbox import ExecResult, Limit, Sandbox

__all__ = ["Interpreter", "Output", "clipped"]

_LONGEST_READ = 100_000
"""Characters of source in which a last expression is looked for."""
_SHOW = "_ is None or print(repr(_))"
_FILE = "<code of a model>"

# Python's remarks on a model's code are for the model, who reads them when the code is run.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=_FILE)


@dataclass(frozen=True, slots=True)
class Output:
    """What came of some code.

    Attributes:
        text: What the model reads.
        ok: Whether it ran to its end without an error.
        result: What the sandbox told.
    """

    text: str
    ok: bool
    result: ExecResult


class Interpreter:
    """Runs Python code in a sandbox and shows what came of it.

    Args:
        box: Where it runs.
        show_last: Whether the last expression's value is shown, as in a notebook.
        traceback: Whether an error is shown with its traceback; its last line alone if not.
        most_chars: Longest text; of a longer one head and tail are kept.
    """

    def __init__(
        self,
        box: Sandbox,
        *,
        show_last: bool = True,
        traceback: bool = True,
        most_chars: int = 4096,
    ) -> None:
        self.box = box
        self._show_last, self._traceback, self._most_chars = show_last, traceback, most_chars

    def run(self, source: str, *, seconds: float | None = None) -> Output:
        """Run code.

        Args:
            source: Python.
            seconds: A time limit for it, in the place of the sandbox's.

        Raises:
            InfraError: If the sandbox failed.
        """
        return self._output(self.box.exec(self._prepared(source), wall_seconds=seconds), seconds)

    async def arun(self, source: str, *, seconds: float | None = None) -> Output:
        """Do as `run` does, while other tasks go on."""
        result = await self.box.aexec(self._prepared(source), wall_seconds=seconds)
        return self._output(result, seconds)

    def _prepared(self, source: str) -> str:
        # A model's text may hold half a surrogate pair, which no encoding has bytes for.
        source = source.encode("utf-8", "replace").decode()
        if self.box.spec.stateful or not self._show_last:
            return source
        return _showing_last(source)

    def _output(self, result: ExecResult, seconds: float | None) -> Output:
        error = result.stderr.rstrip()
        if error and not result.ok and not self._traceback:
            error = error.splitlines()[-1]
        value = result.value if self._show_last else None
        parts = (result.stdout.rstrip("\n"), value, error, self._said(result, seconds, error))
        text = "\n".join(part for part in parts if part)
        return Output(clipped(text, self._most_chars), result.ok, result)

    def _said(self, result: ExecResult, seconds: float | None, error: str) -> str:
        """Say what ended the code, where it can't have said so itself."""
        spec = self.box.spec
        wall = spec.wall_seconds if seconds is None else seconds
        said = {
            Limit.WALL: f"Stopped: it ran for longer than {wall:g} s.",
            Limit.CPU: f"Stopped: it took more than {spec.cpu_seconds:g} s of CPU time.",
            Limit.MEMORY: f"It may use {spec.memory_mb} MiB of memory.",
            Limit.PROCESSES: f"It may have {spec.processes} processes and threads.",
            Limit.DISK: f"Its files may take {spec.disk_mb} MiB.",
        }
        lost = " All names are lost." if result.state_lost else ""
        if result.limit is not None:
            return said[result.limit] + lost
        if result.exit_code < 0:
            return f"Ended by signal {-result.exit_code}.{lost}"
        if result.exit_code and not error:
            return f"Ended with exit code {result.exit_code}.{lost}"
        return lost.strip()


def clipped(text: str, most: int) -> str:
    """Return a text with its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    head, tail = most - most // 2, most // 2
    left_out = f"\n[… {len(text) - most} characters are left out here …]\n"
    return text[:head] + left_out + text[len(text) - tail :]


def _showing_last(source: str) -> str:
    """Return the source with its last expression shown.

    No line is moved, so that a traceback names the lines that the model wrote.
    """
    if len(source) > _LONGEST_READ:
        return source
    try:
        body = ast.parse(source, _FILE).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source  # running it says what is wrong
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr):
        return source
    lines = source.encode().split(b"\n")
    row, column = last.lineno - 1, last.col_offset
    if row >= len(lines):  # Python also ends lines where we don't
        return source
    lines[row] = lines[row][:column] + b"_ = " + lines[row][column:]
    return b"\n".join(lines).decode() + f"\n{_SHOW}"
