"""`BrowserEnv`: any page as an environment: where it begins, what is asked for, and a judge."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

from agentgym.actions import ActionFormat
from agentgym.env import Frame, WorkerKind
from agentgym.envs.web.actions import GROUPS, INFEASIBLE, SEND, UPLOAD
from agentgym.envs.web.base import QUIET_MS, TURN_SECONDS, WebEnv
from agentgym.envs.web.browser import BrowserRecipe
from agentgym.envs.web.hosts import Hosts
from agentgym.envs.web.judges import Judge, Judgement, Visit
from agentgym.envs.web.styles import Style, changes, cut, short
from agentgym.envs.web.tabs import Tab, Tabs
from agentgym.envs.web.web_tasks import WebTask, demo_task, read_tasks, task_list
from agentgym.errors import UnknownNameError, UsageError
from agentgym.task import Task
from agentgym.tool import ToolCall

MAX_TURNS = 30
MAX_CHARS = 20_000


class BrowserEnv(WebEnv):
    """Do something in a browser.

    Args:
        url: Where an episode begins.
        goal: What is asked for.
        judge: How well it is done: a function of a `Visit`, or conditions; see `judges.py`.
        tasks: Several tasks in the place of these three, or a file of them (`read_tasks`). Without
            either there is one task, on a page that comes with the package.
        hosts: Where the browser may go, besides where its tasks begin: "example.org",
            "*.example.org", "127.0.0.1:8000"; "*" for anywhere. Nothing else is reached, by
            whatever means.
        judged: When the judge is asked: "always", after every turn, or at the "end", when the model
            says that it is done or its turns are over. A judge that asks after every turn ends the
            episode once all is done.
        actions: What the model may do: groups of `actions.GROUPS`.
        uploads: Files that it may upload, by the names that it knows them by.
        style: How a page is written: "tree", "html" or "changes"; see `styles.py`.
        max_chars: Most characters of a page; what is beyond is left out, and said to be.
        boxes: Whether the text says where each element lies; not with "html".
        screenshot: Whether observations have an image.
        marks: Whether the image shows the elements' numbers.
        width: Of the page, in CSS pixels.
        height: Of the page.
        settle_seconds: How long a page may take to come to rest after an action.
        max_turns: Turns after which the episode is truncated.
        action_format: See `AgentEnv`; "call" reads BrowserGym's actions.
        headed: Whether the browser shows a window.
        program: The browser's executable.
        expert: See `AgentEnv`; there is none.
        instructions: See `AgentEnv`.
        render_mode: None, "ansi" or "rgb_array".

    Raises:
        UsageError: If an option is none of the above.
        MissingDependencyError: If `playwright` isn't installed.
    """

    worker = WorkerKind.THREAD
    description: ClassVar[str] = (
        "You use a web browser to do what is asked for. Elements have numbers in [brackets]."
    )

    def __init__(
        self,
        *,
        url: str | None = None,
        goal: str | None = None,
        judge: Judge | Mapping[str, Any] | None = None,
        tasks: Sequence[WebTask] | str | Path | None = None,
        hosts: Sequence[str] = (),
        judged: str = "always",
        actions: Sequence[str] = ("elements", "navigation", "tabs", "chat"),
        uploads: Mapping[str, str | Path] | None = None,
        style: str = "tree",
        max_chars: int = MAX_CHARS,
        boxes: bool = False,
        screenshot: bool = False,
        marks: bool = False,
        width: int = 1280,
        height: int = 720,
        settle_seconds: float = 5.0,
        max_turns: int | None = MAX_TURNS,
        action_format: str | ActionFormat = "call",
        headed: bool = False,
        program: str | None = None,
        expert: bool | str = False,
        instructions: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        chosen = _tasks(url, goal, judge, tasks)
        beginnings = [host for task in chosen for host in task.hosts]
        allowed = Hosts.of([*hosts, *beginnings]) if not isinstance(hosts, str) else Hosts.of(hosts)
        super().__init__(
            BrowserRecipe(width, height, headed=headed, program=program, hosts=allowed, fresh=True),
            actions=actions,
            among=GROUPS,
            boxes=boxes,
            screenshot=screenshot,
            marks=marks,
            max_turns=max_turns,
            action_format=action_format,
            expert=expert,
            instructions=instructions,
            render_mode=render_mode,
        )
        if style not in list(Style):
            raise UnknownNameError("style", style, list(Style))
        if judged not in ("always", "end"):
            raise UsageError(f'judged is "always" or "end", got {judged!r}')
        if min(max_chars, width, height) < 1 or not settle_seconds > 0:
            raise UsageError("max_chars, width, height and settle_seconds must be above 0")
        self.tasks = task_list(chosen)
        self._style, self._max_chars = Style(style), max_chars
        self._always, self._settle_seconds = judged == "always", settle_seconds
        self._uploads = _files(uploads or {})
        if self._uploads:
            self.tools = (*self.tools, *UPLOAD)
        self._judgement: Judgement | None = None
        self._before: tuple[str, str] | None = None  # the page that was shown, and its text

    async def _start(self, tabs: Tabs, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            raise UsageError(f"Browser's reset takes no option but 'task', got {sorted(options)}")
        given = cast("WebTask", task.data["task"])
        self._judgement, self._before = Judgement(given.judge), None
        tabs.offer(self._uploads)
        before = tabs.pending()
        await tabs.active.open(given.url, whole=False)
        text, _ = await self._look(tabs, before)
        tabs.failures()  # of frames that were told of already, or of nobody's doing
        image = await self._image(tabs)
        return Frame(self._text(text, None, tabs.heard(), f"Goal: {given.goal}"), image=image)

    async def _turn(self, tabs: Tabs, call: ToolCall) -> Frame:
        told, reason = _said(call)
        over = told is not None or reason is not None
        before, error = tabs.pending(), None
        if not over:
            error = await self._tried(tabs, call)
        text, visit = await self._look(tabs, before, told, reason)
        error = error or next(iter(tabs.failures()), None)
        last = self._turns == self.max_turns
        value = 0.0
        if self._always or over or last:
            value = await self._value(tabs, visit)
        ended = over or value == 1
        return Frame(
            text=self._text(text, error, tabs.heard()),
            # What is done in part counts once nothing can be added.
            reward=value if ended or last else 0.0,
            ended=ended,
            success=value == 1,
            image=await self._image(tabs),
            action_error=error,
        )

    def _rejected(self, error: str) -> Frame:
        """Tell what was wrong; where it was the last turn, what is done by then still counts."""
        frame = super()._rejected(error)
        if self._turns != self.max_turns or self._loan is None:
            return frame
        value = self._run("step", self._value_as_it_is(self._loan.tabs), TURN_SECONDS)
        return replace(frame, reward=value, ended=value == 1, success=value == 1)

    async def _value_as_it_is(self, tabs: Tabs) -> float:
        _, visit = await self._look(tabs, tabs.pending())
        return await self._value(tabs, visit)

    async def _value(self, tabs: Tabs, visit: Visit) -> float:
        assert self._judgement is not None
        return await self._judgement.value(visit, tabs.active.tried)

    async def _look(
        self,
        tabs: Tabs,
        before: frozenset[Any],
        message: str | None = None,
        infeasible: str | None = None,
    ) -> tuple[str, Visit]:
        """Return what the model reads, and what the judge sees."""
        self._sight = await tabs.read(
            quiet_ms=QUIET_MS, seconds=self._settle_seconds, before=before
        )
        known = await tabs.known()
        active = next(tab for tab in known if tab.active)
        whole = self._sight.text()
        page = now = self._sight.text(boxes=self._boxes)
        if self._style is Style.HTML:
            page = await tabs.active.html()
        elif self._style is Style.CHANGES:
            if self._before is not None and self._before[0] == active.url:
                page = changes(self._before[1], now)
            self._before = active.url, now
        text = f"{_tabs(known)}\n{cut(page, self._max_chars)}"
        return text, Visit(active.url, active.title, whole, message, infeasible)


def _tasks(
    url: str | None,
    goal: str | None,
    judge: Judge | Mapping[str, Any] | None,
    tasks: Sequence[WebTask] | str | Path | None,
) -> list[WebTask]:
    alone = (url, goal, judge)
    if tasks is not None:
        if alone != (None, None, None):
            raise UsageError("Give either tasks, or url, goal and judge of one task.")
        return read_tasks(tasks) if isinstance(tasks, str | Path) else list(tasks)
    if alone == (None, None, None):
        return [demo_task()]
    if url is None or goal is None or judge is None:
        raise UsageError("A task needs all three: url, goal and judge.")
    return [WebTask(url, goal, judge)]


def _files(uploads: Mapping[str, str | Path]) -> dict[str, Path]:
    files = {name: Path(path) for name, path in uploads.items()}
    for name, path in files.items():
        if not path.is_file():
            raise UsageError(f"There is no file at {path}, which uploads names {name!r}")
    return files


def _said(call: ToolCall) -> tuple[str | None, str | None]:
    """Return the message to the user, and why the task can't be done, where the call is one."""
    message = str(call.arguments["text"]) if call.name == SEND else None
    return message, str(call.arguments["reason"]) if call.name == INFEASIBLE else None


def _tabs(known: Sequence[Tab]) -> str:
    """Write which tabs there are, and which of them is shown."""
    named = [f'"{tab.title}" {short(tab.url, 200)}' for tab in known]
    if len(known) == 1:
        return f"Page: {named[0]}"
    return "\n".join(
        f"Tab {index}{' (shown)' if tab.active else ''}: {name}"
        for index, (tab, name) in enumerate(zip(known, named, strict=True))
    )
