"""Rules about how a task is picked."""

from typing import Any

from agentgym.conformance.subject import BrokenRuleError, Subject, begin, demand
from agentgym.env import AgentEnv
from agentgym.errors import UsageError


def picked(subject: Subject) -> str:
    """A task is picked by index, by id and by itself, always the same; no other task is."""
    with subject.opened() as env:
        tasks, count = env.tasks, len(env.tasks)
        demand(count > 0, "There are no tasks.")
        for index in sorted({0, 1, count // 2, count - 1} & set(range(count))):
            task = tasks[index]
            demand(task.id == tasks[index].id, f"tasks[{index}] has another id each time.")
            demand(
                tasks.find(task.id) == index,
                f"tasks.find({task.id!r}) is {tasks.find(task.id)}; the task is at {index}.",
            )
            texts: set[str] = set()
            for choice in (index, task.id, task):
                texts.add(begin(env, 0, task=choice).observation["text"])
                demand(
                    env.task.id == task.id,
                    f"reset(options={{'task': {choice!r:.80}}}) began the task {env.task.id!r}.",
                )
            demand(
                len(texts) == 1,
                f"The task {task.id!r} begins otherwise by index than by id with the same seed.",
            )
        begin(env, 3)
        drawn = env.task.id
        begin(env, 3)
        demand(env.task.id == drawn, "The same seed draws another task.")
        for choice in (count, -1, "there is no task of this id", 0.5, ["x"]):
            _refused(env, choice)
    return f"{count} tasks, picked by index, id and seed"


def _refused(env: AgentEnv, choice: Any) -> None:
    try:
        env.reset(seed=0, options={"task": choice})
    except UsageError:
        return
    except Exception as fault:
        raise BrokenRuleError(
            f"reset(options={{'task': {choice!r}}}) raised {type(fault).__name__}; where there is "
            "no such task it raises UsageError."
        ) from fault
    raise BrokenRuleError(
        f"reset(options={{'task': {choice!r}}}) began a task although there is none."
    )
