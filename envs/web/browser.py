"""`Browser`: one Chromium that many environments share, each with a context of its own.

Starting a browser takes a second and a context a third of one, so a browser stays, contexts come
from a pool, and a browser that has died is started anew when the next context is asked for. All of
it runs on the driver's loop (`driver.py`).
"""

import asyncio
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agentgym.envs.web.page import WebPage
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
_SCRIPT = Path(__file__).with_name("page.js")
_START_SECONDS = 60.0
_CALL_SECONDS = 30.0
_PAGES = 64
_USES = 200
"""How often a page is lent: a context grows with what it has shown."""


@dataclass(frozen=True, slots=True)
class BrowserRecipe:
    """What a browser and its contexts are made of; environments with equal ones share a browser.

    Attributes:
        width: Of the page, in CSS pixels.
        height: Of the page.
        headed: Whether a window is shown.
        program: The browser's executable; None for the first that is found.
    """

    width: int
    height: int
    headed: bool = False
    program: str | None = None


class Browser:
    """A browser, started when a context is asked for.

    Args:
        recipe: What it is made of.
    """

    def __init__(self, recipe: BrowserRecipe) -> None:
        self.recipe = recipe
        self._playwright: Any = None
        self._browser: Any = None
        self._starting = asyncio.Lock()

    @cached_property
    def pages(self) -> Pool[WebPage]:
        """Its pages, each in a context of its own; belongs to the driver's loop."""
        config = PoolConfig(size=_PAGES, uses=_USES)
        return Pool("browser pages", self._open, WebPage.close, WebPage.lives, config)

    async def _running(self) -> Any:
        """Return the browser, started anew if it has died."""
        async with self._starting:
            if self._browser is None or not self._browser.is_connected():
                await self._start()
            return self._browser

    async def _start(self) -> None:
        from playwright.async_api import Error, async_playwright

        if self._playwright is None:
            self._playwright = await async_playwright().start()
        program = executable(self.recipe.program)
        try:
            self._browser = await self._playwright.chromium.launch(
                executable_path=program,
                headless=not self.recipe.headed,
                # Chromium passes over the last one; it says whose process this is.
                args=[*_ARGUMENTS, f"--agentgym-owner={os.getpid()}"],
                chromium_sandbox=os.geteuid() != 0,  # which root can't have
                timeout=1000 * _START_SECONDS,
            )
        except Error as fault:
            first_line = str(fault).strip().splitlines()[0]
            raise InfraError(
                f"The browser {program or 'of Playwright'} does not start: {first_line}. Install "
                f"one (apt-get install chromium, or: playwright install chromium), or set "
                f"${_VARIABLE} to its path."
            ) from fault

    async def _open(self) -> WebPage:
        from playwright.async_api import Error

        browser = await self._running()
        size = {"width": self.recipe.width, "height": self.recipe.height}
        try:
            context = await browser.new_context(
                viewport=size, accept_downloads=False, service_workers="block", locale="en-US"
            )
            context.set_default_timeout(1000 * _CALL_SECONDS)
            await context.add_init_script(path=_SCRIPT)
            page = await context.new_page()
            return WebPage(context, page, await context.new_cdp_session(page))
        except Error as fault:
            raise InfraError(f"The browser opens no page: {_first_line(fault)}") from fault


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


_browsers: dict[BrowserRecipe, Browser] = {}


async def shared(recipe: BrowserRecipe) -> Browser:
    """Return the browser of that recipe; on the driver's loop."""
    return _browsers.setdefault(recipe, Browser(recipe))


def _first_line(fault: Exception) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]


# What a fork of this process sees of them is its parent's.
os.register_at_fork(after_in_child=_browsers.clear)
