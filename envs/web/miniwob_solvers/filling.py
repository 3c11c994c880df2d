"""Pages with fields to be filled, and a button to be pressed then."""

import re

from agentgym.envs.web.miniwob_solvers.moves import click, fill, quoted, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def entered(sight: Sight, field: Node | None, text: str) -> ToolCall | None:
    """Enter a text, and submit once it is there."""
    if field is None:
        return None
    return submit(sight) if field.value_of("value") == text else fill(field, text)


def areas(sight: Sight) -> tuple[list[Node], Node | None]:
    """Return the fields of many lines, and the first of one line."""
    fields = sight.all("textbox")
    large = [field for field in fields if "multiline" in field.told]
    return large, next((field for field in fields if field not in large), None)


def text(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the quoted words into the one field."""
    wanted, field = quoted(goal), sight.first("textbox")
    if not wanted or field is None:
        return None
    text = wanted[0]
    if "upper case" in goal:
        text = text.upper()
    elif "lower case" in goal:
        text = text.lower()
    return entered(sight, field, text)


def password(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the password into every field."""
    wanted = quoted(goal)
    for field in sight.all("textbox"):
        if wanted and field.value_of("value") != wanted[0]:
            return fill(field, wanted[0])
    return submit(sight)


def login(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the user's name and the password, in this order."""
    wanted = quoted(goal)
    for field, text in zip(sight.all("textbox"), wanted, strict=False):
        if field.value_of("value") != text:
            return fill(field, text)
    return submit(sight)


def date(goal: str, sight: Sight) -> ToolCall | None:
    """Enter a date."""
    match, field = re.search(r"(\d\d)/(\d\d)/(\d{4})", goal), sight.first("date")
    if match is None or field is None:
        return None
    wanted = f"{match[3]}-{match[1]}-{match[2]}"
    return entered(sight, field, wanted)


def time(goal: str, sight: Sight) -> ToolCall | None:
    """Enter a time."""
    match, field = re.search(r"(\d{1,2}):(\d\d) ([AP]M)", goal), sight.first("time")
    if match is None or field is None:
        return None
    hour = int(match[1]) % 12 + (12 if match[3] == "PM" else 0)
    wanted = f"{hour:02}:{match[2]}"
    return entered(sight, field, wanted)


def arithmetic(_: str, sight: Sight) -> ToolCall | None:
    """Enter the result."""
    field = sight.first("textbox")
    shown = " ".join(node.name for node in sight)
    match = re.search(r"(-?\d+)\s*([+x*-])\s*(-?\d+)\s*=", shown)
    if field is None or match is None:
        return None
    left, right = int(match[1]), int(match[3])
    value = str({"+": left + right, "-": left - right}.get(match[2], left * right))
    return entered(sight, field, value)


def algebra(_: str, sight: Sight) -> ToolCall | None:
    """Enter what x is."""
    field = sight.first("textbox")
    shown = " ".join(node.name for node in sight)
    match = re.search(r"(x|-?\d+)\s*([+-])\s*(x|-?\d+)\s*=\s*(-?\d+)", shown)
    if field is None or match is None:
        return None
    sign, total = (1 if match[2] == "+" else -1), int(match[4])
    x = total - sign * int(match[3]) if match[1] == "x" else sign * (total - int(match[1]))
    return entered(sight, field, str(x))


def word(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the word of a number."""
    match, field = re.search(r"the (\d+)\w\w word", goal), sight.first("textbox")
    words = next((n.name for n in sight.all("text")), "").split()
    if match is None or field is None or int(match[1]) > len(words):
        return None
    wanted = words[int(match[1]) - 1].strip(",.!?;:")
    return entered(sight, field, wanted)


def copied(_: str, sight: Sight) -> ToolCall | None:
    """Enter what the large field holds into the small one."""
    large, small = areas(sight)
    return entered(sight, small, large[0].value_of("value") or "") if large else None


def table_value(goal: str, sight: Sight) -> ToolCall | None:
    """Enter what a table says of a label."""
    match = re.search(r"the value of (.+) into", goal)
    value = _cells(sight).get(match[1]) if match else None
    return None if value is None else entered(sight, sight.first("textbox"), value)


def table_values(_: str, sight: Sight) -> ToolCall | None:
    """Enter what a table says of every label that stands before a field."""
    cells = _cells(sight)
    for label, field in zip(sight.all("label"), sight.all("textbox"), strict=False):
        value = cells.get(label.name.rstrip(":"))
        if value is not None and field.value_of("value") != value:
            return fill(field, value)
    return submit(sight)


def _cells(sight: Sight) -> dict[str, str]:
    cells = [n.name for n in sight.all("cell")]
    return dict(zip(cells[::2], cells[1::2], strict=False))


def spelled(_: str, sight: Sight) -> ToolCall | None:
    """Enter the letters that the page shows one by one."""
    letters = "".join(n.name for n in sight.all("text"))
    return entered(sight, sight.first("textbox"), letters)


def last_word(_: str, sight: Sight) -> ToolCall | None:
    """Enter the last word of the text."""
    large, small = areas(sight)
    words = (large[0].value_of("value") or "").split() if large else []
    return entered(sight, small, words[-1].strip(".,")) if words else None


def nth_text(goal: str, sight: Sight) -> ToolCall | None:
    """Copy the text of a number into the small field."""
    match = re.search(r"the (\d+)\w\w text area", goal)
    large, small = areas(sight)
    if match is None or int(match[1]) > len(large):
        return None
    return entered(sight, small, large[int(match[1]) - 1].value_of("value") or "")


def spinner(goal: str, sight: Sight) -> ToolCall | None:
    """Enter a number."""
    match = re.search(r"Select (-?\d+) with", goal)
    return entered(sight, sight.first("spinbutton"), match[1]) if match else None


def movie(goal: str, sight: Sight) -> ToolCall | None:
    """Enter genre, year and director where they belong."""
    match = re.search(r"Search for (.+) movies directed by (.+) from year (\d+)", goal)
    if match is None:
        return None
    wanted = {"genre": match[1], "director": match[2], "year": match[3], "date": match[3]}
    nodes = list(sight)
    first = next((i for i, n in enumerate(nodes) if n.role == "textbox"), 0)
    labelled = any(key in n.name.lower() for n in nodes[:first] for key in wanted)
    for at, node in enumerate(nodes):
        if node.role != "textbox":
            continue
        # Labels stand before their fields, or all of them behind.
        near = reversed(nodes[:at]) if labelled else nodes[at + 1 :]
        label = next((n.name.lower() for n in near if n.name), "")
        text = next((t for key, t in wanted.items() if key in label), None)
        if text is not None and node.value_of("value") != text:
            return fill(node, text)
    names = ("Submit", "Search", "Go!")
    button = next((n for n in sight if n.number is not None and n.name in names), None)
    return click(button)


def radio_and_number(goal: str, sight: Sight) -> ToolCall | None:
    """Check the radio button of a number, fill the field of a number."""
    which = re.search(r"the (\d+)\w\w radio", goal)
    where = re.search(r'"(-?\d+)" into the (\d+)\w\w textbox', goal)
    radios, fields = sight.all("radio"), sight.all("textbox")
    if which is None or where is None:
        return None
    option, field = radios[int(which[1]) - 1], fields[int(where[2]) - 1]
    if "unchecked" in option.told:
        return click(option)
    return entered(sight, field, where[1])


def parity(_: str, sight: Sight) -> ToolCall | None:
    """Say of every number whether it is odd; what is said is not told apart, so once each.

    The last button that was pressed has the focus, and the next number is the one after it.
    """
    nodes = [n for n in sight if n.number is not None]
    numbers = [n for n in nodes if re.fullmatch(r"-?\d+", n.name) and n.role == "text"]
    done = next((i for i, n in enumerate(nodes) if "focused" in n.told), -1)
    for number in numbers:
        at = nodes.index(number)
        if at - 1 <= done:
            continue
        odd = int(number.name) % 2 == 1
        return click(nodes[at - 1] if odd else nodes[at + 1])
    return submit(sight)


def login_in_spite_of_popups(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the user's name and the password, and stay where somebody asks whether to leave."""
    cancel = sight.first("button", "Cancel")
    return login(goal, sight) if cancel is None else click(cancel)
