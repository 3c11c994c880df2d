"""Pages on which something is to be written or guessed, and that answer what was written."""

import re

from agentgym.envs.web.miniwob_solvers.filling import entered
from agentgym.envs.web.miniwob_solvers.moves import (
    classes,
    click,
    fill,
    offers,
    press,
    quoted,
    submit,
)
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

_COLORS = {
    "aqua": "00FFFF",
    "black": "000000",
    "blue": "0000FF",
    "gold": "FFD700",
    "gray": "808080",
    "green": "008000",
    "lime": "00FF00",
    "magenta": "FF00FF",
    "maroon": "800000",
    "navy": "000080",
    "olive": "808000",
    "orange": "FFA500",
    "pink": "FFC0CB",
    "purple": "800080",
    "red": "FF0000",
    "silver": "C0C0C0",
    "teal": "008080",
    "white": "FFFFFF",
    "yellow": "FFFF00",
}
"""What CSS means by a colour's name."""


def color(goal: str, sight: Sight) -> ToolCall | None:
    """Enter a colour."""
    match = re.match(r"Select (\w+) with the color picker", goal)
    value = _COLORS.get(match[1]) if match else None
    return entered(sight, sight.first("textbox"), value) if value else None


def guessed(_: str, sight: Sight) -> ToolCall | None:
    """Guess a number, and then the next one in the direction that the page tells."""
    field = sight.first("spinbutton")
    said = " ".join(node.name for node in sight)
    told = re.search(r"The number is (lower|higher) than (\d+)", said)
    guess = 5 if told is None else int(told[2]) + (1 if told[1] == "higher" else -1)
    return entered(sight, field, str(guess))


def generated(goal: str, sight: Sight) -> ToolCall | None:
    """Have a number generated until one is what the goal asks for, and submit."""
    shown = next((int(n.name) for n in sight.all("text") if n.name.isdigit()), None)
    bound = re.search(r"(less|greater) than (\d+)", goal)
    if shown is None:
        fits = False
    elif bound:
        fits = shown < int(bound[2]) if bound[1] == "less" else shown > int(bound[2])
    else:
        fits = shown % 2 == ("odd" in goal)
    return submit(sight) if fits else click(sight.first("button", "Generate"))


def completed(goal: str, sight: Sight) -> ToolCall | None:
    """Choose what starts with some letters, and ends with others, from what is offered."""
    parts, field = quoted(goal), sight.first("textbox")
    if not parts or field is None:
        return None

    def fits(text: str) -> bool:
        return text.startswith(parts[0]) and (len(parts) == 1 or text.endswith(parts[1]))

    if offered := offers(sight):
        fitting = next((node for node in offered if fits(node.name)), None)
        # They may be for what the field held before.
        return click(fitting) or press(field, "Escape")
    value = field.value_of("value") or ""
    if value != parts[0]:
        return submit(sight) if fits(value) else fill(field, parts[0])
    # Suggestions come after a while, and at once where a key asks for them.
    return press(field, "ArrowDown")


def agreement(goal: str, sight: Sight) -> ToolCall | None:
    """Sign, once the text was scrolled to its end, and agree or cancel."""
    wanted, fields = quoted(goal), sight.all("textbox")
    if len(wanted) < 2 or len(fields) < 2:
        return click(sight.first("button", "Cancel"))
    text, name = fields[0], fields[1]
    if "disabled" in name.told:
        return ToolCall("scroll", {"dx": 0, "dy": 10_000, "element": text.number})
    if name.value_of("value") != wanted[0]:
        return fill(name, wanted[0])
    return click(sight.first("button", wanted[1]))


def removed(goal: str, sight: Sight) -> ToolCall | None:
    """List the files in a terminal, and remove one of a kind.

    The terminal takes keys a moment after the page has begun, which can't be seen: what is typed
    before is lost, and typed again.
    """
    ending = re.search(r"extension (\.\S+)$", goal)
    names = [node.name for node in sight.all("text") if node.name != "█"]
    prompts = [i for i, name in enumerate(names) if name == "user$"]
    if not prompts:
        return None
    typed = "".join(names[prompts[-1] + 1 :]).replace(" ", "")
    listed = next((i for i in prompts if names[i + 1 : i + 2] == ["ls"]), None)
    wanted = "ls"
    if listed is not None:
        files = " ".join(names[listed + 2 : prompts[-1]]).split()
        kind = ending[1] if ending else ""
        fits = (f for f in files if (f.endswith(kind) if kind else "." not in f))
        if (file := next(fits, None)) is None:
            return None
        wanted = f"rm {file}"
    if typed == wanted.replace(" ", ""):
        return ToolCall("keyboard_press", {"keys": "Enter"})
    if typed:
        return ToolCall("keyboard_press", {"keys": "Backspace"})
    return ToolCall("keyboard_type", {"text": wanted})


def styled(goal: str, sight: Sight) -> ToolCall | None:
    """Select a word or everything in an editor, give it a style or a colour, and submit."""
    match = re.search(r"give the text (\S+) the|(everything)", goal)
    look = re.search(r"(?:style|color) (\w+)", goal)
    editor = next((f for f in sight.all("textbox") if "ql-editor" in classes(f)), None)
    if match is None or look is None or editor is None:
        return None
    if "color" in goal and (swatches := _swatches(sight)):
        return click(min(swatches, key=lambda node: _distance(node, look[1])))
    text = (editor.value_of("value") or "").strip("\ufeff")  # a mark that the editor leaves
    wanted = match[1] or text
    selected = (editor.value_of("selection") or "").strip("\ufeff")
    if selected != wanted:
        return _selecting(editor, wanted, selected, everything=match[1] is None)
    if "color" in goal:
        return _colored(sight)
    button = next((b for b in sight.all("button") if _style(b).startswith(look[1][:4])), None)
    return submit(sight) if button and "ql-active" in classes(button) else click(button)


def _selecting(editor: Node, wanted: str, selected: str, *, everything: bool) -> ToolCall | None:
    """Press the next key on the way to a selection: words from the first on, one by one."""
    if everything:
        return press(editor, "Control+a")
    if "focused" not in editor.told:
        return press(editor, "Control+Home")
    if not selected:
        return press(editor, "Control+Shift+ArrowRight")
    return press(editor, "Shift+ArrowRight" if wanted.startswith(selected) else "ArrowRight")


def _style(button: Node) -> str:
    return next((c.removeprefix("ql-") for c in classes(button)), "")


def _swatches(sight: Sight) -> list[Node]:
    return [node for node in sight.all("clickable") if node.value_of("color")]


def _distance(swatch: Node, name: str) -> int:
    """Return how far a swatch is from a colour."""
    channels = re.findall(r"\d+", swatch.value_of("color") or "")[:3]
    wanted = bytes.fromhex(_COLORS[name])
    return sum((int(a) - b) ** 2 for a, b in zip(channels, wanted, strict=True))


def _colored(sight: Sight) -> ToolCall | None:
    """Open the colours where none was chosen yet, which their icon shows."""
    opener = next(n for n in sight.all("clickable") if "ql-picker-label" in classes(n))
    strokes = {node.value_of("stroke") for node in sight.below(opener)}
    return click(opener) if len(strokes) == 1 else submit(sight)
