"""`Browser`: one Chromium that many environments share, each with a context of its own.

Starting a browser takes a second and a context a third of one, so a browser stays, contexts come
from a pool, and a browser that has died is started anew when the next context is asked for. All of
it runs on the driver's loop (`driver.py`).
"""

import asyncio
import os
import shutil
import signal
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agentgym.envs.web.hosts import NOWHERE, Hosts
from agentgym.envs.web.tabs import Tabs
from agentgym.errors import InfraError, UsageError
from agentgym.pools import Pool, PoolConfig

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_VARIABLE = "AGENTGYM_CHROMIUM"
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Pages that nobody looks at run as those that somebody does.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # A name that a page asks for by itself, before any request, would leave the machine.
    "--dns-prefetch-disable",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)
# The files of `in_page/`, which share a scope, in the order in which they build on each other.
_IN_PAGE = ("elements", "states", "text", "html", "acts", "rest", "clipboard", "interface")
_START_SECONDS = 60.0
_CALL_SECONDS = 30.0
_CONTEXT_SECONDS = 45.0  # what takes longer is no busy machine but a browser that hangs
_CONTEXTS = 64
_UNUSED = 2
"""How many browsers stay that nobody uses."""


@dataclass(frozen=True, slots=True)
class BrowserRecipe:
    """What a browser and its contexts are made of; environments with equal ones share a browser.

    Attributes:
        width: Of the page, in CSS pixels.
        height: Of the page.
        headed: Whether a window is shown.
        program: The browser's executable; None for the first that is found.
        hosts: Where its pages may go.
        fresh: Whether a context is used once, since what it remembers is nobody else's business.
    """

    width: int
    height: int
    headed: bool = False
    program: str | None = None
    hosts: Hosts = NOWHERE
    fresh: bool = False


class Browser:
    """A browser, started when a context is asked for; belongs to the driver's loop.

    Args:
        recipe: What it is made of.

    Attributes:
        lent: How many contexts are lent, or asked for.
    """

    def __init__(self, recipe: BrowserRecipe) -> None:
        self.recipe = recipe
        self.lent = 0
        self._browser: Any = None
        self._mark = ""
        self._starting = asyncio.Lock()
        # A context comes with a process; more of them at once would only wait for each other.
        self._opening = asyncio.Semaphore(2 * (os.cpu_count() or 1))
        # One that is lent again is well until it is worn (`Tabs.lives`).
        config = PoolConfig(
            size=_CONTEXTS, uses=1 if recipe.fresh else None, spares=int(recipe.fresh)
        )
        self._contexts = Pool("browser contexts", self._open, Tabs.close, Tabs.lives, config)

    async def lend(self, seconds: float) -> Tabs:
        """Return a context with a page, which is given back with `take_back`.

        Raises:
            InfraError: If there is none to be had in that time.
        """
        self.lent += 1
        try:
            return await self._contexts.acquire(seconds)
        except BaseException:
            self.lent -= 1
            raise

    def take_back(self, tabs: Tabs, poison: str | None) -> None:
        """Take a context back; with `poison`, nobody gets it again."""
        self.lent -= 1
        self._contexts.release(tabs, poison=poison)

    async def close(self) -> None:
        """End it, with what is left of its contexts."""
        from playwright.async_api import Error

        await self._contexts.close()
        if self._browser is not None:
            with suppress(Error):
                await self._browser.close()

    async def _running(self) -> Any:
        """Return the browser, started anew if it has died."""
        async with self._starting:
            if self._browser is None or not self._browser.is_connected():
                await self._start()
            return self._browser

    async def _start(self) -> None:
        from playwright.async_api import Error

        program = executable(self.recipe.program)
        # Chromium passes over the last two; they say whose process this is, and which.
        self._mark = f"--agentgym-browser={uuid.uuid4().hex}"
        ours = [*self.recipe.hosts.arguments(), f"--agentgym-owner={os.getpid()}", self._mark]
        try:
            self._browser = await (await _playwright()).chromium.launch(
                executable_path=program,
                headless=not self.recipe.headed,
                args=[*_ARGUMENTS, *ours],
                # A window has scroll bars, and pages are laid out beside them: an inbox without
                # them is as wide as nobody's.
                ignore_default_args=["--hide-scrollbars"],
                chromium_sandbox=os.geteuid() != 0,  # which root can't have
                timeout=1000 * _START_SECONDS,
            )
        except Error as fault:
            first_line = _first_line(fault)
            if "onnection closed" in first_line:  # Playwright's own process has died
                _playwrights.clear()
            raise InfraError(
                f"The browser {program or 'of Playwright'} does not start: {first_line}. Install "
                f"one (apt-get install chromium, or: playwright install chromium), or set "
                f"${_VARIABLE} to its path."
            ) from fault

    async def _open(self) -> Tabs:
        async with self._opening:
            return await self._opened()

    async def _opened(self) -> Tabs:
        from playwright.async_api import Error

        browser = await self._running()
        try:
            async with asyncio.timeout(_CONTEXT_SECONDS):
                return await self._context(browser)
        except Error as fault:
            raise InfraError(f"The browser opens no page: {_first_line(fault)}") from fault
        except TimeoutError as fault:
            # It hangs. Who has a page of it will hear that it has gone.
            if self._browser is browser:
                self._browser = None
                _kill(self._mark)
            raise InfraError(
                f"The browser opened no page in {_CONTEXT_SECONDS:g} s; it was ended"
            ) from fault

    async def _context(self, browser: Any) -> Tabs:
        from playwright.async_api import Error

        size = {"width": self.recipe.width, "height": self.recipe.height}
        context = await browser.new_context(
            viewport=size, accept_downloads=False, service_workers="block", locale="en-US"
        )
        try:
            context.set_default_timeout(1000 * _CALL_SECONDS)
            await context.add_init_script(script=_script())
            return Tabs(context, await context.new_page(), self.recipe.hosts)
        except Error:
            with suppress(Error):
                await context.close()
            raise


@cache
def _script() -> str:
    """Return what runs in every page and frame before its own scripts, once."""
    folder = Path(__file__).with_name("in_page")
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in _IN_PAGE]
    body = "\n".join(parts)
    return f'(() => {{\nif (Object.hasOwn(window, "__agentgym")) return;\n{body}\n}})();'


def executable(program: str | None = None) -> str | None:
    """Return the browser's path: the one given, $AGENTGYM_CHROMIUM, or one on the PATH.

    Returns:
        None where there is none, and Playwright's own is to be tried.

    Raises:
        UsageError: If there is nothing at the path that was given.
    """
    given = program or os.environ.get(_VARIABLE)
    if given:
        found = shutil.which(given)
        if found is None:
            raise UsageError(f"There is no browser at {given}")
        return found
    return next((path for name in _PROGRAMS if (path := shutil.which(name))), None)


_browsers: dict[BrowserRecipe, Browser] = {}  # the one that was asked for last comes last
_playwrights: list[asyncio.Task[Any]] = []
_closing: set[asyncio.Task[None]] = set()


def shared(recipe: BrowserRecipe) -> Browser:
    """Return the browser of that recipe; on the driver's loop.

    Of browsers that nobody uses, only the last few are kept.
    """
    browser = _browsers.pop(recipe, None) or Browser(recipe)
    unused = [each for each in _browsers.values() if not each.lent]
    for old in unused[: max(len(unused) - _UNUSED, 0)]:
        del _browsers[old.recipe]
        task = asyncio.get_running_loop().create_task(old.close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)
    _browsers[recipe] = browser
    return browser


async def _playwright() -> Any:
    """Return Playwright's own process, which serves all browsers."""
    from playwright.async_api import async_playwright

    if not _playwrights:
        _playwrights.append(asyncio.ensure_future(async_playwright().start()))
    try:
        return await asyncio.shield(_playwrights[0])
    except BaseException:
        if _playwrights and _playwrights[0].done():
            _playwrights.clear()  # so that the next one tries again
        raise


def _kill(mark: str) -> None:
    """End the processes of the browser that was started with this argument."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def _first_line(fault: Exception) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]


def _forget() -> None:
    """Let a fork of this process start afresh: what it sees of them is its parent's."""
    _browsers.clear()
    _playwrights.clear()
    _closing.clear()


os.register_at_fork(after_in_child=_forget)
