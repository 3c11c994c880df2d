"""Pages with sliders: their handles move with keys, and jump to where their track is clicked."""

import re

from agentgym.envs.web.miniwob_solvers.moves import click, middle, press, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

_FAR = 10  # from where on a handle moves by pages, a fifth of its track each


def slid(sight: Sight, wanted: int) -> ToolCall | None:
    """Press the key that brings the slider nearer to a number; None where it is there."""
    handle = next((node for node in sight.all("clickable") if node.value_of("color")), None)
    shown = next((node for node in sight.all("text") if re.fullmatch(r"-?\d+", node.name)), None)
    if handle is None or shown is None or (off := wanted - int(shown.name)) == 0:
        return None
    far = abs(off) > _FAR
    if off > 0:
        return press(handle, "PageUp" if far else "ArrowRight")
    return press(handle, "PageDown" if far else "ArrowLeft")


def slider(goal: str, sight: Sight) -> ToolCall | None:
    """Slide to a number, and submit."""
    match = re.match(r"Select (-?\d+) with the slider", goal)
    return slid(sight, int(match[1])) or submit(sight) if match else None


def slider_and_checkbox(goal: str, sight: Sight) -> ToolCall | None:
    """Slide to a number, check the box of a number, and submit."""
    match = re.match(r"Select (-?\d+) with the slider, click the (\d)\w\w checkbox", goal)
    if match is None:
        return None
    box = sight.all("checkbox")[int(match[2]) - 1]
    check = click(box) if "unchecked" in box.told else None
    return slid(sight, int(match[1])) or check or submit(sight)


def sliders(goal: str, sight: Sight) -> ToolCall | None:
    """Slide several to their numbers, and submit.

    All have the same scale, which two of them show that are at different numbers.
    """
    match = re.search(r"\[([\d,]+)\]", goal)
    wanted = [int(number) for number in match[1].split(",")] if match else []
    handles = [node for node in sight.all("clickable") if node.value_of("color")]
    tracks = [node for node in sight.all("clickable") if node not in handles]
    shown = [int(n.name) for n in sight.all("text") if n.name.isdigit()]
    if not wanted or not len(wanted) == len(handles) == len(tracks) == len(shown):
        return None
    scale = sorted(
        (number, middle(handle)[0]) for number, handle in zip(shown, handles, strict=True)
    )
    (low, low_x), (high, high_x) = scale[0], scale[-1]
    for handle, track, number, target in zip(handles, tracks, shown, wanted, strict=True):
        if number == target:
            continue
        if low == high or abs(target - number) <= 2:  # pixels count for less than keys here
            return press(handle, "ArrowRight" if target > number else "ArrowLeft")
        x = low_x + (target - low) * (high_x - low_x) / (high - low)
        return _clicked(track, x)
    return submit(sight)


def _clicked(track: Node, x: float) -> ToolCall:
    """Click a track somewhere, at the nearest of its points."""
    assert track.box is not None, "tracks lie somewhere"
    left, _, width, _ = track.box
    inside = min(max(x, left + 1), left + width - 1)
    return ToolCall("mouse_click", {"x": inside, "y": middle(track)[1]})
