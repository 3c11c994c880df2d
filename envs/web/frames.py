"""`Frames`: finds a page's elements, in its own document and in frames of other origins.

A frame of another origin is a page of its own to the browser: its elements' numbers begin with
letters, and its lines are fetched apart, where there is one. The frames of the page's own origin
are read with it (`in_page/text.js`).
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentgym.envs.web.page_faults import CantDoError
from agentgym.envs.web.sight import Node, Sight

_FRAME_SECONDS = 2.0  # how long one frame may keep the others waiting
_LABEL = re.compile(r"\s*\[?([a-z]*)(\d{1,9})\]?\s*")

# From which window a frame's lines are read, and under which number they stand there.
_FRAME = """(element) => {
    let view = window;
    for (;;) {
        try { if (view === view.parent || !view.parent.__agentgym) break; } catch { break; }
        view = view.parent;
    }
    const { clientLeft: left, clientTop: top } = element;
    return { number: view.__agentgym.numberOf(element), left, top };
}"""
_READ = "(options) => window.__agentgym.observe(options)"
_IS_FOREIGN = """() => {
    try { return !window.parent.__agentgym; } catch { return true; }
}"""


@dataclass(frozen=True, slots=True)
class ForeignFrame:
    """A frame of another origin.

    Attributes:
        page: Playwright's frame.
        letters: What its elements' numbers begin with.
        root: What the numbers begin with among which its own line stands.
        number: That line's number.
        left: Width of its border, in CSS pixels.
        top: Height of its border.
    """

    page: Any
    letters: str
    root: str
    number: int
    left: float
    top: float


class Frames:
    """The frames of a page; runs on the driver's loop.

    Args:
        page: Playwright's.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._letters: dict[Any, str] = {}

    def found(self, element: int | str) -> tuple[Any, int]:
        """Return the frame that an element is in, and its number there.

        Raises:
            CantDoError: If the label is none.
        """
        label = _LABEL.fullmatch(str(element))
        if label is None:
            raise CantDoError(f"An element is a number of the page's text; got {element!r}.")
        if not label[1]:
            return self._page.main_frame, int(label[2])
        for frame, letters in self._letters.items():
            if letters == label[1] and not frame.is_detached():
                return frame, int(label[2])
        raise CantDoError(f"Element [{label[1]}{label[2]}] does not exist.")

    async def ask(self, name: str, element: int | str | None, *arguments: Any) -> Any:
        """Call one of the page's own functions about an element, or about none.

        Raises:
            CantDoError: If it says why it can't.
        """
        frame, number = self._page.main_frame, None
        if element is not None:
            frame, number = self.found(element)
        script = f"(given) => window.__agentgym.{name}(...given)"
        told: Mapping[str, Any] = await frame.evaluate(script, [number, *arguments])
        if "error" in told:
            raise CantDoError(told["error"])
        return told

    async def locate(self, element: int | str, *, enabled: bool = True) -> dict[str, float]:
        """Return the point at which a pointer meets an element, scrolled into view.

        Raises:
            CantDoError: If it meets none, or with `enabled` one that is disabled.
        """
        frame, _ = self.found(element)
        if frame is self._page.main_frame:
            return await self.ask("locate", element, {"enabled": enabled})
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        holder = await frame.frame_element()
        try:
            await holder.scroll_into_view_if_needed(timeout=1000 * _FRAME_SECONDS)
        except PlaywrightTimeout:
            raise CantDoError(f"The frame of [{element}] can't be scrolled into view.") from None
        point = await self.ask("locate", element, {"enabled": enabled})
        box = await holder.bounding_box() or {"x": 0.0, "y": 0.0}
        border = await frame.parent_frame.evaluate("(e) => [e.clientLeft, e.clientTop]", holder)
        x, y = box["x"] + border[0] + point["x"], box["y"] + border[1] + point["y"]
        script = "([x, y]) => window.__agentgym.reachesFrame(x, y)"
        reached: Mapping[str, str] = await self._page.evaluate(script, [x, y])
        if "error" in reached:
            raise CantDoError(f"[{element}] can't be reached: {reached['error']}")
        return {"x": x, "y": y}

    async def foreign(self) -> list[ForeignFrame]:
        """Return the frames of other origins."""
        from playwright.async_api import Error

        found = list[ForeignFrame]()
        for frame in self._page.frames[1:]:
            try:
                async with asyncio.timeout(_FRAME_SECONDS):
                    if not await frame.evaluate(_IS_FOREIGN):
                        continue
                    holder = await frame.frame_element()
                    place = await frame.parent_frame.evaluate(_FRAME, holder)
            except (Error, TimeoutError):
                continue  # it is going, it is busy, or its document is still coming
            letters = self._letters.setdefault(frame, _letters(len(self._letters)))
            root = self._root(frame.parent_frame)
            found.append(ForeignFrame(frame, letters, root, **place))
        return found

    async def joined(self, sight: Sight) -> Sight:
        """Return the lines with those of foreign frames below theirs."""
        if not any(node.foreign for node in sight):
            return sight
        from playwright.async_api import Error

        nodes = list(sight)
        for frame in await self.foreign():
            lines = [(node.frame, node.number) for node in nodes]
            if (frame.root, frame.number) not in lines:
                continue  # it can't be seen
            at = lines.index((frame.root, frame.number))
            try:
                async with asyncio.timeout(_FRAME_SECONDS):
                    told = await frame.page.evaluate(_READ, {"prefix": frame.letters})
            except (Error, TimeoutError):
                continue  # it has gone, or is too busy: the page is read without it
            inner = Sight.of(told["nodes"], frame.letters)
            nodes[at + 1 : at + 1] = [_moved(node, nodes[at], frame) for node in inner]
        return Sight(tuple(nodes))

    def _root(self, frame: Any) -> str:
        """Return the letters of the numbers under which a frame's lines stand."""
        while frame is not None:
            if frame in self._letters:
                return self._letters[frame]
            frame = frame.parent_frame
        return ""


def _letters(index: int) -> str:
    """Return a, b, … z, aa, ab, … ."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _moved(node: Node, holder: Node, frame: ForeignFrame) -> Node:
    """Return a frame's line where the page shows it."""
    box = node.box
    if box is not None and holder.box is not None:
        x, y = holder.box[0] + frame.left, holder.box[1] + frame.top
        box = (box[0] + x, box[1] + y, box[2], box[3])
    return replace(node, depth=node.depth + holder.depth + 1, box=box)
