"""The task sampler: passes, and picking up where it stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import UsageError
from agentgym.trainers.sampler import TaskSampler


@given(st.integers(1, 12), st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 99))
def test_a_pass_has_every_task_once(tasks: int, draws: list[int], seed: int) -> None:
    sampler = TaskSampler(range(tasks), seed)
    drawn = [task for count in draws for task in sampler.draw(count)]
    for start in range(0, len(drawn) - tasks + 1, tasks):
        assert sorted(drawn[start : start + tasks]) == list(range(tasks))


@given(st.integers(1, 12), st.integers(0, 40), st.integers(1, 40))
def test_a_restored_sampler_goes_on(tasks: int, before: int, after: int) -> None:
    unbroken = TaskSampler(range(tasks), 7)
    unbroken.draw(before)
    resumed = TaskSampler(range(tasks), 7)
    resumed.restore(unbroken.state)
    assert resumed.draw(after) == unbroken.draw(after)


def test_orders_differ_between_seeds_and_passes() -> None:
    first = TaskSampler(range(20), 0)
    orders = {
        tuple(first.draw(20)),
        tuple(first.draw(20)),
        tuple(TaskSampler(range(20), 1).draw(20)),
    }
    assert len(orders) == 3


def test_no_tasks_is_an_error() -> None:
    with pytest.raises(UsageError, match="no tasks"):
        TaskSampler([], 0)
