"""What can be done on a page: BrowserGym's vocabulary, as tool specs.

An element is named by the number that the page's text shows, as a number or as a string of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agentgym.errors import UnknownNameError, UsageError
from agentgym.tool import ToolSpec

_LONGEST_TYPED = 2_000  # characters, each a key
_LONGEST_FILLED = 100_000
_FARTHEST = 100_000  # pixels

_ELEMENT = {"type": ["integer", "string"], "maxLength": 20, "description": "its number"}
_BUTTON = {"enum": ["left", "middle", "right"]}
_PIXELS = {"type": "number", "minimum": -_FARTHEST, "maximum": _FARTHEST}
_KEYS = {
    "type": "string",
    "maxLength": 100,
    "description": "a key or a combination, such as Enter or Control+a",
}
_KEY = {"type": "string", "maxLength": 30, "description": "a key, such as Shift"}


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


def _spec(
    name: str, description: str, required: Mapping[str, Any], **optional: Mapping[str, Any]
) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }
    return ToolSpec(name, description, schema)


ELEMENTS = (
    _spec("click", "Clicks an element.", {"element": _ELEMENT}, button=_BUTTON),
    _spec("dblclick", "Clicks an element twice.", {"element": _ELEMENT}, button=_BUTTON),
    _spec("hover", "Moves the pointer over an element.", {"element": _ELEMENT}),
    _spec(
        "fill",
        "Replaces what a text field holds.",
        {"element": _ELEMENT, "text": _text(_LONGEST_FILLED)},
    ),
    _spec("clear", "Empties a text field.", {"element": _ELEMENT}),
    _spec(
        "press",
        "Presses keys in an element.",
        {"element": _ELEMENT, "keys": _KEYS},
    ),
    _spec("focus", "Gives an element the focus.", {"element": _ELEMENT}),
    _spec(
        "select_option",
        "Selects options of a list, by what they say.",
        {
            "element": _ELEMENT,
            "options": {
                "anyOf": [
                    _text(_LONGEST_TYPED),
                    {"type": "array", "items": _text(_LONGEST_TYPED), "minItems": 1},
                ]
            },
        },
    ),
    _spec("check", "Checks a box or a radio button.", {"element": _ELEMENT}),
    _spec("uncheck", "Unchecks a box.", {"element": _ELEMENT}),
    _spec(
        "drag_and_drop", "Drags one element onto another.", {"element": _ELEMENT, "onto": _ELEMENT}
    ),
    _spec(
        "scroll",
        "Scrolls by pixels, the page or what an element is in.",
        {"dx": _PIXELS, "dy": _PIXELS},
        element=_ELEMENT,
    ),
)
"""Actions on what the page's text numbers."""

_POINT = {"x": _PIXELS, "y": _PIXELS}
COORDINATES = (
    _spec("mouse_move", "Moves the pointer.", _POINT),
    _spec("mouse_click", "Clicks at a point.", _POINT, button=_BUTTON),
    _spec("mouse_dblclick", "Clicks twice at a point.", _POINT, button=_BUTTON),
    _spec("mouse_down", "Presses a button at a point.", _POINT, button=_BUTTON),
    _spec("mouse_up", "Lets a button go at a point.", _POINT, button=_BUTTON),
    _spec(
        "mouse_drag_and_drop",
        "Drags from one point to another.",
        {"from_x": _PIXELS, "from_y": _PIXELS, "to_x": _PIXELS, "to_y": _PIXELS},
    ),
    _spec("keyboard_press", "Presses keys.", {"keys": _KEYS}),
    _spec("keyboard_type", "Types a text, key by key.", {"text": _text(_LONGEST_TYPED)}),
    _spec("keyboard_insert_text", "Puts a text in at once.", {"text": _text(_LONGEST_FILLED)}),
    _spec("keyboard_down", "Presses a key and holds it.", {"key": _KEY}),
    _spec("keyboard_up", "Lets a key go.", {"key": _KEY}),
)
"""Actions at points, in CSS pixels from the page's upper left corner."""

NOOP = _spec("noop", "Does nothing, and shows the page again.", {})

_URL = {"type": "string", "maxLength": 2_000, "description": "such as https://example.org/page"}
NAVIGATION = (
    _spec("goto", "Goes to an address.", {"url": _URL}),
    _spec("go_back", "Goes to the page before.", {}),
    _spec("go_forward", "Goes to the page that was gone back from.", {}),
)
"""Actions that change a tab's page."""

TABS = (
    _spec("new_tab", "Opens an empty tab and looks at it.", {}),
    _spec(
        "tab_focus",
        "Looks at another tab.",
        {"index": {"type": "integer", "minimum": 0, "maximum": 1_000}},
    ),
    _spec("tab_close", "Closes the tab that is looked at.", {}),
)
"""Actions on the browser's tabs."""

UPLOAD = (
    _spec(
        "upload_file",
        "Gives a file to a field for files.",
        {"element": _ELEMENT, "file": {"type": "string", "maxLength": 200}},
    ),
)
"""For environments with files to upload."""

SEND, INFEASIBLE = "send_msg_to_user", "report_infeasible"
CHAT = (
    _spec(SEND, "Tells the user something, which ends the task.", {"text": _text(_LONGEST_FILLED)}),
    _spec(
        INFEASIBLE,
        "Says that the task can't be done, and why, which ends it.",
        {"reason": _text(_LONGEST_TYPED)},
    ),
)
"""Actions that end an episode."""

ON_PAGE: Mapping[str, tuple[ToolSpec, ...]] = {"elements": ELEMENTS, "coordinates": COORDINATES}
GROUPS: Mapping[str, tuple[ToolSpec, ...]] = {
    **ON_PAGE,
    "navigation": NAVIGATION,
    "tabs": TABS,
    "chat": CHAT,
}
"""What an environment's `actions` may name: all of these, or those on a page."""


def chosen(
    groups: Sequence[str], among: Mapping[str, tuple[ToolSpec, ...]]
) -> tuple[ToolSpec, ...]:
    """Return the actions of some of the groups, and `noop`.

    Raises:
        UnknownNameError: If there is no such group.
        UsageError: If a name stands there twice, or is no list.
    """
    if isinstance(groups, str) or len(set(groups)) != len(groups):
        raise UsageError(f"actions is a list of different groups of {list(among)}, got {groups!r}")
    for name in groups:
        if name not in among:
            raise UnknownNameError("group of actions", name, among)
    return (NOOP, *(spec for name in groups for spec in among[name]))
