"""`CodeMathEnv`: problems with an answer that can be checked, solved with a code interpreter."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agentgym.envs.code.env import CodeEnv
from agentgym.envs.code.judge import JUDGES, Judge
from agentgym.envs.code.problems import GeneratedProblems
from agentgym.envs.code.rows import RowProblems, Rows
from agentgym.envs.code.scripts import MathScripts
from agentgym.envs.code.verifier import check_installed
from agentgym.errors import DataError
from agentgym.members import member
from agentgym.task import TaskSet


class CodeMathEnv(CodeEnv):
    """Problems whose answers mental arithmetic gets wrong and code gets right.

    Args:
        split: Of the generated problems: "train" or "test".
        difficulty: Of the generated problems: 1 to 4, or "tiny", "easy", "medium", "hard".
        families: Kinds of generated problems, by name; all where None.
        problems: How many generated problems there are.
        data: Rows with a question and an answer, in the place of generated problems: a JSONL, JSON
            or Parquet file, or a sequence of mappings such as a `datasets.Dataset`.
        question_field: What the rows call their question; guessed where None.
        answer_field: What they call their answer; guessed where None.
        id_field: What tells rows apart; their numbers do where None.
        solution_field: What the rows call their worked solution, which is only read when solutions
            are converted; guessed where None.
        judge: "exact" compares numbers; "math_verify" leaves what is no number to math-verify.
            Where None, the first for generated problems, the second for rows.
        **options: See `CodeEnv`.

    Raises:
        UsageError: If an option is none of the above.
        DataError: If the rows can't be read.
        MissingDependencyError: If math-verify is to judge and isn't installed.
    """

    description = (
        "Solve the problem. You can run Python code for it as often as you need. "
        "Then give the final answer and nothing else."
    )
    answer_about = "Gives the final answer."
    boxed = True

    def __init__(
        self,
        *,
        split: str = "train",
        difficulty: str | int = "easy",
        families: Iterable[str] | None = None,
        problems: int | None = None,
        data: str | Path | Rows | None = None,
        question_field: str | None = None,
        answer_field: str | None = None,
        id_field: str | None = None,
        solution_field: str | None = None,
        judge: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks: TaskSet
        if data is None:
            self.tasks = GeneratedProblems(split, difficulty, families, problems)
        else:
            self.tasks = RowProblems(data, question_field, answer_field, id_field, solution_field)
        usual = Judge.EXACT if data is None else Judge.MATH_VERIFY
        chosen = usual if judge is None else member(Judge, judge, "judge")
        if chosen is Judge.MATH_VERIFY:
            check_installed()
        self._right = JUDGES[chosen]

    def scriptwriter(self) -> MathScripts:
        """Return what turns worked solutions into episodes of this environment."""
        return MathScripts(
            self.tasks,
            self.action_format,
            self.tools,
            max_turns=self.max_turns,
            stateful=self.stateful,
        )

    def _pose(self) -> str:
        if self.task.truth is None:
            raise DataError(
                f"Task {self.task.id!r} has no answer; take tasks from the environment's `tasks`."
            )
        return self.task.goal

    def _judge(self, answer: str) -> tuple[bool, str, Mapping[str, float]]:
        right = self._right(answer, str(self.task.truth))
        return right, "Right." if right else "Wrong.", {}

    def _expert_code(self) -> str | None:
        code = self.task.data.get("code")
        return code if isinstance(code, str) else None

    def _expert_answer(self, printed: str | None) -> str:
        return str(self.task.truth) if printed is None else printed.strip().splitlines()[-1]
