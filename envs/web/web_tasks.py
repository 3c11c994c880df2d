"""`WebTask`: where a task in a browser begins, what is asked for, and who judges it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from agentgym.envs.web.judges import Judge, Judgement
from agentgym.errors import DataError, UsageError
from agentgym.task import Task, TaskList

_NEEDED = frozenset({"url", "goal", "judge"})
_SCHEMES = ("http", "https", "data")


@dataclass(frozen=True, slots=True)
class WebTask:
    """A task in a browser.

    Attributes:
        url: Where it begins: an http or https address, or a page as a data URL.
        goal: What the model is asked to do.
        judge: How well it is done: a function of a `Visit`, or conditions (`judges.py`).
        id: Tells it from the others.
    """

    url: str
    goal: str
    judge: Judge | Mapping[str, Any]
    id: str = "task"

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in _SCHEMES:
            raise UsageError(
                f"A task begins at an address such as https://example.org, got {self.url!r}"
            )
        Judgement(self.judge)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host that it begins at, with its ports; none for a data URL.

        Without a port it is the two that websites have, since one leads to the other.
        """
        host = urlsplit(self.url).netloc.rpartition("@")[2]
        if not host:
            return ()
        named = re.search(r":\d+$", host) is not None
        return (host,) if named else (f"{host}:80", f"{host}:443")


def demo_task() -> WebTask:
    """Return a task on a page that comes with the package and needs no network."""
    page = Path(__file__).with_name("demo.html").read_text(encoding="utf-8")
    return WebTask(
        url=f"data:text/html;charset=utf-8,{quote(page)}",
        goal="Order a Sencha without milk for Ada.",
        judge={"script": "() => answer.textContent === 'Sencha for Ada: ordered.'"},
        id="tea",
    )


def read_tasks(file: str | Path) -> list[WebTask]:
    """Read tasks from a file with a JSON object per line: id, url, goal, judge.

    Raises:
        DataError: If it can't be read, or a line is no task; it names the line.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"Tasks can't be read from {file}: {fault}") from fault
    tasks: list[WebTask] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            if not isinstance(row, dict) or not _NEEDED <= row.keys() <= {"id", *_NEEDED}:
                raise UsageError(f"a task has {', '.join(sorted(_NEEDED))}, and may have an id")
            row.setdefault("id", str(number))
            if not all(isinstance(row[key], str) for key in ("id", "url", "goal")):
                raise UsageError("id, url and goal are strings")
            tasks.append(WebTask(**row))
        except (ValueError, UsageError) as fault:
            raise DataError(f"{file}, line {number}: {fault}") from fault
    if not tasks:
        raise DataError(f"There is no task in {file}")
    return tasks


def task_list(tasks: Sequence[WebTask]) -> TaskList:
    """Return them as environments hold tasks."""
    return TaskList([Task(id=task.id, goal=task.goal, data={"task": task}) for task in tasks])
