"""`CodeTestsEnv`: write a function that passes tests which nobody showed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from agentgym.envs.code.assertions import Assertion
from agentgym.envs.code.env import CodeEnv
from agentgym.envs.code.functions import GeneratedFunctions
from agentgym.envs.code.rows import Rows, field, pick_field, read_rows
from agentgym.envs.code.trial import judge
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.sandbox import sandbox_maker
from agentgym.task import Task, TaskSet

_PROMPTS = ("text", "prompt", "question", "problem")
_SETUPS = ("test_setup_code", "test_imports")


class CodeTestsEnv(CodeEnv):
    """A function to write, judged by hidden tests.

    Args:
        split: Of the generated functions: "train" or "test".
        problems: How many generated functions there are.
        data: Rows in the shape of MBPP (`text` or `prompt`, `code`, `test_list`, `task_id`), in
            their place: a JSONL, JSON or Parquet file, or a sequence of mappings.
        shown_tests: How many of the tests the model is shown, the first ones.
        **options: See `CodeEnv`; `code_seconds` is also what each test may take.

    Raises:
        UsageError: If an option is none of the above.
        DataError: If the rows can't be read.
    """

    description = (
        "Write the function in Python. You can run code to try it out as often as you need. "
        "Then submit the whole code of the function, which hidden tests will judge."
    )
    answer_about = "Submits the code that is to be tested."

    def __init__(
        self,
        *,
        split: str = "train",
        problems: int | None = None,
        data: str | Path | Rows | None = None,
        shown_tests: int = 1,
        sandbox: str = "bubblewrap",
        sandbox_options: Mapping[str, Any] | None = None,
        code_seconds: float = 5.0,
        **options: Any,
    ) -> None:
        super().__init__(
            sandbox=sandbox, sandbox_options=sandbox_options, code_seconds=code_seconds, **options
        )
        if shown_tests < 0:
            raise UsageError(f"shown_tests must be at least 0, got {shown_tests}")
        self.tasks: TaskSet = (
            GeneratedFunctions(split, problems) if data is None else TestedRows(data)
        )
        self._assertions: list[Assertion] = []
        self._shown_tests = shown_tests
        self._seconds = code_seconds
        # Never the box in which the model has run code before.
        limits = {"wall_seconds": code_seconds, "cpu_seconds": code_seconds}
        self._make_trial = sandbox_maker(
            sandbox, **{**limits, **(sandbox_options or {}), "stateful": False}
        )

    def _pose(self) -> str:
        missing = [key for key in ("code", "tests", "setup") if key not in self.task.data]
        if missing:
            raise DataError(
                f"Task {self.task.id!r} holds no {', '.join(missing)}; take tasks from the "
                "environment's `tasks`."
            )
        self._assertions = [Assertion.parse(test) for test in self.task.data["tests"]]
        shown = [test.text for test in self._assertions[: self._shown_tests]]
        return "\n".join([self.task.goal, *shown])

    def _judge(self, answer: str) -> tuple[bool, str, Mapping[str, float]]:
        verdict = judge(
            answer,
            self._assertions,
            self._make_trial,
            setup=self.task.data["setup"],
            seconds=self._seconds,
            seconds_in_all=10 * self._seconds,
        )
        passed, count = sum(verdict.passed), len(verdict.passed)
        return passed == count, f"{passed} of {count} tests pass.", {"tests_passed": verdict.share}

    def _expert_code(self) -> str | None:
        code, setup = self.task.data["code"], self.task.data["setup"]
        if not code:
            return None
        tried = ", ".join(self._assertions[0].calls)
        return "\n".join(part for part in (code, setup, f"print({tried})") if part)

    def _expert_answer(self, printed: str | None) -> str | None:
        return self.task.data["code"] or None


class TestedRows:
    """A `TaskSet` over rows in the shape of MBPP.

    Args:
        data: A file, or rows.

    Raises:
        DataError: If the file can't be read, or a field is missing.
    """

    __test__ = False  # not one of pytest's

    def __init__(self, data: str | Path | Rows) -> None:
        self._rows, self._name = read_rows(data)
        first = self._rows[0]
        self._prompt = pick_field(first, None, _PROMPTS, "prompt", self._name)
        pick_field(first, "test_list", (), "tests", self._name)
        self._index: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int, /) -> Task:
        row = self._rows[index]
        tests = field(row, "test_list", self._name, index)
        if not isinstance(tests, Sequence) or isinstance(tests, str) or not tests:
            raise DataError(f"{self._name}: test_list of row {index} is no list of tests")
        listed = [str(test) for test in cast("Sequence[object]", tests)]
        for test in listed:
            try:
                Assertion.parse(test)
            except DataError as fault:
                raise DataError(f"{self._name}, row {index}: {fault}") from fault
        setup = "\n".join(_lines(row.get(name)) for name in _SETUPS if row.get(name))
        data = {"code": str(row.get("code") or ""), "tests": listed, "setup": setup}
        goal = str(field(row, self._prompt, self._name, index))
        return Task(self._id_of(index), goal, data=data)

    def find(self, task_id: str) -> int:
        """Return the index of a task id."""
        if self._index is None:
            self._index = {self._id_of(i): i for i in range(len(self))}
        if task_id not in self._index:
            raise UnknownNameError("task", task_id, self._index)
        return self._index[task_id]

    def _id_of(self, index: int) -> str:
        return f"{self._name}/{self._rows[index].get('task_id', index)}"


def _lines(setup: object) -> str:
    return setup if isinstance(setup, str) else "\n".join(map(str, cast("list[object]", setup)))
