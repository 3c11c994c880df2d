"""`RowProblems`: rows with a question and an answer as tasks, from a file or a data set.

Rows are mappings: lines of a JSONL file, a JSON list, a Parquet file, or anything with a length
that gives them by index, as a `datasets.Dataset` does.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from agentgym.envs.code.formats import boxed
from agentgym.errors import DataError, MissingDependencyError, UnknownNameError, nearest
from agentgym.task import Task

_QUESTIONS = ("question", "problem", "prompt", "input", "text")
_SOLUTIONS = ("solution", "rationale", "explanation")
_ANSWERS = ("answer", "final_answer", "expected_answer", "output", "solution")


class Rows(Protocol):
    """Rows by index."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        """The row at an index from 0."""
        ...


class RowProblems:
    """A `TaskSet` over rows.

    Args:
        data: A file, or rows.
        question: The field that holds the question; the first of the usual names if None.
        answer: The field that holds the answer; the first of the usual names if None.
        task_id: The field that tells rows apart; their numbers do if None.
        solution: The field that holds the worked solution; the first of the usual names if None,
            or else the answer's.

    Raises:
        DataError: If the file can't be read, or a field is missing.
    """

    def __init__(
        self,
        data: str | Path | Rows,
        question: str | None = None,
        answer: str | None = None,
        task_id: str | None = None,
        solution: str | None = None,
    ) -> None:
        self._rows, self._name = read_rows(data)
        self._id = task_id
        first = self._rows[0]
        self._question = pick_field(first, question, _QUESTIONS, "question", self._name)
        self._answer = pick_field(first, answer, _ANSWERS, "answer", self._name)
        usual = (*_SOLUTIONS, self._answer)
        self._solution = pick_field(first, solution, usual, "solution", self._name)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int, /) -> Task:
        row = self._rows[index]
        question = field(row, self._question, self._name, index)
        answer = field(row, self._answer, self._name, index)
        return Task(self._id_of(index), str(question), final_answer(str(answer)))

    def solution(self, index: int) -> str | None:
        """Return a row's worked solution, or its answer alone; None where there is neither."""
        found = self._rows[index].get(self._solution)
        return None if found is None or not str(found).strip() else str(found)

    def find(self, task_id: str) -> int:
        """Return the index of a task id."""
        if task_id not in self._index:
            raise UnknownNameError("task", task_id, list(self._index)[:20])
        return self._index[task_id]

    @cached_property
    def _index(self) -> dict[str, int]:
        index = {self._id_of(i): i for i in range(len(self))}
        if len(index) != len(self):
            raise DataError(f"{self._name}: the values of {self._id!r} must differ")
        return index

    def _id_of(self, index: int) -> str:
        if self._id is None:
            return f"{self._name}/{index}"
        return str(field(self._rows[index], self._id, self._name, index))


def final_answer(text: str) -> str:
    """Return the answer that ends a worked solution: after GSM8K's ####, or in the last box."""
    _, marked, last = text.rpartition("####")
    if marked:
        return last.strip()
    inside = boxed(text)
    return text.strip() if inside is None else inside.strip()


def read_rows(data: str | Path | Rows) -> tuple[Rows, str]:
    """Return rows and what to call them.

    Raises:
        DataError: If there are none, or the file can't be read.
    """
    if isinstance(data, str | Path):
        rows, name = _from_file(Path(data)), Path(data).stem
    else:
        rows, name = data, "rows"
    if not len(rows):
        raise DataError(f"{name}: there are no rows")
    return rows, name


def pick_field(
    row: Mapping[str, Any], asked: str | None, usual: Sequence[str], what: str, name: str
) -> str:
    """Return the field that holds something: the one asked for, or the first of the usual names.

    Raises:
        DataError: If the row has none of them.
    """
    if asked is None:
        asked = next((one for one in usual if one in row), None)
    if asked is None or asked not in row:
        near = nearest(asked or what, row)
        hint = f"did you mean {near!r}?" if near else f"its fields are {', '.join(row)}"
        raise DataError(f"{name}: no field {asked or what!r} holds the {what}; {hint}")
    return asked


def field(row: Mapping[str, Any], name: str, rows: str, index: int) -> Any:
    """Return a row's field.

    Raises:
        DataError: If it has none of that name.
    """
    if name not in row:
        raise DataError(f"{rows}: row {index} has no field {name!r}")
    return row[name]


def _from_file(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.suffix == ".parquet":
            return _from_parquet(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{path} can't be read: {fault}") from fault
    if path.suffix == ".json":
        rows = _parsed(text, str(path))
        if not isinstance(rows, list):
            raise DataError(f"{path} must hold a list of objects")
    else:
        lines = enumerate(text.split("\n"), 1)
        rows = [_parsed(line, f"{path}, line {n}") for n, line in lines if line.strip()]
    listed = cast("list[object]", rows)
    for number, row in enumerate(listed):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is no object but {type(row).__name__}")
    return cast("list[Mapping[str, Any]]", listed)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{where}: not valid JSON: {fault}") from fault


def _from_parquet(path: Path) -> list[Mapping[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as fault:
        raise MissingDependencyError("pyarrow", "data") from fault
    try:
        return cast("list[Mapping[str, Any]]", parquet.read_table(path).to_pylist())
    except ArrowException as fault:
        raise DataError(f"{path} is no Parquet file: {fault}") from fault
