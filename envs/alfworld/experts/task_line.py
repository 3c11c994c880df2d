"""Read a task line back into the goal that it states.

ALFWorld words its tasks by templates, two for each type, and the generator keeps the same ones
(`Goal.phrases`). Filling them with blanks gives the patterns that are matched here, so a type that
is added there is understood here.
"""

import re

from agentgym.envs.alfworld.generator import Goal, TaskType
from agentgym.errors import DataError

_LINE = re.compile(r"Your task is to: (.+?)\.?\s*$", re.MULTILINE)


def _patterns() -> list[tuple[re.Pattern[str], TaskType]]:
    found: list[tuple[re.Pattern[str], TaskType]] = []
    for task_type in TaskType:
        for phrase in Goal(task_type, "OBJECT", "PLACE").phrases:
            pattern = re.sub(r"\b(object|place)\b", r"(?P<\1>\\S+)", phrase)
            found.append((re.compile(pattern), task_type))
    return found


_PATTERNS = _patterns()


def read_goal(text: str) -> Goal:
    """Return the goal that a game's first text states, its kinds in lower case.

    Raises:
        DataError: No task is stated, or not in ALFWorld's words.
    """
    line = _LINE.search(text)
    if line is None:
        raise DataError(
            "the text states no task ('Your task is to: …'); pass the game's first text"
        )
    for pattern, task_type in _PATTERNS:
        match = pattern.fullmatch(line[1].lower())
        if match:
            return Goal(task_type, match["object"], match["place"])
    raise DataError(
        f"the explorer can't read the task {line[1]!r}: it knows the wording of ALFWorld's task "
        "templates; use the oracle, which needs no words"
    )
