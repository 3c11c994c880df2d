"""`WebEnv`: what every environment in a browser shares: a page on loan, its text, its image."""

import importlib.util
import io
import weakref
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from agentgym.actions import ActionFormat
from agentgym.env import AgentEnv, Frame, Image
from agentgym.envs.web.browser import BrowserRecipe, shared
from agentgym.envs.web.driver import Driver, driver
from agentgym.envs.web.page import CantDoError, WebPage
from agentgym.errors import InfraError, MissingDependencyError, UsageError
from agentgym.pools import Pool
from agentgym.task import Task
from agentgym.tool import ToolCall

_QUIET_MS, _SETTLE_MS = 20, 1_000
"""A page has come to rest once nothing has changed for so long; and how long that may take."""
_START_SECONDS, _TURN_SECONDS = 120.0, 60.0


class WebEnv(AgentEnv):
    """Base of the environments in a browser.

    A subclass starts an episode on a page (`_start`) and takes turns there (`_turn`), on the
    driver's loop. The page is lent at the first reset and given back by `close`; what fails in the
    browser is an `InfraError`, after which the page isn't lent to anybody again.

    Args:
        recipe: The browser.
        boxes: Whether the text says where each element lies.
        screenshot: Whether observations have an image.
        max_turns: See `AgentEnv`.
        action_format: See `AgentEnv`.
        expert: See `AgentEnv`.
        instructions: See `AgentEnv`.
        render_mode: None, "ansi", or or "rgb_array".
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}

    def __init__(
        self,
        recipe: BrowserRecipe,
        *,
        boxes: bool,
        screenshot: bool,
        max_turns: int | None,
        action_format: str | ActionFormat,
        expert: bool | str,
        instructions: str | None,
        render_mode: str | None,
    ) -> None:
        super().__init__(
            action_format=action_format,
            expert=expert,
            max_turns=max_turns,
            instructions=instructions,
            render_mode=render_mode,
            image_shape=(recipe.height, recipe.width) if screenshot else None,
        )
        self._recipe = recipe
        self._boxes, self._screenshot = boxes, screenshot
        self._loan: _Loan | None = None
        self._picture: Image | None = None

    # What a subclass implements.

    @abstractmethod
    async def _start(self, page: WebPage, task: Task, options: Mapping[str, Any]) -> Frame:
        """Begin an episode; see `AgentEnv._begin`."""

    @abstractmethod
    async def _turn(self, page: WebPage, call: ToolCall) -> Frame:
        """Take a turn; see `AgentEnv._act`."""

    def _lost(self) -> None:
        """Hear that the page is gone, and that the next one shows nothing yet."""

    # What it is given.

    async def _tried(self, page: WebPage, call: ToolCall) -> str | None:
        """Carry out an action, and return why it couldn't be."""
        try:
            await page.do(call)
        except CantDoError as fault:
            return str(fault)
        return None

    def _reading(self, skip: Sequence[str]) -> list[Any]:
        """Return what the page's `settle` and `observe` are called with."""
        return [_QUIET_MS, _SETTLE_MS, {"skip": list(skip)}]

    def _text(
        self, page: str, error: str | None, heard: Sequence[str], preface: str | None = None
    ) -> str:
        """Return what the model reads: what was wrong, what dialogs said, and the page."""
        dialogs = [f"A dialog opened and was accepted: {said}" for said in heard]
        parts = [preface, f"Error: {error}" if error else None, *dialogs, page]
        return "\n".join(part for part in parts if part)

    async def _image(self, page: WebPage) -> Image | None:
        """Return the screenshot of an observation, and keep it for `render`."""
        if not self._screenshot and self.render_mode != "rgb_array":
            return None
        from PIL import Image as Pictures

        with Pictures.open(io.BytesIO(await page.screenshot())) as picture:
            self._picture = np.array(picture.convert("RGB"), dtype=np.uint8)
        return self._picture if self._screenshot else None

    def render(self) -> Any:
        """Return the last frame in the `render_mode`; see `AgentEnv.render`."""
        return self._picture if self.render_mode == "rgb_array" else super().render()

    # How the contract is kept.

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if self._loan is None:
            self._loan = _Loan(self._recipe)
        page = self._loan.page
        page.heard()
        return self._run("reset", self._start(page, task, options), _START_SECONDS)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        if self._loan is None:
            raise InfraError("The browser's page was lost; call reset() for another one")
        return self._run("step", self._turn(self._loan.page, calls[0]), _TURN_SECONDS)

    def _run(self, stage: str, work: Coroutine[Any, Any, Frame], seconds: float) -> Frame:
        assert self._loan is not None
        try:
            return self._loan.driver.run(work, stage=stage, what="a page", seconds=seconds)
        except UsageError:
            raise
        except BaseException as fault:
            # Whatever it was, the page is in no state that anybody knows.
            self._loan.end(poison=str(fault) or type(fault).__name__)
            self._loan = None
            self._lost()
            raise

    def _release(self) -> None:
        if self._loan is not None:
            self._loan.end()
            self._loan = None
            self._lost()


class _Loan:
    """A page on loan, given back once: by `end`, or when nobody holds the environment any more.

    Args:
        recipe: The browser.

    Raises:
        InfraError: If there is no page to be had.
        MissingDependencyError: If there is no Playwright.
    """

    def __init__(self, recipe: BrowserRecipe) -> None:
        if importlib.util.find_spec("playwright") is None:
            raise MissingDependencyError("playwright", "web")
        self.driver: Driver = driver()

        async def acquire() -> tuple[Pool[WebPage], WebPage]:
            pool = (await shared(recipe)).pages
            return pool, await pool.acquire(_START_SECONDS)

        self._pool, self.page = self.driver.run(
            acquire(), stage="lease", what="a page", seconds=2 * _START_SECONDS
        )
        self._finalizer = weakref.finalize(self, _give_back, self.driver, self._pool, self.page)

    def end(self, poison: str | None = None) -> None:
        """Give the page back; with `poison`, nobody gets it again."""
        if self._finalizer.detach() is not None:
            _give_back(self.driver, self._pool, self.page, poison)


def _give_back(host: Driver, pool: Pool[WebPage], page: WebPage, poison: str | None = None) -> None:
    if host.is_ours:
        host.soon(lambda: pool.release(page, poison=poison))
