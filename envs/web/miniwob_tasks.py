"""MiniWoB++'s tasks: an episode is a page and a seed.

The seed is what the page's own generator is given, so that episode 7 of `click-test` is that of
Farama's `miniwob` with seed 7. BrowserGym draws what it gives the generator from its seed.
"""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from agentgym.envs.miniwob_names import NAMES
from agentgym.errors import MissingDependencyError, UnknownNameError, UsageError
from agentgym.task import Task

RELOADED = frozenset(
    (
        *("click-pie", "drag-items", "drag-items-grid", "drag-sort-numbers", "form-sequence"),
        *("stock-market", "use-slider", "use-slider-2"),
    )
)
"""Pages that remember the last episode, which are loaded anew for every one."""

SPLITS = MappingProxyType({"train": 0, "valid": 1_000_000_000})
"""The first seed of each; the seeds of one are never the other's."""

_ID = re.compile(r"(?P<page>[a-z0-9-]+)/(?P<seed>\d{1,10})")


def folder() -> Path:
    """Return where the package keeps its pages; the package itself isn't imported.

    Raises:
        MissingDependencyError: If it isn't installed.
    """
    found = importlib.util.find_spec("miniwob")
    if found is None or found.origin is None:
        raise MissingDependencyError("miniwob", "web")
    return Path(found.origin).parent / "html" / "miniwob"


class Episodes:
    """A task set: episodes of some pages, one page after the other.

    Args:
        pages: Names out of `NAMES`.
        split: "train" or "valid".
        count: How many episodes there are of each page.

    Raises:
        UnknownNameError: If there is no such page or split.
        UsageError: If there are no pages or no episodes.
    """

    def __init__(self, pages: Sequence[str], split: str, count: int) -> None:
        for page in pages:
            if page not in NAMES:
                raise UnknownNameError("MiniWoB task", page, NAMES)
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        if not pages or count < 1:
            raise UsageError("MiniWoB needs at least one task, and one episode of it")
        self._pages, self._first, self._count = tuple(pages), SPLITS[split], count

    def __len__(self) -> int:
        return len(self._pages) * self._count

    def __getitem__(self, index: int, /) -> Task:
        turn, which = divmod(index, len(self._pages))
        return _task(self._pages[which], self._first + turn)

    def find(self, task_id: str) -> int:
        """Return the index of an id such as "click-test/7".

        Raises:
            UnknownNameError: If it is none of these episodes.
        """
        match = _ID.fullmatch(task_id)
        if match and match["page"] in self._pages:
            turn = int(match["seed"]) - self._first
            if 0 <= turn < self._count:
                return turn * len(self._pages) + self._pages.index(match["page"])
        known = (_task(page, self._first).id for page in self._pages)
        raise UnknownNameError("task", task_id, known)


def _task(page: str, seed: int) -> Task:
    return Task(f"{page}/{seed}", page.replace("-", " "), data={"page": page, "seed": seed})
