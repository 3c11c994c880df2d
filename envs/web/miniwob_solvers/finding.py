"""Pages on which what is to be clicked has to be found first: pages of results, trees, menus."""

import re

from agentgym.envs.web.miniwob_solvers.moves import classes, click, fill, press, quoted
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def result(goal: str, sight: Sight) -> ToolCall | None:
    """Search, and click the result of a number, of which there are some on every page."""
    which, wanted = re.search(r"the (\d+)\w\w search result", goal), quoted(goal)
    field = sight.first("textbox")
    if which is None or not wanted or field is None:
        return None
    if field.value_of("value") != wanted[0]:
        return fill(field, wanted[0])
    pages = sight.first("list")
    if pages is None:
        return click(sight.first("button"))
    turners = [node for node in sight.below(pages) if node.role == "link"]
    results = [node for node in sight.all("link") if node not in turners]
    page, place = divmod(int(which[1]) - 1, len(results))
    if page + 1 == _page(turners):
        return click(results[place])
    return click(next((node for node in turners if node.name == str(page + 1)), None))


def _page(turners: list[Node]) -> int:
    """Return which of three pages is shown: the first has none before it, the last none after."""
    names = [node.name for node in turners]
    if "<" not in names:
        return 1
    return 2 if ">" in names else len([name for name in names if name.isdigit()])


def contact(goal: str, sight: Sight) -> ToolCall | None:
    """Turn pages to somebody, and click what is asked for."""
    match = re.match(r"Find (.+) in the contact book and click on their (\w+)", goal)
    if match is None:
        return None
    if sight.first("heading", match[1]) is None:
        return click(sight.first("link", ">"))
    label = sight.first("text", f"{match[2].capitalize()}:")
    return click(sight.after(label)[0] if label else None)


def in_tree(goal: str, sight: Sight) -> ToolCall | None:
    """Open one folder after the other until the name is there, and click it."""
    wanted = quoted(goal)
    found = sight.first("text", wanted[0]) if wanted else None
    closed = (node for node in sight.all("clickable") if "expandable-hitarea" in classes(node))
    return click(found or next(closed, None))


def in_menu(goal: str, sight: Sight) -> ToolCall | None:
    """Open one menu after the other, with the keys since the pointer would have to wait."""
    path = goal.removeprefix("Select ").split(">")
    menu = sight.first("menu")
    found = [node for name in path if (node := sight.first("menuitem", name))]
    if menu is None or not found:
        return None
    if len(found) == len(path):
        return click(found[-1])
    if "active" in found[-1].told:
        return press(menu, "ArrowRight")
    return ToolCall("hover", {"element": found[-1].number})
