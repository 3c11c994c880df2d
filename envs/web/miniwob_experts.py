"""Experts for MiniWoB++'s pages: from what the goal says and the page shows, the next action.

Each is a function of both alone, without a memory: it does what is still to be done. `EXPERTS` has
them by page; a page that isn't there has none.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from agentgym.actions import ParsedAction
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

Expert = Callable[[str, Sight], ToolCall | None]


def advice(page: str, goal: str, sight: Sight) -> ParsedAction | None:
    """Return what a page's expert would do now; None where there is none, or it is at a loss."""
    expert = EXPERTS.get(page)
    call = None if expert is None else expert(goal, sight)
    return None if call is None else ParsedAction((call,))


def _click(node: Node | None) -> ToolCall | None:
    return None if node is None else ToolCall("click", {"element": node.number})


def _fill(node: Node | None, text: str) -> ToolCall | None:
    return None if node is None else ToolCall("fill", {"element": node.number, "text": text})


def _quoted(goal: str) -> list[str]:
    return re.findall(r'"([^"]*)"', goal)


def _submit(sight: Sight) -> ToolCall | None:
    buttons = sight.all("button")
    named = [b for b in buttons if b.name.lower() in ("submit", "ok", "okay", "search", "login")]
    return _click((named or buttons or [None])[0])


def _only_button(_: str, sight: Sight) -> ToolCall | None:
    return _click(sight.first("button"))


def _named_button(goal: str, sight: Sight) -> ToolCall | None:
    wanted = _quoted(goal) or re.findall(r"button (\w+)", goal)
    return _click(sight.first("button", wanted[-1])) if wanted else None


def _button_sequence(goal: str, sight: Sight) -> ToolCall | None:
    first, second = sight.first("button", "ONE"), sight.first("button", "TWO")
    pressed = first is not None and "focused" in first.told
    return _click(second if pressed else first)


def _checkboxes(goal: str, sight: Sight) -> ToolCall | None:
    """Check what is listed, and nothing else."""
    listed = re.sub(r"^Select | and click Submit\.?$", "", goal)
    wanted = [] if listed == "nothing" else listed.split(", ")
    for box in sight.all("checkbox"):
        if (box.name in wanted) != ("checked" in box.told):
            return _click(box)
    return _submit(sight)


def _radio(goal: str, sight: Sight) -> ToolCall | None:
    wanted = re.sub(r"^Select | and click Submit\.?$", "", goal)
    option = sight.first("radio", wanted)
    return _click(option) if option and "checked" not in option.told else _submit(sight)


def _color(goal: str, sight: Sight) -> ToolCall | None:
    match = re.search(r"Click on the (\w+) colored box", goal)
    boxes = sight.all("clickable")
    return _click(next((b for b in boxes if match and b.value_of("color") == match[1]), None))


def _dialog(_: str, sight: Sight) -> ToolCall | None:
    return _click(next((b for b in sight.all("button") if b.name == "Close" or not b.name), None))


def _dialog_named(goal: str, sight: Sight) -> ToolCall | None:
    wanted = _quoted(goal)
    name = {"x": "Close"}.get(wanted[-1], wanted[-1]) if wanted else ""
    return _click(sight.first("button", name))


def _select(goal: str, sight: Sight) -> ToolCall | None:
    match = re.match(r"Select (.+) from the list and click Submit", goal)
    box = sight.first("combobox")
    if match is None or box is None:
        return None
    if box.value_of("value") == match[1]:
        return _submit(sight)
    return ToolCall("select_option", {"element": box.number, "options": match[1]})


def _scroll_list(goal: str, sight: Sight) -> ToolCall | None:
    match = re.match(r"Select (.+) from the scroll list and click Submit", goal)
    box = sight.first("listbox")
    if match is None or box is None:
        return None
    wanted = match[1].split(", ")
    chosen = [n.name for n in sight.below(box) if "selected" in n.told]
    if sorted(chosen) == sorted(wanted):
        return _submit(sight)
    return ToolCall("select_option", {"element": box.number, "options": wanted})


def _text(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the quoted words into the one field."""
    wanted, field = _quoted(goal), sight.first("textbox")
    if not wanted or field is None:
        return None
    text = wanted[0]
    if "upper case" in goal:
        text = text.upper()
    elif "lower case" in goal:
        text = text.lower()
    return _submit(sight) if field.value_of("value") == text else _fill(field, text)


def _password(goal: str, sight: Sight) -> ToolCall | None:
    wanted = _quoted(goal)
    for field in sight.all("textbox"):
        if wanted and field.value_of("value") != wanted[0]:
            return _fill(field, wanted[0])
    return _submit(sight)


def _login(goal: str, sight: Sight) -> ToolCall | None:
    """Enter the user's name and the password, in this order."""
    wanted = _quoted(goal)
    for field, text in zip(sight.all("textbox"), wanted, strict=False):
        if field.value_of("value") != text:
            return _fill(field, text)
    return _submit(sight)


def _date(goal: str, sight: Sight) -> ToolCall | None:
    match, field = re.search(r"(\d\d)/(\d\d)/(\d{4})", goal), sight.first("date")
    if match is None or field is None:
        return None
    wanted = f"{match[3]}-{match[1]}-{match[2]}"
    return _submit(sight) if field.value_of("value") == wanted else _fill(field, wanted)


def _time(goal: str, sight: Sight) -> ToolCall | None:
    match, field = re.search(r"(\d{1,2}):(\d\d) ([AP]M)", goal), sight.first("time")
    if match is None or field is None:
        return None
    hour = int(match[1]) % 12 + (12 if match[3] == "PM" else 0)
    wanted = f"{hour:02}:{match[2]}"
    return _submit(sight) if field.value_of("value") == wanted else _fill(field, wanted)


def _focus(_: str, sight: Sight) -> ToolCall | None:
    return _click(sight.first("textbox"))


def _focus_nth(goal: str, sight: Sight) -> ToolCall | None:
    match, fields = re.search(r"(\d+)\w\w input", goal), sight.all("textbox")
    return _click(fields[int(match[1]) - 1]) if match and int(match[1]) <= len(fields) else None


def _link(goal: str, sight: Sight) -> ToolCall | None:
    wanted = _quoted(goal)
    found = [n for n in sight if n.number is not None and wanted and n.name == wanted[0]]
    return _click(found[0] if found else None)


def _widget(goal: str, sight: Sight) -> ToolCall | None:
    wanted = _quoted(goal)
    kind = wanted[0] if wanted else ""
    if kind not in ("text", "textarea"):
        return _click(sight.first(kind))
    fields = [f for f in sight.all("textbox") if ("multiline" in f.told) == (kind == "textarea")]
    return _click(fields[0] if fields else None)


def _arithmetic(_: str, sight: Sight) -> ToolCall | None:
    field = sight.first("textbox")
    shown = " ".join(node.name for node in sight)
    match = re.search(r"(-?\d+)\s*([+x*-])\s*(-?\d+)\s*=", shown)
    if field is None or match is None:
        return None
    left, right = int(match[1]), int(match[3])
    value = str({"+": left + right, "-": left - right}.get(match[2], left * right))
    return _submit(sight) if field.value_of("value") == value else _fill(field, value)


def _algebra(_: str, sight: Sight) -> ToolCall | None:
    field = sight.first("textbox")
    shown = " ".join(node.name for node in sight)
    match = re.search(r"(x|-?\d+)\s*([+-])\s*(x|-?\d+)\s*=\s*(-?\d+)", shown)
    if field is None or match is None:
        return None
    sign, total = (1 if match[2] == "+" else -1), int(match[4])
    x = total - sign * int(match[3]) if match[1] == "x" else sign * (total - int(match[1]))
    return _submit(sight) if field.value_of("value") == str(x) else _fill(field, str(x))


def _word(goal: str, sight: Sight) -> ToolCall | None:
    match, field = re.search(r"the (\d+)\w\w word", goal), sight.first("textbox")
    words = next((n.name for n in sight.all("text")), "").split()
    if match is None or field is None or int(match[1]) > len(words):
        return None
    wanted = words[int(match[1]) - 1].strip(",.!?;:")
    return _submit(sight) if field.value_of("value") == wanted else _fill(field, wanted)


def _copied(_: str, sight: Sight) -> ToolCall | None:
    """Enter what the large field holds into the small one."""
    fields = sight.all("textbox")
    source = next((f for f in fields if "multiline" in f.told), None)
    target = next((f for f in fields if "multiline" not in f.told), None)
    if source is None or target is None:
        return None
    # A field of one line has no room for white space at its ends.
    text = source.value_of("value") or ""
    return _submit(sight) if target.value_of("value") == text else _fill(target, text)


EXPERTS: Mapping[str, Expert] = MappingProxyType(
    {
        "click-test": _only_button,
        "click-test-2": _named_button,
        "click-test-transfer": _named_button,
        "click-button": _named_button,
        "click-button-sequence": _button_sequence,
        "click-checkboxes": _checkboxes,
        "click-checkboxes-large": _checkboxes,
        "click-checkboxes-transfer": _checkboxes,
        "click-option": _radio,
        "click-color": _color,
        "click-dialog": _dialog,
        "click-dialog-2": _dialog_named,
        "click-link": _link,
        "click-widget": _widget,
        "choose-list": _select,
        "click-scroll-list": _scroll_list,
        "enter-text": _text,
        "enter-text-2": _text,
        "enter-text-dynamic": _text,
        "enter-password": _password,
        "enter-date": _date,
        "enter-time": _time,
        "focus-text": _focus,
        "focus-text-2": _focus_nth,
        "login-user": _login,
        "simple-arithmetic": _arithmetic,
        "simple-algebra": _algebra,
        "find-word": _word,
        "copy-paste": _copied,
        "unicode-test": _named_button,
    }
)
"""The experts by page."""
