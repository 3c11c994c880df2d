"""Make the documentation's pictures of pages; run it as it is."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import agentgym

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PAGES = ("book-flight", "email-inbox", "click-shades", "use-spinner", "social-media", "order-food")
_SCALE, _GAP = 2, 8


def first_image(env_id: str, **options: Any) -> Image.Image:
    """Return what an environment shows at first, with marks."""
    env = agentgym.make(env_id, screenshot=True, marks=True, **options)
    try:
        return Image.fromarray(env.reset(seed=0)[0]["image"])
    finally:
        env.close()


def beside(pictures: list[Image.Image], columns: int) -> Image.Image:
    """Return pictures of one size in rows."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * (width + _GAP), rows * (height + _GAP)), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        whole.paste(picture, (column * (width + _GAP), row * (height + _GAP)))
    return whole


def main() -> None:
    """Write the pictures into docs/images."""
    first_image("agentgym/Browser-v0", width=640, height=240).save(IMAGES / "browser.png")
    pages = [first_image("agentgym/MiniWoB-v0", task=page).crop((0, 0, 166, 214)) for page in PAGES]
    whole = beside(pages, 3)
    size = tuple(int(side) for side in np.array(whole.size) * _SCALE)
    whole.resize(size, Image.Resampling.NEAREST).save(IMAGES / "miniwob.png", optimize=True)


if __name__ == "__main__":
    main()
