"""`WebEnv`: what every environment in a browser shares: a context on loan, its text, its image."""

import importlib.util
import io
import os
import weakref
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from agentgym.actions import ActionFormat
from agentgym.env import AgentEnv, Frame, Image
from agentgym.envs.web.actions import chosen
from agentgym.envs.web.browser import Browser, BrowserRecipe, shared
from agentgym.envs.web.driver import Driver, driver
from agentgym.envs.web.page_faults import CantDoError
from agentgym.envs.web.sight import Sight
from agentgym.envs.web.tabs import Tabs
from agentgym.errors import EnvError, InfraError, MissingDependencyError, UsageError
from agentgym.task import Task
from agentgym.tool import ToolCall, ToolSpec

T = TypeVar("T")

QUIET_MS = 20
"""A page has come to rest once nothing has changed for so long."""
TURN_SECONDS = 60.0
_START_SECONDS = 120.0


class WebEnv(AgentEnv):
    """Base of the environments in a browser.

    A subclass starts an episode in a context of a browser (`_start`) and takes turns there
    (`_turn`), on the driver's loop. The context is lent at the first reset, or where it is to be
    fresh at every one, and given back by `close`; what fails in the browser is an `InfraError`,
    after which the context isn't lent to anybody again.

    Args:
        recipe: The browser.
        actions: Groups of actions that the model may use.
        among: Which groups there are.
        boxes: Whether the text says where each element lies.
        screenshot: Whether observations have an image.
        marks: Whether the image shows the elements' numbers.
        max_turns: See `AgentEnv`.
        action_format: See `AgentEnv`.
        expert: See `AgentEnv`.
        instructions: See `AgentEnv`.
        render_mode: None, "ansi", or "rgb_array".
    """

    # A page has a process that lays it out and paints it: beyond this they wait for each other.
    episodes_at_once: ClassVar[int | None] = 4 * (os.cpu_count() or 1)
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}

    def __init__(
        self,
        recipe: BrowserRecipe,
        *,
        actions: Sequence[str],
        among: Mapping[str, tuple[ToolSpec, ...]],
        boxes: bool,
        screenshot: bool,
        marks: bool,
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
        if marks and not screenshot:
            raise UsageError("marks are drawn on screenshots; set screenshot=True")
        self.tools = chosen(actions, among)
        self._recipe = recipe
        self._boxes, self._screenshot, self._marks = boxes, screenshot, marks
        self._loan: _Loan | None = None
        self._picture: Image | None = None
        self._sight = Sight(())

    # What a subclass implements.

    @abstractmethod
    async def _start(self, tabs: Tabs, task: Task, options: Mapping[str, Any]) -> Frame:
        """Begin an episode; see `AgentEnv._begin`."""

    @abstractmethod
    async def _turn(self, tabs: Tabs, call: ToolCall) -> Frame:
        """Take a turn; see `AgentEnv._act`."""

    # What it is given.

    async def _tried(self, tabs: Tabs, call: ToolCall) -> str | None:
        """Carry out an action, and return why it couldn't be."""
        try:
            await tabs.do(call)
        except CantDoError as fault:
            return str(fault)
        return None

    def _text(
        self, page: str, error: str | None, heard: Sequence[str], preface: str | None = None
    ) -> str:
        """Return what the model reads: what was wrong, what dialogs said, and the page."""
        dialogs = [f"A dialog opened and was accepted: {said}" for said in heard]
        parts = [preface, f"Error: {error}" if error else None, *dialogs, page]
        return "\n".join(part for part in parts if part)

    async def _image(self, tabs: Tabs) -> Image | None:
        """Return the screenshot of an observation, and keep it for `render`."""
        if not self._screenshot and self.render_mode != "rgb_array":
            return None
        from PIL import Image as Pictures

        with Pictures.open(io.BytesIO(await tabs.active.screenshot())) as picture:
            shown = picture.convert("RGB")
        if self._marks:
            from agentgym.envs.web.marks import draw

            draw(shown, self._sight)
        self._picture = np.array(shown, dtype=np.uint8)
        return self._picture if self._screenshot else None

    def render(self) -> Any:
        """Return the last frame in the `render_mode`; see `AgentEnv.render`."""
        return self._picture if self.render_mode == "rgb_array" else super().render()

    # How the contract is kept.

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if self._loan is not None and (self._recipe.fresh or self._loan.tabs.worn):
            self._release()
        if self._loan is None:
            self._loan = _Loan(self._recipe)
        tabs = self._loan.tabs

        async def start() -> Frame:
            await tabs.forget()
            return await self._start(tabs, task, options)

        return self._run("reset", start(), _START_SECONDS)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        if self._loan is None:
            raise InfraError("The browser's page was lost; call reset() for another one")
        return self._run("step", self._turn(self._loan.tabs, calls[0]), TURN_SECONDS)

    def _run(self, stage: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        assert self._loan is not None
        try:
            return self._loan.driver.run(work, stage=stage, what="a page", seconds=seconds)
        except (EnvError, UsageError):
            raise
        except BaseException as fault:
            # Whatever it was, the context is in no state that anybody knows.
            self._loan.end(poison=str(fault) or type(fault).__name__)
            self._loan = None
            raise

    def _release(self) -> None:
        if self._loan is not None:
            self._loan.end()
            self._loan = None


class _Loan:
    """A context on loan, given back once: by `end`, or when nobody holds the environment any more.

    Args:
        recipe: The browser.

    Raises:
        InfraError: If there is none to be had.
        MissingDependencyError: If there is no Playwright.
    """

    def __init__(self, recipe: BrowserRecipe) -> None:
        if importlib.util.find_spec("playwright") is None:
            raise MissingDependencyError("playwright", "web")
        self.driver: Driver = driver()

        async def lend() -> tuple[Browser, Tabs]:
            browser = shared(recipe)
            return browser, await browser.lend(_START_SECONDS)

        self._browser, self.tabs = self.driver.run(
            lend(), stage="lease", what="a page", seconds=2 * _START_SECONDS
        )
        self._finalizer = weakref.finalize(self, _give_back, self.driver, self._browser, self.tabs)

    def end(self, poison: str | None = None) -> None:
        """Give it back; with `poison`, nobody gets it again."""
        if self._finalizer.detach() is not None:
            _give_back(self.driver, self._browser, self.tabs, poison)


def _give_back(host: Driver, browser: Browser, tabs: Tabs, poison: str | None = None) -> None:
    if host.is_ours:
        host.soon(lambda: browser.take_back(tabs, poison))
