"""What can be done on a page: BrowserGym's vocabulary, as tool specs.

An element is named by the number that the page's text shows, as a number or as a string of one.
"""

from collections.abc import Mapping
from typing import Any

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
    _spec("dblclick", "Clicks an element twice.", {"element": _ELEMENT}),
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
    _spec("mouse_dblclick", "Clicks twice at a point.", _POINT),
    _spec("mouse_down", "Presses the left button at a point.", _POINT),
    _spec("mouse_up", "Lets the left button go at a point.", _POINT),
    _spec(
        "mouse_drag_and_drop",
        "Drags from one point to another.",
        {"from_x": _PIXELS, "from_y": _PIXELS, "to_x": _PIXELS, "to_y": _PIXELS},
    ),
    _spec("keyboard_press", "Presses keys.", {"keys": _KEYS}),
    _spec("keyboard_type", "Types a text.", {"text": _text(_LONGEST_TYPED)}),
)
"""Actions at points, in CSS pixels from the page's upper left corner."""

NOOP = _spec("noop", "Does nothing, and shows the page again.", {})
