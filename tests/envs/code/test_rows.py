"""Rows as problems: published shapes, fields by name, faults told."""

from pathlib import Path
from typing import Any

import pytest
from shared_rows import AIME_ROWS, GSM8K_ROWS, row_files

from agentgym.envs.code.judge import number
from agentgym.envs.code.rows import RowProblems, final_answer
from agentgym.errors import DataError, UnknownNameError


def test_published_files_are_read_as_they_are(tmp_path: Path) -> None:
    for name, path in row_files(tmp_path).items():
        tasks = RowProblems(path)
        for index in range(len(tasks)):
            task = tasks[index]
            assert task.goal
            assert "####" not in task.truth
            if name == "gsm8k_test":
                assert number(task.truth) is not None, task.truth
        assert tasks[1].id == f"{name}/1"
        assert tasks.find(f"{name}/1") == 1


def test_rows_may_be_anything_by_index() -> None:
    assert RowProblems(GSM8K_ROWS)[0].truth == "756"
    assert RowProblems(AIME_ROWS)[1].truth == "\\frac{17}{4}"
    renamed = [{"q": "?", "a": "so \\boxed{5}", "id": "five"}]
    tasks = RowProblems(renamed, "q", "a", "id")
    assert (tasks[0].id, tasks[0].truth, tasks.find("five")) == ("five", "5", 0)
    with pytest.raises(UnknownNameError):
        tasks.find("six")


@pytest.mark.integration
def test_parquet_and_data_sets_are_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(GSM8K_ROWS)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert RowProblems(rows)[1] == RowProblems(GSM8K_ROWS)[1]
    assert RowProblems(tmp_path / "rows.parquet")[1].truth == "202.50"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("none.jsonl", None, "can't be read"),
        ("a.jsonl", "", "no rows"),
        ("a.jsonl", '{"question": 1, "answer": 2}\n{', "line 2: not valid JSON"),
        ("a.jsonl", "[1]", "row 0 is no object but list"),
        ("a.json", "{}", "must hold a list"),
        ("a.jsonl", '{"quest": "?", "answer": 1}', "did you mean 'quest'"),
        ("a.jsonl", '{"question": "?", "x": 1}', "its fields are question, x"),
        ("a.parquet", "PAR", "no Parquet file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    name: str, text: str | None, says: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says):
        RowProblems(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"question": "questoin"}, "question"),
        ({"answer": "label"}, "'label'"),
        ({"solution": "anwser"}, "answer"),
    ],
)
def test_a_field_that_is_not_there_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        RowProblems(GSM8K_ROWS, **options)


def test_a_row_that_lacks_a_field_and_ids_that_repeat_are_named() -> None:
    rows = [{"question": "?", "answer": "1", "id": "a"}, {"question": "?", "id": "a"}]
    with pytest.raises(DataError, match="row 1 has no field 'answer'"):
        RowProblems(rows)[1]
    with pytest.raises(DataError, match="must differ"):
        RowProblems(rows, task_id="id").find("a")


def test_a_solution_is_in_its_own_field_or_in_the_answers() -> None:
    assert RowProblems(GSM8K_ROWS).solution(0) == GSM8K_ROWS[0]["answer"]
    rows = [{"question": "?", "answer": "1", "solution": text} for text in ("0+1", " ", None)]
    rows.append({"question": "?", "answer": "1"})
    problems = RowProblems(rows)
    assert [problems.solution(index) for index in range(4)] == ["0+1", None, None, None]
    assert RowProblems(rows, solution="answer").solution(1) == "1"


def test_the_final_answer_ends_a_solution() -> None:
    assert final_answer("a\n#### 1,200") == "1,200"
    assert final_answer("so \\boxed{x}") == "x"
    assert final_answer(" 12 ") == "12"
