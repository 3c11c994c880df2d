"""Marks: frames around what can be acted on, with the numbers that the text has."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agentgym.envs.web.sight import Node

if TYPE_CHECKING:
    from PIL import Image

_COLOURS = ("#d4001a", "#0057d9", "#00701a", "#8a2be2", "#b35900", "#00707a")
_SIZE = 10


def draw(picture: "Image.Image", nodes: Iterable[Node]) -> None:
    """Draw the marks of the elements that can be acted on and are to be seen.

    Args:
        picture: An RGB screenshot, a pixel per CSS pixel; it is drawn upon.
        nodes: The page's lines.
    """
    from PIL import ImageDraw, ImageFont

    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(_SIZE)
    for count, node in enumerate(node for node in nodes if node.control and node.box):
        assert node.box is not None
        x, y, width, height = node.box
        colour = _COLOURS[count % len(_COLOURS)]
        pen.rectangle((x, y, x + width - 1, y + height - 1), outline=colour)
        left, top, right, bottom = pen.textbbox((0, 0), node.label, font=font)
        wide, high = int(right - left) + 3, int(bottom - top) + 3
        # Inside the picture, above the element where there is room.
        across = max(min(x, picture.width - wide), 0)
        down = y - high if y >= high else min(y, picture.height - high)
        pen.rectangle((across, down, across + wide - 1, down + high - 1), fill=colour)
        pen.text((across + 1 - left, down + 1 - top), node.label, fill="white", font=font)
