"""`Hands`: what an agent does on a page, with pointer, keys, fields and history."""

import asyncio
import functools
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from agentgym.envs.web.frames import Frames
from agentgym.envs.web.page_faults import CantDoError, reason
from agentgym.tool import ToolCall

OPEN_SECONDS = 20.0
"""How long a document may take to come."""
_DRAG_STEPS = 5
_KEYS_SECONDS = 10.0
_BUTTONS = {"left": 1, "right": 2, "middle": 4}
_MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}


class Hands:
    """Acts on a page, on the driver's loop; an action of `actions.py` is a method of its name.

    Args:
        page: Playwright's.
        frames: Where its elements are.
        devtools: Gives the page's session of DevTools.

    Attributes:
        uploads: Files that may be uploaded, by the names that the model knows them by.
    """

    def __init__(
        self, page: Any, frames: Frames, devtools: Callable[[], Coroutine[Any, Any, Any]]
    ) -> None:
        self._page, self._frames, self._devtools = page, frames, devtools
        self._holds: str | None = None  # which button is down
        self._held: list[str] = []  # which keys are
        self.uploads: Mapping[str, Path] = {}

    async def forget(self) -> None:
        """Start afresh: no button is down, and no key."""
        self._holds = None
        for key in self._held:
            await self._page.keyboard.up(key)
        self._held = []

    async def do(self, call: ToolCall) -> None:
        """Carry out an action.

        Args:
            call: One that fits its schema (`actions.py`).

        Raises:
            CantDoError: If it can't be done.
        """
        await _ACTIONS[call.name](self, **call.arguments)

    async def noop(self) -> None:
        """Do nothing."""

    async def click(self, element: int | str, button: str = "left") -> None:
        """Click an element."""
        await self.mouse_click(**await self._frames.locate(element), button=button)

    async def dblclick(self, element: int | str, button: str = "left") -> None:
        """Click an element twice."""
        await self.mouse_dblclick(**await self._frames.locate(element), button=button)

    async def hover(self, element: int | str) -> None:
        """Move the pointer over an element."""
        await self.mouse_move(**await self._frames.locate(element, enabled=False))

    async def fill(self, element: int | str, text: str) -> None:
        """Replace what a field holds."""
        await self._frames.ask("fill", element, _encodable(text))

    async def clear(self, element: int | str) -> None:
        """Empty a field."""
        await self._frames.ask("fill", element, "")

    async def press(self, element: int | str, keys: str) -> None:
        """Press keys while an element has the focus."""
        await self._frames.ask("focus", element)
        await self.keyboard_press(keys)

    async def focus(self, element: int | str) -> None:
        """Give an element the focus."""
        await self._frames.ask("focus", element)

    async def select_option(self, element: int | str, options: str | list[str]) -> None:
        """Select options of a list."""
        wanted = [options] if isinstance(options, str) else options
        await self._frames.ask("select", element, [_encodable(each) for each in wanted])

    async def check(self, element: int | str) -> None:
        """Check a box."""
        await self._set_checked(element, True)

    async def uncheck(self, element: int | str) -> None:
        """Uncheck a box."""
        await self._set_checked(element, False)

    async def drag_and_drop(self, element: int | str, onto: int | str) -> None:
        """Drag one element onto another."""
        end = await self._frames.locate(onto, enabled=False)
        start = await self._frames.locate(element)
        await self.mouse_drag_and_drop(start["x"], start["y"], end["x"], end["y"])

    async def scroll(self, dx: float, dy: float, element: int | str | None = None) -> None:
        """Scroll by pixels."""
        await self._frames.ask("scroll", element, dx, dy)

    async def upload_file(self, element: int | str, file: str) -> None:
        """Give a file to a field for files."""
        path = self.uploads.get(file)
        if path is None:
            known = ", ".join(map(repr, sorted(self.uploads))) or "none"
            raise CantDoError(f"There is no file {file!r} to upload; there are: {known}.")
        await self._frames.ask("takesFiles", element)
        frame, number = self._frames.found(element)
        handle = await frame.evaluate_handle("(n) => window.__agentgym.element(n)", number)
        await handle.as_element().set_input_files(path)

    async def mouse_move(self, x: float, y: float) -> None:
        """Move the pointer."""
        await self._mouse(("mouseMoved", x, y, self._holds or "none"))

    async def mouse_click(self, x: float, y: float, button: str = "left") -> None:
        """Click at a point."""
        self._holds = None
        await self._mouse(
            ("mouseMoved", x, y, "none"),
            ("mousePressed", x, y, button),
            ("mouseReleased", x, y, button),
        )

    async def mouse_dblclick(self, x: float, y: float, button: str = "left") -> None:
        """Click twice at a point."""
        await self.mouse_click(x, y, button)
        await self._mouse(("mousePressed", x, y, button), ("mouseReleased", x, y, button), clicks=2)

    async def mouse_down(self, x: float, y: float, button: str = "left") -> None:
        """Press a button."""
        self._holds = button
        await self._mouse(("mouseMoved", x, y, "none"), ("mousePressed", x, y, button))

    async def mouse_up(self, x: float, y: float, button: str = "left") -> None:
        """Let a button go."""
        self._holds = None
        await self._mouse(("mouseMoved", x, y, button), ("mouseReleased", x, y, button))

    async def mouse_drag_and_drop(
        self, from_x: float, from_y: float, to_x: float, to_y: float
    ) -> None:
        """Drag from one point to another, in steps: what follows the pointer has to see it move.

        One waits for the other, since the browser takes moves that follow closely for one.
        """
        parts = [(step + 1) / _DRAG_STEPS for step in range(_DRAG_STEPS)]
        way = [(from_x + p * (to_x - from_x), from_y + p * (to_y - from_y)) for p in parts]
        await self.mouse_down(from_x, from_y)
        for x, y in way:
            await self.mouse_move(x, y)
        await self.mouse_up(to_x, to_y)

    async def keyboard_press(self, keys: str) -> None:
        """Press keys."""
        await self._key(self._page.keyboard.press, keys)

    async def keyboard_type(self, text: str) -> None:
        """Type a text, a key per character."""
        try:
            async with asyncio.timeout(_KEYS_SECONDS):
                await self._page.keyboard.type(_encodable(text))
        except TimeoutError:
            raise CantDoError(
                f"Typing took longer than {_KEYS_SECONDS:g} s, and was broken off."
            ) from None

    async def keyboard_insert_text(self, text: str) -> None:
        """Put a text in at once, without keys."""
        await self._page.keyboard.insert_text(_encodable(text))

    async def keyboard_down(self, key: str) -> None:
        """Press a key and hold it."""
        await self._key(self._page.keyboard.down, key)
        self._held.append(key)

    async def keyboard_up(self, key: str) -> None:
        """Let a key go."""
        await self._key(self._page.keyboard.up, key)
        self._held = [held for held in self._held if held != key]

    async def goto(self, url: str) -> None:
        """Go to an address; whether it may be gone to is `Tabs`'s to say."""
        await self._travel(url, functools.partial(self._page.goto, url))

    async def go_back(self) -> None:
        """Go to the page before."""
        await self._step_through_history(-1, "back")

    async def go_forward(self) -> None:
        """Go to the page that was gone back from."""
        await self._step_through_history(1, "forward")

    # How they are done.

    async def _key(self, do: Callable[[str], Coroutine[Any, Any, None]], keys: str) -> None:
        from playwright.async_api import Error

        try:
            await do(_encodable(keys))
        except Error as fault:
            if "Unknown key" not in str(fault):
                raise
            raise CantDoError(f"There is no key {keys!r}.") from fault

    async def _travel(self, url: str, go: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """Go somewhere, or say why not."""
        from playwright.async_api import Error
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        try:
            await go(wait_until="domcontentloaded", timeout=1000 * OPEN_SECONDS)
        except PlaywrightTimeout:
            raise CantDoError(f"{url} did not answer in {OPEN_SECONDS:g} s.") from None
        except Error as fault:
            if "Download is starting" in str(fault):
                raise CantDoError(f"{url} is a file to download, which is off.") from fault
            code = re.search(r"net::(ERR_\w+)|invalid URL", str(fault))
            if code is None:
                raise
            raise CantDoError(f"{url} can't be opened: {reason(code[1])}.") from fault

    async def _step_through_history(self, by: int, where: str) -> None:
        told = await (await self._devtools()).send("Page.getNavigationHistory")
        wanted, entries = told["currentIndex"] + by, told["entries"]
        # A tab begins with an empty page, which nobody has been to.
        if not 0 <= wanted < len(entries) or entries[wanted]["url"] == "about:blank":
            raise CantDoError(f"There is no page to go {where} to.")
        move = self._page.go_back if by < 0 else self._page.go_forward
        await self._travel(entries[wanted]["url"], move)

    async def _set_checked(self, element: int | str, wanted: bool) -> None:
        told = await self._frames.ask("checked", element)
        if told["checked"] != wanted:
            await self.click(element)

    async def _mouse(self, *events: tuple[str, float, float, str], clicks: int = 1) -> None:
        """Send what a mouse does, all at once: the browser takes it in order."""
        devtools = await self._devtools()
        await asyncio.gather(
            *(
                devtools.send(
                    "Input.dispatchMouseEvent",
                    {
                        "type": kind,
                        "x": x,
                        "y": y,
                        "button": button,
                        "buttons": 0 if kind == "mouseReleased" else _BUTTONS.get(button, 0),
                        "clickCount": 0 if kind == "mouseMoved" else clicks,
                        "modifiers": sum(_MODIFIERS.get(key, 0) for key in set(self._held)),
                    },
                )
                for kind, x, y, button in events
            )
        )


_ACTIONS: Mapping[str, Callable[..., Coroutine[Any, Any, None]]] = {
    name: getattr(Hands, name)
    for name in (
        *("noop", "click", "dblclick", "hover", "fill", "clear", "press", "focus", "select_option"),
        *("check", "uncheck", "drag_and_drop", "scroll", "upload_file", "mouse_move"),
        *("mouse_click", "mouse_dblclick", "mouse_down", "mouse_up", "mouse_drag_and_drop"),
        *("keyboard_press", "keyboard_type", "keyboard_insert_text", "keyboard_down"),
        *("keyboard_up", "goto", "go_back", "go_forward"),
    )
}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
