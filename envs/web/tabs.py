"""`Tabs`: the pages of one context, of which one is looked at; what a pool of browsers lends.

A page that opens another one is followed there; when that is closed, the one before is looked at
again. Dialogs are accepted, and what they said is told.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentgym.envs.web.hosts import Hosts
from agentgym.envs.web.page import WebPage
from agentgym.envs.web.page_faults import CantDoError
from agentgym.envs.web.sight import Sight
from agentgym.envs.web.styles import short
from agentgym.errors import InfraError
from agentgym.tool import ToolCall

_SCHEMES = ("http", "https")
_MOST_TABS = 20
_MOST_KEPT = 12
_MOST_EPISODES = 1000
_INTRODUCTION_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Tab:
    """What is told of a tab.

    Attributes:
        url: Its address.
        title: Its title.
        active: Whether it is the one that is looked at.
    """

    url: str
    title: str
    active: bool


class Tabs:
    """A context of a browser with its pages; runs on the driver's loop.

    Args:
        context: Playwright's.
        page: Its first page.
        hosts: Where it may go.
    """

    def __init__(self, context: Any, page: Any, hosts: Hosts) -> None:
        self._context, self._hosts = context, hosts
        self._pages: list[WebPage] = []
        self._seen: list[WebPage] = []  # the one that is looked at comes last
        self._kept: dict[str, WebPage] = {}  # the one that was looked at last comes last
        self._said: list[str] = []
        self._changed = asyncio.Event()
        self._uploads: Mapping[str, Path] = {}
        self._opening = 0  # pages that are asked for here
        self._turning_away = set[asyncio.Task[None]]()
        self._episodes = 0
        self._add(page)
        context.on("page", self._opened)
        context.on("dialog", self._answer)

    @property
    def active(self) -> WebPage:
        """The page that is looked at.

        Raises:
            InfraError: If there is none any more.
        """
        self._forget_closed()
        if not self._seen:
            raise InfraError("The browser has no page any more")
        return self._seen[-1]

    async def close(self) -> None:
        """Close the context; nothing happens if it has gone with its browser."""
        from playwright.async_api import Error

        with suppress(Error):
            await self._context.close()

    @property
    def worn(self) -> bool:
        """Whether it has served so many episodes that another one is better: pages grow."""
        return self._episodes >= _MOST_EPISODES

    async def lives(self) -> bool:
        """Whether the page that is looked at answers, and it isn't worn."""
        return bool(self._seen) and not self.worn and await self.active.lives()

    async def turn_to(self, name: str) -> bool:
        """Look at the page that is kept under a name, another one if there is none yet.

        Loading a page takes longer than an episode on it may, so a few are kept; the one that was
        not looked at for the longest makes way. Where pages are kept nothing else opens: a page
        that one of them opens is closed.

        Returns:
            Whether it was there.

        Raises:
            InfraError: If the browser opens no page.
        """
        self._kept = {key: page for key, page in self._kept.items() if not page.is_closed}
        page = self._kept.pop(name, None)
        there = page is not None
        if page is None and len(self._kept) >= _MOST_KEPT:
            page = self._kept.pop(next(iter(self._kept)))
        elif page is None:
            page = await self._new_page() if self._kept else self.active
        self._kept[name] = page
        self._look_at(page)
        if len(self._kept) > 1:
            await page.show()  # for who watches
        return there

    def offer(self, uploads: Mapping[str, Path]) -> None:
        """Say which files may be uploaded, by the names that the model knows them by."""
        self._uploads = uploads
        for page in self._pages:
            page.offer(uploads)

    async def forget(self) -> None:
        """Start afresh: nothing was heard, has failed, or is held down."""
        self._episodes += 1
        self._said = []
        self._forget_closed()
        for page in self._pages:
            await page.forget()

    def heard(self) -> list[str]:
        """Return what dialogs have said since the last time, which were accepted."""
        said, self._said = self._said, []
        return said

    def failures(self) -> list[str]:
        """Return what the page that is looked at couldn't open since the last time, and why."""
        active = self.active
        failed = [(page, page.failures()) for page in self._pages]
        return [failure for page, failures in failed if page is active for failure in failures]

    async def known(self) -> tuple[Tab, ...]:
        """Return what there is to tell of each, in the order in which they were opened."""
        active, pages = self.active, tuple(self._pages)  # another may open meanwhile
        titles = await asyncio.gather(*(page.title() for page in pages))
        return tuple(
            Tab(page.url, short(title), page is active)
            for page, title in zip(pages, titles, strict=True)
        )

    async def read(self, *, quiet_ms: int, seconds: float, before: frozenset[Any]) -> Sight:
        """Return what the page that is looked at shows; see `WebPage.read`."""
        while True:
            page = self.active
            try:
                sight = await page.read(quiet_ms=quiet_ms, seconds=seconds, before=before)
            except InfraError:
                if not page.is_closed:
                    raise
                continue  # it closed itself: the one before is looked at now
            await self._introduced(page)
            if page is self.active:
                return sight

    def pending(self) -> frozenset[Any]:
        """Return the requests of all pages that have no answer yet; see `WebPage.pending`."""
        return frozenset().union(*(page.pending() for page in self._pages))

    async def do(self, call: ToolCall) -> None:
        """Carry out an action, on the page that is looked at where it is one of a page.

        Raises:
            CantDoError: If it can't be done.
            InfraError: If the browser is gone.
        """
        if call.name == "new_tab":
            await self._new_tab()
        elif call.name == "tab_focus":
            await self._focus(**call.arguments)
        elif call.name == "tab_close":
            await self._close_active()
        else:
            page = self.active
            if call.name == "goto":
                self._check(str(call.arguments["url"]))
            try:
                await page.do(call)
            except InfraError:
                if not page.is_closed or not self._context.browser.is_connected():
                    raise  # a page that its own button closed is no failure

    # What only a context can do.

    async def _new_tab(self) -> None:
        if len(self._pages) >= _MOST_TABS:
            raise CantDoError(f"There are {_MOST_TABS} tabs already; close one.")
        await self._new_page()

    async def _new_page(self) -> WebPage:
        from playwright.async_api import Error

        self._opening += 1
        try:
            return self._add(await self._context.new_page())
        except Error as fault:
            raise InfraError(f"The browser opens no page: {fault}") from fault
        finally:
            self._opening -= 1

    def _look_at(self, page: WebPage) -> None:
        self._forget_closed()
        self._seen.remove(page)
        self._seen.append(page)

    async def _focus(self, index: int) -> None:
        self._forget_closed()
        if not 0 <= index < len(self._pages):
            last = len(self._pages) - 1
            raise CantDoError(f"There is no tab {index}; there are 0 to {last}.")
        page = self._pages[index]
        self._look_at(page)
        await page.show()

    async def _close_active(self) -> None:
        if len(self._pages) == 1:
            raise CantDoError("The last tab can't be closed.")
        await self.active.close()
        await self.active.show()

    def _check(self, url: str) -> None:
        """Raise if an address may not be gone to; the browser itself sees to all the others."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
            parts = None
        if parts is None or parts.scheme not in _SCHEMES or not host:
            raise CantDoError(f"{url!r} is no address such as https://example.org/page.")
        if not self._hosts.allow(host, port):
            raise CantDoError(f"{host} may not be visited here; {self._hosts.told()}.")

    # What the browser tells.

    async def _introduced(self, page: WebPage) -> None:
        """Wait for the pages that there are already, and that Playwright has yet to tell of."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_INTRODUCTION_SECONDS):
                while await page.siblings() > len(self._pages):
                    self._changed.clear()
                    await self._changed.wait()

    def _add(self, page: Any) -> WebPage:
        known = next((each for each in self._pages if each.is_of(page)), None)
        if known is None:
            known = WebPage(page)
            known.offer(self._uploads)
            self._pages.append(known)
            self._seen.append(known)
        return known

    def _opened(self, page: Any) -> None:
        """Look at a page that has opened, unless it is one too many; it is closed then."""
        self._forget_closed()
        if (self._kept and not self._opening) or len(self._pages) >= _MOST_TABS:
            task = asyncio.ensure_future(self._turned_away(page))
            self._turning_away.add(task)
            task.add_done_callback(self._turning_away.discard)
        else:
            self._add(page)
            self._changed.set()

    async def _turned_away(self, page: Any) -> None:
        from playwright.async_api import Error

        with suppress(Error):
            await page.close()
        self._changed.set()

    def _forget_closed(self) -> None:
        self._pages = [page for page in self._pages if not page.is_closed]
        self._seen = [page for page in self._seen if not page.is_closed]

    async def _answer(self, dialog: Any) -> None:
        from playwright.async_api import Error

        self._said.append(f"{dialog.type}: {short(dialog.message)}")
        try:
            await dialog.accept()
        except Error:
            return  # it has gone with its page
