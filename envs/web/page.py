"""`WebPage`: acts on a page and reads it, in a few round trips; runs on the driver's loop.

An action that can't be done is a `CantDoError`, in words for the model. A page, a context or a
browser that is gone is an `InfraError`.

A frame of another origin is a page of its own to the browser: its elements' numbers begin with
letters, and its lines are fetched apart, where there is one.
"""

import asyncio
import base64
import re
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentgym.envs.web.sight import Node, Sight
from agentgym.errors import EnvError, InfraError
from agentgym.tool import ToolCall

_DRAG_STEPS = 5
_KEYS_SECONDS = 10.0
_OPEN_SECONDS = 20.0
_BUTTONS = {"left": 1, "right": 2, "middle": 4}
_LABEL = re.compile(r"\s*\[?([a-z]*)(\d{1,9})\]?\s*")

# Requests that stay open on purpose, or that nothing on the page waits for.
_UNAWAITED = frozenset({"websocket", "eventsource", "media", "ping", "beacon"})

_READ = """async ([quiet, most, options]) => {
    await window.__agentgym.settle(quiet, quiet, most);
    return window.__agentgym.observe(options);
}"""

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
_IS_FOREIGN = """() => {
    try { return !window.parent.__agentgym; } catch { return true; }
}"""

_DRAWN = """() => Promise.race([
    new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    new Promise((done) => setTimeout(done, 1000)),
])"""

# The source is read apart, so that what is no JavaScript is told from what fails on a page.
_TRIED = """async (source) => {
    const script = (0, eval)(`(${source})`);
    if (typeof script !== "function") throw new Error("this is not a function");
    try { return (await script()) ?? null; } catch { return null; }
}"""


class CantDoError(Exception):
    """An action can't be done; the message tells the model why."""


class WebPage:
    """A page: one tab of a browser.

    Args:
        page: Playwright's.

    Attributes:
        uploads: Files that may be uploaded, by the names that the model knows them by.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._devtools: Any = None
        self._holds = False  # whether the left button is down
        self._letters: dict[Any, str] = {}
        self._requests: set[Any] = set()
        self._answered = asyncio.Event()
        self._failures: list[str] = []
        self.uploads: Mapping[str, Path] = {}
        page.on("request", self._requested)
        page.on("requestfinished", self._closed_request)
        page.on("requestfailed", self._failed_request)

    @property
    def url(self) -> str:
        """Its address."""
        return self._page.url

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._page.is_closed()

    def is_of(self, page: Any) -> bool:
        """Whether it is this page of Playwright's."""
        return self._page is page

    async def show(self) -> None:
        """Come to the front."""
        with _faults():
            await self._page.bring_to_front()

    async def close(self) -> None:
        """Close it."""
        with _faults():
            await self._page.close()

    async def siblings(self) -> int:
        """Return how many pages its context has, itself included; 0 where it is closing."""
        from playwright.async_api import Error

        try:
            devtools = await self._session()
            mine = (await devtools.send("Target.getTargetInfo"))["targetInfo"]
            targets = (await devtools.send("Target.getTargets"))["targetInfos"]
        except Error:
            return 0
        context = mine.get("browserContextId")
        return sum(
            each["type"] == "page" and each.get("browserContextId") == context for each in targets
        )

    async def lives(self) -> bool:
        """Whether it answers."""
        from playwright.async_api import Error

        try:
            return bool(await self._page.evaluate("1 + 1 === 2"))
        except Error:
            return False

    async def open(self, url: str) -> None:
        """Go to an address, and wait until its document is there and has been drawn.

        Raises:
            InfraError: If it can't be opened.
        """
        with _faults():
            await self._page.goto(url, wait_until="load")
            # What a pointer does before there is a picture may come to nothing.
            await self._page.evaluate(_DRAWN)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Return what a function in JavaScript gives, once what it promises is there."""
        with _faults():
            return await self._page.evaluate(script, argument)

    async def tried(self, script: str) -> Any:
        """Return what a function in JavaScript gives; None where it fails on this page.

        Raises:
            EnvError: If it is no function.
        """
        from playwright.async_api import Error

        try:
            return await self._page.evaluate(_TRIED, script)
        except Error as fault:
            if "SyntaxError" in str(fault) or "is not a function" in str(fault):
                raise EnvError(f"This is no function in JavaScript: {script}") from fault
            raise InfraError(f"The browser failed: {fault}") from fault

    async def title(self) -> str:
        """Return its title; "" while another document is coming."""
        from playwright.async_api import Error

        try:
            return await self._page.title()
        except Error as fault:
            if _navigates(fault):
                return ""
            raise InfraError(f"The browser failed: {fault}") from fault

    async def html(self) -> str:
        """Return the page as HTML, without what can't be seen."""
        script = "(options) => window.__agentgym.html(options)"
        text = str(await self.evaluate(script, {}))
        for _, letters, frame in await self._frames():
            # Where it stands in the page is told by its own line there, which has the same number.
            inner = await frame.evaluate(script, {"prefix": letters})
            text += f"\n<!-- frame {letters} -->\n{inner}"
        return text

    async def screenshot(self) -> bytes:
        """Return what the page shows, as PNG."""
        with _faults():
            # Half the time that Playwright's takes, which prepares the page, and the same pixels.
            told = await (await self._session()).send(
                "Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True}
            )
        return base64.b64decode(told["data"])

    def pending(self) -> frozenset[Any]:
        """Return the requests that have no answer yet, for `read` to tell the new ones by."""
        return frozenset(self._requests)

    def failures(self) -> list[str]:
        """Return which documents could not be opened since the last time, and why."""
        failures, self._failures = self._failures, []
        return failures

    async def read(self, *, quiet_ms: int, seconds: float, before: frozenset[Any]) -> Sight:
        """Return what is shown, once what an action started has come to rest.

        That is: no document is on its way, no request is without an answer that wasn't before, and
        nothing has changed for a moment.

        Args:
            quiet_ms: How long that moment is.
            seconds: Longest wait; then the page is read as it is.
            before: What `pending` gave before the action.

        Raises:
            InfraError: If the page is gone, or doesn't answer.
        """
        from playwright.async_api import Error

        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            left = max(end - clock(), 0.0)
            asked = [quiet_ms if left else 0, 1000 * left, {}]
            try:
                with _faults():
                    async with asyncio.timeout(left + _OPEN_SECONDS):
                        told = await self._page.evaluate(_READ, asked)
            except InfraError as fault:
                # A document that comes takes the scripts of the one that goes along.
                cause = fault.__cause__
                if not (isinstance(cause, Error) and _navigates(cause)) or not left:
                    raise
                with _faults():
                    await self._page.wait_for_load_state("domcontentloaded")
                continue
            if not left or self._requests <= before:
                return await self._with_frames(Sight.of(told["nodes"]))
            self._answered.clear()
            try:
                async with asyncio.timeout(left):
                    await self._answered.wait()
            except TimeoutError:
                continue

    def forget(self) -> None:
        """Start afresh: no button is down."""
        self._holds = False

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
        await self._ask("fill", element, _encodable(text))

    async def clear(self, element: int | str) -> None:
        """Empty a field."""
        await self._ask("fill", element, "")

    async def press(self, element: int | str, keys: str) -> None:
        """Press keys while an element has the focus."""
        await self._ask("focus", element)
        await self.keyboard_press(keys)

    async def focus(self, element: int | str) -> None:
        """Give an element the focus."""
        await self._ask("focus", element)

    async def select_option(self, element: int | str, options: str | list[str]) -> None:
        """Select options of a list."""
        wanted = [options] if isinstance(options, str) else options
        await self._ask("select", element, [_encodable(each) for each in wanted])

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
        await self._ask("scroll", element, dx, dy)

    async def upload_file(self, element: int | str, file: str) -> None:
        """Give a file to a field for files."""
        path = self.uploads.get(file)
        if path is None:
            known = ", ".join(map(repr, sorted(self.uploads))) or "none"
            raise CantDoError(f"There is no file {file!r} to upload; there are: {known}.")
        await self._ask("takesFiles", element)
        frame, number = await self._found(element)
        handle = await frame.evaluate_handle("(n) => window.__agentgym.element(n)", number)
        await handle.as_element().set_input_files(path)

    async def mouse_move(self, x: float, y: float) -> None:
        """Move the pointer."""
        await self._mouse(("mouseMoved", x, y, "left" if self._holds else "none"))

    async def mouse_click(self, x: float, y: float, button: str = "left") -> None:
        """Click at a point."""
        self._holds = False
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
        self._holds = True
        await self._mouse(("mouseMoved", x, y, "none"), ("mousePressed", x, y, "left"))

    async def mouse_up(self, x: float, y: float) -> None:
        """Let the button go."""
        self._holds = False
        await self._mouse(("mouseMoved", x, y, "left"), ("mouseReleased", x, y, "left"))

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

    async def goto(self, url: str) -> None:
        """Go to an address; whether it may be gone to is `Tabs`'s to say."""
        from playwright.async_api import Error
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        try:
            await self._page.goto(url, wait_until="domcontentloaded", timeout=1000 * _OPEN_SECONDS)
        except PlaywrightTimeout:
            raise CantDoError(f"{url} did not answer in {_OPEN_SECONDS:g} s.") from None
        except Error as fault:
            reason = re.search(r"net::(ERR_\w+)|invalid URL", str(fault))
            if reason is None:
                raise
            raise CantDoError(f"{url} can't be opened: {_reason(reason[1])}.") from fault
        finally:
            self._failures.clear()  # it has been told

    async def go_back(self) -> None:
        """Go to the page before."""
        await self._travel(-1, "back")

    async def go_forward(self) -> None:
        """Go to the page that was gone back from."""
        await self._travel(1, "forward")

    # How they are done.

    async def _travel(self, by: int, where: str) -> None:
        told = await (await self._session()).send("Page.getNavigationHistory")
        wanted, entries = told["currentIndex"] + by, told["entries"]
        # A tab begins with an empty page, which nobody has been to.
        if not 0 <= wanted < len(entries) or entries[wanted]["url"] == "about:blank":
            raise CantDoError(f"There is no page to go {where} to.")
        move = self._page.go_back if by < 0 else self._page.go_forward
        await move(wait_until="domcontentloaded", timeout=1000 * _OPEN_SECONDS)

    async def _set_checked(self, element: int | str, wanted: bool) -> None:
        told = await self._ask("checked", element)
        if told["checked"] != wanted:
            await self.click(element)

    async def _locate(self, element: int | str, *, enabled: bool = True) -> dict[str, float]:
        frame, _ = await self._found(element)
        if frame is self._page.main_frame:
            return await self._ask("locate", element, {"enabled": enabled})
        holder = await frame.frame_element()
        await holder.scroll_into_view_if_needed()
        point = await self._ask("locate", element, {"enabled": enabled})
        box = await holder.bounding_box() or {"x": 0.0, "y": 0.0}
        border = await frame.parent_frame.evaluate("(e) => [e.clientLeft, e.clientTop]", holder)
        return {"x": box["x"] + border[0] + point["x"], "y": box["y"] + border[1] + point["y"]}

    async def _ask(self, name: str, element: int | str | None, *arguments: Any) -> Any:
        """Call one of the page's own functions about an element, or about none.

        Raises:
            CantDoError: If it says why it can't.
        """
        frame, number = self._page.main_frame, None
        if element is not None:
            frame, number = await self._found(element)
        script = f"(given) => window.__agentgym.{name}(...given)"
        told: Mapping[str, Any] = await frame.evaluate(script, [number, *arguments])
        if "error" in told:
            raise CantDoError(told["error"])
        return told

    async def _found(self, element: int | str) -> tuple[Any, int]:
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

    async def _frames(self) -> list[tuple[dict[str, Any], str, Any]]:
        """Return the frames of other origins: where each stands, its letters, and itself."""
        from playwright.async_api import Error

        found: list[tuple[dict[str, Any], str, Any]] = []
        for frame in self._page.frames[1:]:
            try:
                if not await frame.evaluate(_IS_FOREIGN):
                    continue
                holder = await frame.frame_element()
                place = await frame.parent_frame.evaluate(_FRAME, holder)
            except Error:
                continue  # it is going, or its document is still coming
            letters = self._letters.setdefault(frame, _letters(len(self._letters)))
            place["root"] = self._root(frame.parent_frame)
            found.append((place, letters, frame))
        return found

    def _root(self, frame: Any) -> str:
        """Return the letters of the numbers under which a frame's lines stand."""
        while frame is not None:
            if frame in self._letters:
                return self._letters[frame]
            frame = frame.parent_frame
        return ""

    async def _with_frames(self, sight: Sight) -> Sight:
        """Return the lines with those of foreign frames below theirs."""
        if not any(node.foreign for node in sight):
            return sight
        from playwright.async_api import Error

        nodes = list(sight)
        for place, letters, frame in await self._frames():
            at = next(
                (
                    i
                    for i, node in enumerate(nodes)
                    if (node.frame, node.number) == (place["root"], place["number"])
                ),
                None,
            )
            if at is None:
                continue  # it can't be seen
            try:
                told = await frame.evaluate(
                    "(options) => window.__agentgym.observe(options)", {"prefix": letters}
                )
            except Error:
                continue
            inner = [_moved(node, nodes[at], place) for node in Sight.of(told["nodes"], letters)]
            nodes[at + 1 : at + 1] = inner
        return Sight(tuple(nodes))

    async def _session(self) -> Any:
        if self._devtools is None:
            self._devtools = await self._page.context.new_cdp_session(self._page)
        return self._devtools

    async def _mouse(self, *events: tuple[str, float, float, str], clicks: int = 1) -> None:
        """Send what a mouse does, all at once: the browser takes it in order."""
        devtools = await self._session()
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
                    },
                )
                for kind, x, y, button in events
            )
        )

    # What the browser tells.

    def _requested(self, request: Any) -> None:
        if request.resource_type not in _UNAWAITED:
            self._requests.add(request)

    def _closed_request(self, request: Any) -> None:
        self._requests.discard(request)
        self._answered.set()

    def _failed_request(self, request: Any) -> None:
        self._closed_request(request)
        failure = request.failure or ""
        if request.is_navigation_request() and "ERR_ABORTED" not in failure:
            reason = _reason(failure.removeprefix("net::"))
            self._failures.append(f"{request.url} can't be opened: {reason}.")


_ACTIONS: Mapping[str, Callable[..., Coroutine[Any, Any, None]]] = {
    name: getattr(WebPage, name)
    for name in (
        *("noop", "click", "dblclick", "hover", "fill", "clear", "press", "focus", "select_option"),
        *("check", "uncheck", "drag_and_drop", "scroll", "upload_file", "mouse_move"),
        *("mouse_click", "mouse_dblclick", "mouse_down", "mouse_up", "mouse_drag_and_drop"),
        *("keyboard_press", "keyboard_type", "goto", "go_back", "go_forward"),
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


def _navigates(fault: Exception) -> bool:
    """Whether a script failed because its document has gone for another one."""
    said = str(fault)
    return "context was destroyed" in said or "because of a navigation" in said


def _reason(code: str | None) -> str:
    """Return in words why an address can't be opened."""
    known = {
        None: "it is no address",
        "ERR_NAME_NOT_RESOLVED": "there is no such host, or it may not be visited",
        "ERR_CONNECTION_REFUSED": "nobody answers there",
        "ERR_ABORTED": "it is no page",
    }
    return known.get(code, str(code))


def _letters(index: int) -> str:
    """Return a, b, … z, aa, ab, … ."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _moved(node: Node, holder: Node, place: Mapping[str, Any]) -> Node:
    """Return a frame's line where the page shows it."""
    box = node.box
    if box is not None and holder.box is not None:
        x, y = holder.box[0] + place["left"], holder.box[1] + place["top"]
        box = (box[0] + x, box[1] + y, box[2], box[3])
    return replace(node, depth=node.depth + holder.depth + 1, box=box)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
