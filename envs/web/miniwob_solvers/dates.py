"""Pages with a calendar that opens below its field."""

import datetime
import re

from agentgym.envs.web.miniwob_solvers.clicking import cheapest
from agentgym.envs.web.miniwob_solvers.moves import click, fill, offers, press, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def chosen(goal: str, sight: Sight) -> ToolCall | None:
    """Choose a date, and submit."""
    field, wanted = sight.first("textbox"), _date(goal)
    if field is None or wanted is None:
        return None
    return submit(sight) if _shows(field, wanted) else _picked(sight, field, wanted)


def _date(text: str) -> datetime.date | None:
    match = re.search(r"\d\d/\d\d/\d{4}", text)
    return datetime.datetime.strptime(match[0], "%m/%d/%Y").date() if match else None


def _shows(field: Node, wanted: datetime.date) -> bool:
    return _date(field.value_of("value") or "") == wanted


def _picked(sight: Sight, field: Node, wanted: datetime.date) -> ToolCall | None:
    """Open the calendar, turn to the month, and click the day."""
    texts = [node.name for node in sight.all("text")]
    at = next((i for i, name in enumerate(texts) if re.fullmatch(r"20\d\d", name)), None)
    if not at:
        return click(field)
    shown = datetime.datetime.strptime(f"{texts[at - 1]} {texts[at]}", "%B %Y").date()
    if (shown.year, shown.month) == (wanted.year, wanted.month):
        return click(sight.first("link", str(wanted.day)))
    return click(sight.first("clickable", "Prev" if shown > wanted else "Next"))


def flight(goal: str, sight: Sight) -> ToolCall | None:
    """Say where from, where to and when, search, and book what is cheapest or shortest."""
    match = re.search(r"from: (.+) to: (.+) on \d", goal)
    wanted, fields = _date(goal), sight.all("textbox")
    if match is None or wanted is None:
        return None
    if len(fields) < 3:
        return cheapest(goal, sight)
    for field, place in zip(fields, match.groups(), strict=False):
        if not re.search(rf"^{place} \(|\({place}\)$", field.value_of("value") or ""):
            return _placed(sight, field, place)
    return submit(sight) if _shows(fields[2], wanted) else _picked(sight, fields[2], wanted)


def _placed(sight: Sight, field: Node, place: str) -> ToolCall | None:
    """Enter a place, and choose the one of those that are offered."""
    if offered := offers(sight):
        named = rf"^{place} \(|\({place}\)$"
        fitting = next((node for node in offered if re.search(named, node.name)), None)
        # They may be for what the field held before.
        return click(fitting) or press(field, "Escape")
    # Suggestions come after a while, and at once where a key asks for them.
    entered = field.value_of("value") == place
    return press(field, "ArrowDown") if entered else fill(field, place)
