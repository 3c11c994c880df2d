"""`WebPage`: acts on a page and reads it, in a few round trips; runs on the driver's loop.

An action that can't be done is a `CantDoError`, in words for the model. A page, a context or a
browser that is gone is an `InfraError`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from agentgym.errors import InfraError
from agentgym.tool import ToolCall

_DRAG_STEPS = 5
_KEYS_SECONDS = 10.0
_BUTTONS = {"left": 1, "right": 2, "middle": 4}


class CantDoError(Exception):
    """An action can't be done; the message tells the model why."""


class WebPage:
    """A page in a context of its own.

    Args:
        context: Playwright's.
        page: Its page.
        devtools: The page's DevTools session.
    """

    def __init__(self, context: Any, page: Any, devtools: Any) -> None:
        self._context, self._page, self._devtools = context, page, devtools
        self._said: list[str] = []
        self._page.on("dialog", self._answer)

    async def close(self) -> None:
        """Close the context; nothing happens if it has gone with its browser."""
        from playwright.async_api import Error

        with suppress(Error):
            await self._context.close()

    async def lives(self) -> bool:
        """Whether it answers."""
        from playwright.async_api import Error

        try:
            return bool(await self._page.evaluate("1 + 1 === 2"))
        except Error:
            return False

    async def open(self, url: str) -> None:
        """Go to an address, and wait until its document is there.

        Raises:
            InfraError: If it can't be opened.
        """
        with _faults():
            await self._page.goto(url, wait_until="load")

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Return what a function in JavaScript gives, once what it promises is there."""
        with _faults():
            return await self._page.evaluate(script, argument)

    async def screenshot(self) -> bytes:
        """Return what the page shows, as PNG."""
        with _faults():
            return await self._page.screenshot(animations="allow", caret="initial", scale="css")

    def heard(self) -> list[str]:
        """Return what dialogs have said since the last time, which were accepted."""
        said, self._said = self._said, []
        return said

    async def do(self, call: ToolCall) -> None:
        """Carry out an action.

        Args:
            call: One that fits its schema (`actions.py`).

        Raises:
            CantDoError: If it can't be done.
        """
        with _faults():
            await _ACTIONS[call.name](self, **call.arguments)

    # Actions, by their names.

    async def noop(self) -> None:
        """Do nothing."""

    async def click(self, element: int | str, button: str = "left") -> None:
        """Click an element."""
        await self.mouse_click(**await self._locate(element), button=button)

    async def dblclick(self, element: int | str) -> None:
        """Click an element twice."""
        await self.mouse_dblclick(**await self._locate(element))

    async def hover(self, element: int | str) -> None:
        """Move the pointer over an element."""
        await self.mouse_move(**await self._locate(element, enabled=False))

    async def fill(self, element: int | str, text: str) -> None:
        """Replace what a field holds."""
        await self._ask("fill", _number(element), _encodable(text))

    async def clear(self, element: int | str) -> None:
        """Empty a field."""
        await self._ask("fill", _number(element), "")

    async def press(self, element: int | str, keys: str) -> None:
        """Press keys while an element has the focus."""
        await self._ask("focus", _number(element))
        await self.keyboard_press(keys)

    async def focus(self, element: int | str) -> None:
        """Give an element the focus."""
        await self._ask("focus", _number(element))

    async def select_option(self, element: int | str, options: str | list[str]) -> None:
        """Select options of a list."""
        wanted = [options] if isinstance(options, str) else options
        await self._ask("select", _number(element), [_encodable(each) for each in wanted])

    async def check(self, element: int | str) -> None:
        """Check a box."""
        await self._set_checked(element, True)

    async def uncheck(self, element: int | str) -> None:
        """Uncheck a box."""
        await self._set_checked(element, False)

    async def drag_and_drop(self, element: int | str, onto: int | str) -> None:
        """Drag one element onto another."""
        end = await self._locate(onto, enabled=False)
        start = await self._locate(element)
        await self.mouse_drag_and_drop(start["x"], start["y"], end["x"], end["y"])

    async def scroll(self, dx: float, dy: float, element: int | str | None = None) -> None:
        """Scroll by pixels."""
        await self._ask("scroll", dx, dy, None if element is None else _number(element))

    async def mouse_move(self, x: float, y: float) -> None:
        """Move the pointer."""
        await self._mouse(("mouseMoved", x, y, "none"))

    async def mouse_click(self, x: float, y: float, button: str = "left") -> None:
        """Click at a point."""
        await self._mouse(
            ("mouseMoved", x, y, "none"),
            ("mousePressed", x, y, button),
            ("mouseReleased", x, y, button),
        )

    async def mouse_dblclick(self, x: float, y: float) -> None:
        """Click twice at a point."""
        await self.mouse_click(x, y)
        await self._mouse(("mousePressed", x, y, "left"), ("mouseReleased", x, y, "left"), clicks=2)

    async def mouse_down(self, x: float, y: float) -> None:
        """Press the button."""
        await self._mouse(("mouseMoved", x, y, "none"), ("mousePressed", x, y, "left"))

    async def mouse_up(self, x: float, y: float) -> None:
        """Let the button go."""
        await self._mouse(("mouseMoved", x, y, "left"), ("mouseReleased", x, y, "left"))

    async def mouse_drag_and_drop(
        self, from_x: float, from_y: float, to_x: float, to_y: float
    ) -> None:
        """Drag from one point to another, in steps: what follows the pointer has to see it move."""
        parts = [(step + 1) / _DRAG_STEPS for step in range(_DRAG_STEPS)]
        way = [(from_x + p * (to_x - from_x), from_y + p * (to_y - from_y)) for p in parts]
        await self._mouse(
            ("mouseMoved", from_x, from_y, "none"),
            ("mousePressed", from_x, from_y, "left"),
            *(("mouseMoved", x, y, "left") for x, y in way),
            ("mouseReleased", to_x, to_y, "left"),
        )

    async def keyboard_press(self, keys: str) -> None:
        """Press keys."""
        from playwright.async_api import Error

        try:
            await self._page.keyboard.press(_encodable(keys))
        except Error as fault:
            if "Unknown key" not in str(fault):
                raise
            raise CantDoError(f"There is no key {keys!r}.") from fault

    async def keyboard_type(self, text: str) -> None:
        """Type a text, a key per character."""
        async with asyncio.timeout(_KEYS_SECONDS):
            await self._page.keyboard.type(_encodable(text))

    # How they are done.

    async def _answer(self, dialog: Any) -> None:
        from playwright.async_api import Error

        self._said.append(f"{dialog.type}: {dialog.message}")
        try:
            await dialog.accept()
        except Error:
            return  # it has gone with its page

    async def _set_checked(self, element: int | str, wanted: bool) -> None:
        told = await self._ask("checked", _number(element))
        if told["checked"] != wanted:
            await self.click(element)

    async def _locate(self, element: int | str, *, enabled: bool = True) -> dict[str, float]:
        return await self._ask("locate", _number(element), {"enabled": enabled})

    async def _ask(self, name: str, *arguments: Any) -> Any:
        """Call one of the page's own functions.

        Raises:
            CantDoError: If it says why it can't.
        """
        script = f"(given) => window.__agentgym.{name}(...given)"
        told: Mapping[str, Any] = await self._page.evaluate(script, list(arguments))
        if "error" in told:
            raise CantDoError(told["error"])
        return told

    async def _mouse(self, *events: tuple[str, float, float, str], clicks: int = 1) -> None:
        """Send what a mouse does, all at once: the browser takes it in order."""
        await asyncio.gather(
            *(
                self._devtools.send(
                    "Input.dispatchMouseEvent",
                    {
                        "type": kind,
                        "x": x,
                        "y": y,
                        "button": "none" if kind == "mouseMoved" else button,
                        "buttons": 0 if kind == "mouseReleased" else _BUTTONS.get(button, 0),
                        "clickCount": 0 if kind == "mouseMoved" else clicks,
                    },
                )
                for kind, x, y, button in events
            )
        )


_ACTIONS: Mapping[str, Callable[..., Coroutine[Any, Any, None]]] = {
    name: getattr(WebPage, name)
    for name in (
        *("noop", "click", "dblclick", "hover", "fill", "clear", "press", "focus", "select_option"),
        *("check", "uncheck", "drag_and_drop", "scroll", "mouse_move", "mouse_click"),
        *("mouse_dblclick", "mouse_down", "mouse_up", "mouse_drag_and_drop", "keyboard_press"),
        "keyboard_type",
    )
}


@contextmanager
def _faults() -> Generator[None]:
    """Turn what Playwright raises in the block into an `InfraError`."""
    from playwright.async_api import Error

    try:
        yield
    except (Error, TimeoutError) as fault:
        said = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise InfraError(f"The browser failed: {said}") from fault


def _number(element: int | str) -> int:
    """Return an element's number.

    Raises:
        CantDoError: If it isn't one.
    """
    try:
        return int(element)
    except ValueError:
        raise CantDoError(f"An element is a number of the page's text; got {element!r}.") from None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
