"""`MiniWoBEnv`: the small web pages of MiniWoB++ (Liu et al. 2018, arXiv 1802.08802).

The pages are those of the `miniwob` package, opened from its folder; the episodes, goals and
rewards are their own. See README.md in this folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.env import Frame, WorkerKind
from agentgym.envs.miniwob_names import NAMES
from agentgym.envs.web.actions import ON_PAGE
from agentgym.envs.web.base import QUIET_MS, WebEnv
from agentgym.envs.web.browser import BrowserRecipe
from agentgym.envs.web.miniwob_solvers import advice
from agentgym.envs.web.miniwob_tasks import RELOADED, Episodes, folder
from agentgym.envs.web.sight import Sight
from agentgym.envs.web.tabs import Tabs
from agentgym.errors import UsageError
from agentgym.stop_reason import StopReason
from agentgym.task import Task
from agentgym.tool import ToolCall

MAX_TURNS = 20
EPISODES = 10_000

_WIDTH, _HEIGHT = 332, 214  # a task takes 160 x 210, and its dialogs a little more
_FOREVER_MS = 1e8  # longer than any episode, and less than a browser's timers can count
_READY_SECONDS = 10.0
_FIRST_MS = 8  # how long an action gets to change anything: nothing has to come from a network
_SETTLE_MS = 1_000  # how long a page may take to come to rest
_TIMED_OUT = "timed out"

# What isn't the task's: its goal, which is told apart, and the cover and the scores.
_SKIPPED = ("#query", "#sync-task-cover", "#reward-display", "#click-canvas")

_BEGIN = """async ([seed, most, wait]) => {
    window.__agentgym.ownClipboard();  // or neighbours would paste what others copied
    window.__agentgym.forget();
    document.activeElement?.blur?.();
    Math.seedrandom(seed);
    if (window.__agentgymTime === undefined) window.__agentgymTime = core.EPISODE_MAX_TIME;
    core.EPISODE_MAX_TIME = most ?? window.__agentgymTime;
    core.startEpisodeReal();
    if (core.cover_div) core.cover_div.onclick = null;  // a click too many would begin another
    const began = performance.now();
    while (!WOB_TASK_READY) {
        if (performance.now() - began > wait) throw new Error("the task did not get ready");
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const told = core.getUtterance();
    return typeof told === "string" ? told : told.utterance;
}"""
_LOOK = """async ([first, quiet, most, options]) => {
    if (!WOB_DONE_GLOBAL) await window.__agentgym.settle(first, quiet, most);
    return {
        ...window.__agentgym.observe(options),
        done: WOB_DONE_GLOBAL, raw: WOB_RAW_REWARD_GLOBAL, decayed: WOB_REWARD_GLOBAL,
        reason: WOB_REWARD_REASON,
    };
}"""


class MiniWoBEnv(WebEnv):
    """Do what a small page asks for.

    Args:
        task: A page by name, such as "click-test", or several; all where None.
        split: "train" or "valid", whose seeds differ.
        episodes: How many seeds there are.
        time_limit: Whether the page's own time limit ends an episode, after some ten seconds.
        time_decay: Whether the reward falls with the page's clock, as in the original; only with
            `time_limit`.
        max_turns: Turns after which the episode is truncated.
        action_format: See `AgentEnv`; "call" reads BrowserGym's actions.
        expert: See `AgentEnv`; "scripted" knows what each page wants, for the pages that it knows
            (`miniwob_solvers/`), and has nothing to say on others.
        actions: What the model may do: "elements", "coordinates" (see `actions.py`).
        boxes: Whether the text says where each element lies.
        screenshot: Whether observations have an image.
        marks: Whether the image shows the elements' numbers.
        headed: Whether the browser shows a window.
        program: The browser's executable.
        instructions: See `AgentEnv`.
        render_mode: None, "ansi", or "rgb_array".

    Raises:
        UsageError: If an option is none of the above.
        MissingDependencyError: If `miniwob` or `playwright` isn't installed.
    """

    worker = WorkerKind.THREAD
    experts = ("scripted",)
    description: ClassVar[str] = (
        "You see a small web page and do what it asks for. Elements have numbers in [brackets]."
    )

    def __init__(
        self,
        *,
        task: str | Sequence[str] | None = None,
        split: str = "train",
        episodes: int = EPISODES,
        time_limit: bool = False,
        time_decay: bool = False,
        max_turns: int | None = MAX_TURNS,
        action_format: str | ActionFormat = "call",
        expert: bool | str = False,
        actions: Sequence[str] = ("elements", "coordinates"),
        boxes: bool = False,
        screenshot: bool = False,
        marks: bool = False,
        headed: bool = False,
        program: str | None = None,
        instructions: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            BrowserRecipe(_WIDTH, _HEIGHT, headed=headed, program=program),
            actions=actions,
            among=ON_PAGE,
            boxes=boxes,
            screenshot=screenshot,
            marks=marks,
            max_turns=max_turns,
            action_format=action_format,
            expert=expert,
            instructions=instructions,
            render_mode=render_mode,
        )
        if time_decay and not time_limit:
            raise UsageError("time_decay is by the page's clock, and needs time_limit=True")
        pages = NAMES if task is None else (task,) if isinstance(task, str) else tuple(task)
        self.tasks = Episodes(pages, split, episodes)
        self._folder = folder()
        self._time_limit, self._time_decay = time_limit, time_decay

    async def _start(self, tabs: Tabs, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            raise UsageError(f"MiniWoB's reset takes no option but 'task', got {sorted(options)}")
        name, seed = str(task.data["page"]), int(task.data["seed"])
        if not await tabs.turn_to(name) or name in RELOADED:
            await tabs.active.open((self._folder / f"{name}.html").as_uri())
        most = None if self._time_limit else _FOREVER_MS
        goal = await tabs.active.evaluate(_BEGIN, [seed, most, 1000 * _READY_SECONDS])
        self._task = replace(task, goal=goal)
        return await self._look(tabs, preface=goal)

    async def _turn(self, tabs: Tabs, call: ToolCall) -> Frame:
        return await self._look(tabs, error=await self._tried(tabs, call))

    async def _look(
        self, tabs: Tabs, *, error: str | None = None, preface: str | None = None
    ) -> Frame:
        asked = [_FIRST_MS, QUIET_MS, _SETTLE_MS, {"skip": list(_SKIPPED)}]
        seen = await tabs.active.evaluate(_LOOK, asked)
        timed_out = bool(seen["done"]) and seen["reason"] == _TIMED_OUT
        reward = float(seen["decayed" if self._time_decay else "raw"]) if seen["done"] else 0.0
        ended = bool(seen["done"]) and not timed_out
        self._sight = Sight.of(seen["nodes"])
        shown = "" if seen["done"] else self._sight.text(boxes=self._boxes)
        text = self._text(shown, error, tabs.heard(), preface)
        return Frame(
            text=text,
            reward=reward,
            ended=ended,
            success=ended and float(seen["raw"]) > 0,
            limit=StopReason.TIME_LIMIT if timed_out else None,
            image=await self._image(tabs),
            action_error=error,
        )

    def _expert(self, name: str) -> ParsedAction | None:
        return advice(str(self.task.data["page"]), self.task.goal, self._sight)
