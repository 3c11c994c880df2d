"""`WebPage`: opens a page, acts on it and reads it, in a few round trips; on the driver's loop.

An action that can't be done is a `CantDoError`, in words for the model. A page, a context or a
browser that is gone is an `InfraError`.
"""

import asyncio
import base64
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.envs.web.frames import Frames
from agentgym.envs.web.hands import OPEN_SECONDS, Hands
from agentgym.envs.web.page_faults import faults, navigates, reason
from agentgym.envs.web.sight import Sight
from agentgym.errors import EnvError, InfraError
from agentgym.tool import ToolCall

# Requests that stay open on purpose, or that nothing on the page waits for.
_UNAWAITED = frozenset({"websocket", "eventsource", "media", "ping", "beacon"})

_READ = """async ([quiet, most, options]) => {
    await window.__agentgym.settle(quiet, quiet, most);
    return window.__agentgym.observe(options);
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


class WebPage:
    """A page: one tab of a browser.

    Args:
        page: Playwright's.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._devtools: Any = None
        self._frames = Frames(page)
        self._hands = Hands(page, self._frames, self._session)
        self._requests: set[Any] = set()
        # How many documents have come or failed, those of frames too, and were waited for.
        self._documents = self._loaded = 0
        self._answered = asyncio.Event()
        self._failures: list[str] = []
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
        with faults():
            await self._page.bring_to_front()

    async def close(self) -> None:
        """Close it."""
        with faults():
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

    async def open(self, url: str, *, whole: bool = True) -> None:
        """Go to an address, and wait until its document is there and has been drawn.

        Args:
            url: The address.
            whole: Whether its images and the like are waited for as well.

        Raises:
            InfraError: If it can't be opened.
        """
        with faults():
            await self._page.goto(url, wait_until="load" if whole else "domcontentloaded")
            # What a pointer does before there is a picture may come to nothing.
            await self._page.evaluate(_DRAWN)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Return what a function in JavaScript gives, once what it promises is there."""
        with faults():
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
            if navigates(fault):
                return ""
            raise InfraError(f"The browser failed: {fault}") from fault

    async def html(self) -> str:
        """Return the page as HTML, without what can't be seen."""
        from playwright.async_api import Error

        script = "(options) => window.__agentgym.html(options)"
        text = str(await self.evaluate(script, {}))
        for frame in await self._frames.foreign():
            # Where it stands in the page is told by its own line there, which has the same number.
            with suppress(Error):  # it has gone, or runs no scripts
                inner = await frame.page.evaluate(script, {"prefix": frame.letters})
                text += f"\n<!-- frame {frame.letters} -->\n{inner}"
        return text

    async def screenshot(self) -> bytes:
        """Return what the page shows, as PNG."""
        with faults():
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
            if self._documents != self._loaded:
                await self._load(max(end - clock(), 0.0))
            left = max(end - clock(), 0.0)
            asked = [quiet_ms if left else 0, 1000 * left, {}]
            try:
                with faults():
                    async with asyncio.timeout(left + OPEN_SECONDS):
                        told = await self._page.evaluate(_READ, asked)
            except InfraError as fault:
                # A document that comes takes the scripts of the one that goes along.
                cause = fault.__cause__
                if not (isinstance(cause, Error) and navigates(cause)) or not left:
                    raise
                with faults():
                    await self._page.wait_for_load_state("domcontentloaded")
                continue
            if left and self._documents != self._loaded:
                continue  # a frame's document came while this one was read
            if not left or self._requests <= before:
                return await self._frames.joined(Sight.of(told["nodes"]))
            self._answered.clear()
            try:
                async with asyncio.timeout(left):
                    await self._answered.wait()
            except TimeoutError:
                continue

    async def forget(self) -> None:
        """Start afresh: no button is down, no key, and nothing has failed."""
        self._failures = []
        with faults():
            await self._hands.forget()

    def offer(self, uploads: Mapping[str, Path]) -> None:
        """Say which files may be uploaded, by the names that the model knows them by."""
        self._hands.uploads = uploads

    async def do(self, call: ToolCall) -> None:
        """Carry out an action.

        Args:
            call: One that fits its schema (`actions.py`).

        Raises:
            CantDoError: If it can't be done.
        """
        try:
            with faults():
                await self._hands.do(call)
        finally:
            if call.name == "goto":
                self._failures.clear()  # it has been told

    async def _load(self, seconds: float) -> None:
        """Wait until the documents that have come are whole, as long as that may take."""
        from playwright.async_api import Error

        self._loaded = self._documents
        if not seconds:
            return

        async def load(frame: Any) -> None:
            with suppress(Error):  # it takes too long, or it is gone
                await frame.wait_for_load_state("load", timeout=1000 * seconds)

        await asyncio.gather(*map(load, self._page.frames))

    async def _session(self) -> Any:
        if self._devtools is None:
            self._devtools = await self._page.context.new_cdp_session(self._page)
        return self._devtools

    # What the browser tells.

    def _requested(self, request: Any) -> None:
        if request.resource_type not in _UNAWAITED:
            self._requests.add(request)

    def _closed_request(self, request: Any) -> None:
        self._requests.discard(request)
        self._documents += request.is_navigation_request()
        self._answered.set()

    def _failed_request(self, request: Any) -> None:
        self._closed_request(request)
        failure = request.failure or ""
        if self._is_document(request) and "ERR_ABORTED" not in failure:
            why = reason(failure.removeprefix("net::"))
            self._failures.append(f"{request.url} can't be opened: {why}.")

    def _is_document(self, request: Any) -> bool:
        """Whether a request is for the page itself, and not for a frame in it."""
        from playwright.async_api import Error

        if not request.is_navigation_request():
            return False
        try:
            return request.frame == self._page.main_frame
        except Error:
            return True  # it has no frame yet: the page is new
