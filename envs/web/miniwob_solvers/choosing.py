"""Pages with boxes, buttons and lists of which some are to be chosen."""

import re

from agentgym.envs.web.miniwob_solvers.moves import click, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def checkboxes(goal: str, sight: Sight) -> ToolCall | None:
    """Check what is listed, and nothing else."""
    listed = re.sub(r"^Select | and click Submit\.?$", "", goal)
    wanted = [] if listed == "nothing" else listed.split(", ")
    for box in sight.all("checkbox"):
        if (box.name in wanted) != ("checked" in box.told):
            return click(box)
    return submit(sight)


def radio(goal: str, sight: Sight) -> ToolCall | None:
    """Choose an option."""
    wanted = re.sub(r"^Select | and click Submit\.?$", "", goal)
    option = sight.first("radio", wanted)
    return click(option) if option and "checked" not in option.told else submit(sight)


def select(goal: str, sight: Sight) -> ToolCall | None:
    """Select from a list."""
    match = re.match(r"Select (.+) from the list and click Submit", goal)
    box = sight.first("combobox")
    if match is None or box is None:
        return None
    if box.value_of("value") == match[1]:
        return submit(sight)
    return ToolCall("select_option", {"element": box.number, "options": match[1]})


def scroll_list(goal: str, sight: Sight) -> ToolCall | None:
    """Select several from a list."""
    match = re.match(r"Select (.+) from the scroll list and click Submit", goal)
    box = sight.first("listbox")
    if match is None or box is None:
        return None
    wanted = match[1].split(", ")
    chosen = [n.name for n in sight.below(box) if "selected" in n.told]
    if sorted(chosen) == sorted(wanted):
        return submit(sight)
    return ToolCall("select_option", {"element": box.number, "options": wanted})


def dropdown(goal: str, sight: Sight) -> ToolCall | None:
    """Choose from a list that opens at a click, and click the button of a name."""
    match = re.match(r'Choose (.+) from the dropdown, then click the button labeled "(.+)"', goal)
    box = sight.first("combobox")
    if match is None or box is None:
        return None
    if box.value_of("value") == match[1]:
        return click(sight.first("button", match[2]))
    return click(sight.first("listitem", match[1]) or sight.first("clickable"))


def ordered(goal: str, sight: Sight) -> ToolCall | None:
    """Order what is named, or so many of what an icon marks."""
    dishes = _dishes(sight)
    named = goal.removeprefix("Order one of each item: ").split(", ")
    for name in named:
        dish = dishes.get(name.strip())
        if dish is not None and _ordered(dish) == 0:
            return click(dish[-1])
    match = re.match(r"Order (\d+) items that are (\S+)", goal)
    if match:
        fit = [dish for dish in dishes.values() if any(n.name == match[2] for n in dish)]
        if sum(map(_ordered, fit)) < int(match[1]):
            return click(fit[0][-1])
    return click(sight.first("button"))


def _dishes(sight: Sight) -> dict[str, list[Node]]:
    """Return the lines of each dish by its name: icons, "-", how many if any, and "+"."""
    found: dict[str, list[Node]] = {}
    dish: list[Node] | None = None
    for node in sight:
        if dish is None and node.role == "text":
            dish = found.setdefault(node.name, [])
        elif dish is not None:
            dish.append(node)
            if node.name == "+":
                dish = None
    return found


def _ordered(dish: list[Node]) -> int:
    return next((int(node.name) for node in dish if node.name.isdigit()), 0)
