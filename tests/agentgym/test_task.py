"""Tasks by index and by id."""

import pytest

from agentgym.errors import UnknownNameError, UsageError
from agentgym.task import Task, TaskList


def test_a_task_is_found_by_its_id() -> None:
    tasks = TaskList([Task("a", "A."), Task("b", "B.")])
    assert len(tasks) == 2
    assert [tasks[tasks.find(name)].goal for name in ("a", "b")] == ["A.", "B."]
    with pytest.raises(UnknownNameError):
        tasks.find("c")


def test_a_list_needs_tasks_with_ids_of_their_own() -> None:
    with pytest.raises(UsageError, match="at least one"):
        TaskList([])
    with pytest.raises(UsageError, match="differ"):
        TaskList([Task("a", "A."), Task("a", "B.")])
