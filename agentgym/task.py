"""A task and a set of tasks: what an episode is about, told apart by id.

A `TaskSet` may be a list, an index over files, or a rule that makes task number i when it is asked
for; the same index must give the same task for ever, since ids are what replay buffers, task
filters and results are keyed by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentgym.errors import UnknownNameError, UsageError


@dataclass(frozen=True, slots=True)
class Task:
    """What one episode is about.

    Attributes:
        id: Unique within the task set, stable over versions of the data.
        goal: What the model is asked to do.
        truth: The known answer, where there is one.
        data: Whatever the environment needs to set the task up.
    """

    id: str
    goal: str
    truth: Any = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


class TaskSet(Protocol):
    """Tasks by index and by id."""

    def __len__(self) -> int:
        """How many tasks there are."""
        ...

    def __getitem__(self, index: int, /) -> Task:
        """The task at an index from 0 to len - 1."""
        ...

    def find(self, task_id: str) -> int:
        """Return the index of a task id.

        Raises:
            UnknownNameError: If there is no such task.
        """
        ...


class TaskList:
    """A `TaskSet` over tasks at hand.

    Args:
        tasks: At least one task; ids must differ.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            raise UsageError("A task list needs at least one task.")
        self._tasks = tuple(tasks)
        self._index = {task.id: i for i, task in enumerate(self._tasks)}
        if len(self._index) != len(self._tasks):
            raise UsageError("The ids of a task list must differ.")

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int, /) -> Task:
        return self._tasks[index]

    def find(self, task_id: str) -> int:
        """Return the index of a task id."""
        if task_id not in self._index:
            raise UnknownNameError("task", task_id, self._index)
        return self._index[task_id]
