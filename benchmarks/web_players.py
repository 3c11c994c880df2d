"""MiniWoB++ in agentgym, in BrowserGym and in Farama's `miniwob`, played by the same calls.

An action is `["click", x, y]`, in the page's own pixels, or `["type", text]`. A player's seed is
BrowserGym's: it draws from it what the page's generator is given, and the others are given what it
draws, so that all three show the same episode. No player's clock ends an episode.

This file is run as a program that reads calls and writes what its players give to them, a line of
JSON each (`web_crew.py`). It runs where only one of the three is installed:

    python benchmarks/web_players.py agentgym '{"screenshot": true}' 16
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

PAGE = "click-checkboxes-large"
TOGGLE = ("click", 16, 61)
"""Its first checkbox, which lies there whatever the seed."""

PAGE_SEEDS = 1_000_000
_FOREVER_MS = 10**8

Action = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a player sees after a reset or an action, of what all three tell alike."""

    goal: str
    raw: float
    done: bool


class Player(Protocol):
    """One context of a browser, and the episode in it."""

    def reset(self, page: str, seed: int) -> Seen:
        """Start an episode and observe it."""
        ...

    def act(self, action: Action) -> Seen:
        """Take a step and observe what it did."""
        ...

    def close(self) -> None:
        """Let the browser go."""
        ...


def page_seed(seed: int) -> int:
    """Return what BrowserGym seeds the page with where it is given a seed itself."""
    import numpy as np

    return int(np.random.RandomState(seed).randint(0, PAGE_SEEDS))


class Agentgym:
    """Ours; all players of a process share a browser.

    Args:
        screenshot: Whether it looks at the page.
    """

    def __init__(self, *, screenshot: bool = False) -> None:
        import agentgym

        self._env = agentgym.make(
            "agentgym/MiniWoB-v0", episodes=PAGE_SEEDS, max_turns=None, screenshot=screenshot
        )

    def reset(self, page: str, seed: int) -> Seen:
        """See `Player`."""
        self._env.reset(options={"task": f"{page}/{page_seed(seed)}"})
        return Seen(self._env.task.goal, 0.0, False)

    def act(self, action: Action) -> Seen:
        """See `Player`."""
        _, reward, terminated, _, _ = self._env.step(_call(action))
        return Seen(self._env.task.goal, reward, terminated)

    def close(self) -> None:
        """See `Player`."""
        self._env.close()


class BrowserGym:
    """BrowserGym's, which starts two browsers for every episode.

    Args:
        keep: Whether these stay for the next episode, which has contexts of its own in them: most
            of an episode is their start, where nobody measures it.
        options: For its environment.
    """

    def __init__(self, *, keep: bool = False, **options: Any) -> None:
        import browsergym.miniwob  # noqa: F401
        from browsergym.core.action.highlevel import (
            HighLevelActionSet,
        )
        from playwright.sync_api import Browser, BrowserType

        launch, kept = BrowserType.launch, dict[str, Any]()

        def with_debians(self: Any, **given: Any) -> Any:
            name = repr(given)
            if name not in kept:
                given["executable_path"] = shutil.which("chromium")
                started = launch(self, **given)
                if not keep:
                    return started
                kept[name] = started
            return kept[name]

        # Its environment takes an executable, its chat window takes none.
        BrowserType.launch = with_debians
        if keep:
            Browser.close = lambda self: None
        known = HighLevelActionSet(subsets=["miniwob_all"], multiaction=False)
        self._options = {"action_mapping": known.to_python_code, **options}
        self._env: Any = None
        self._page = ""

    def reset(self, page: str, seed: int) -> Seen:
        """See `Player`."""
        import gymnasium

        if self._page != page:
            self.close()
            self._env = gymnasium.make(
                f"browsergym/miniwob.{page}", disable_env_checker=True, **self._options
            )
            self._page = page
        observation, info = self._env.reset(seed=seed)
        return self._seen(observation, info)

    def act(self, action: Action) -> Seen:
        """See `Player`."""
        # It takes points on its screenshot, which is larger than the page.
        scale = self._env.unwrapped.page._bgym_scale_factor
        observation, _, _, _, info = self._env.step(_call(action, scale))
        if observation["last_action_error"]:
            raise RuntimeError(observation["last_action_error"])
        return self._seen(observation, info)

    def _seen(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Seen:
        told = info["task_info"]
        return Seen(observation["goal"], float(told["RAW_REWARD_GLOBAL"]), told["DONE_GLOBAL"])

    def close(self) -> None:
        """See `Player`."""
        if self._env is not None:
            self._env.close()
            self._env = None


class Farama:
    """The original, on Selenium; one browser for each page.

    Args:
        load: Whether every episode begins with the page loaded anew, which it does by itself only
            if told to: some pages remember the last episode.
        options: For its environment.
    """

    def __init__(self, *, load: bool = False, **options: Any) -> None:
        import miniwob  # noqa: F401

        os.environ["MINIWOB_CHROME_BINARY"] = shutil.which("chromium") or "chromium"
        os.environ["MINIWOB_CHROMEDRIVER"] = shutil.which("chromedriver") or "chromedriver"
        self._load, self._options = load, options
        self._env: Any = None
        self._page = ""

    def reset(self, page: str, seed: int) -> Seen:
        """See `Player`."""
        import gymnasium

        opened = self._page != page
        if opened:
            self.close()
            self._env = gymnasium.make(
                f"miniwob/{page}-v1", disable_env_checker=True, **self._options
            )
            self._page = page
        instance = self._env.unwrapped.instance
        if self._load:
            instance.driver.get(instance.url)
        if self._load or opened:
            instance.driver.execute_script(f"core.EPISODE_MAX_TIME = {_FOREVER_MS};")
        observation, info = self._env.reset(seed=page_seed(seed))
        return Seen(observation["utterance"], 0.0, info["done"])

    def act(self, action: Action) -> Seen:
        """See `Player`."""
        from miniwob.action import ActionTypes

        kind, *values = action
        wanted = ActionTypes.CLICK_COORDS if kind == "click" else ActionTypes.TYPE_TEXT
        made = {
            "action_type": self._env.unwrapped.action_space_config.action_types.index(wanted),
            **({"coords": values} if kind == "click" else {"text": values[0]}),
        }
        observation, _, done, _, info = self._env.step(made)
        return Seen(observation["utterance"], float(info["raw_reward"]), done)

    def close(self) -> None:
        """See `Player`."""
        if self._env is not None:
            self._env.close()
            self._env = None


def _call(action: Action, scale: float = 1.0) -> str:
    """Return an action as ours and BrowserGym's write it."""
    kind, *values = action
    if kind == "click":
        x, y = values
        return f"mouse_click({scale * x}, {scale * y})"
    return f"keyboard_type({json.dumps(values[0])})"


# What is asked of a player. Each gives what JSON can hold.


def begin(player: Player) -> None:
    """Start an episode and take a step: whatever is made once is made now."""
    player.reset(PAGE, 0)
    player.act(TOGGLE)


def steps(player: Player, seconds: float) -> list[float]:
    """Take steps for so long, one at least, and return what each took, in seconds."""
    spent: list[float] = []
    until = time.perf_counter() + seconds
    while not spent or time.perf_counter() < until:
        began = time.perf_counter()
        player.act(TOGGLE)
        spent.append(time.perf_counter() - began)
    return spent


def episodes(player: Player, seconds: float) -> list[tuple[float, float]]:
    """Play episodes of one step for so long, one at least.

    Returns:
        What each reset and each whole episode took, in seconds.
    """
    spent: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while not spent or time.perf_counter() < until:
        began = time.perf_counter()
        player.reset(PAGE, len(spent))
        reset = time.perf_counter() - began
        player.act(TOGGLE)
        spent.append((reset, time.perf_counter() - began))
    return spent


def play(player: Player, page: str, seed: int, actions: Sequence[Action]) -> list[dict[str, Any]]:
    """Return what a player sees of an episode, until it ends or the actions do."""
    seen = [player.reset(page, seed)]
    for action in actions:
        if seen[-1].done:
            break
        seen.append(player.act(action))
    return [asdict(one) for one in seen]


PLAYERS: Mapping[str, Callable[..., Player]] = {
    "agentgym": Agentgym,
    "browsergym": BrowserGym,
    "farama": Farama,
}
CALLS: Mapping[str, Callable[..., Any]] = {
    "begin": begin,
    "steps": steps,
    "episodes": episodes,
    "play": play,
}


def answer(players: Sequence[Player], threads: ThreadPoolExecutor, line: str) -> str:
    """Return what each player gives to a call, or what went wrong."""
    name, *arguments = json.loads(line)
    call = CALLS[name]
    try:
        told = {"value": list(threads.map(lambda player: call(player, *arguments), players))}
    except Exception as fault:
        told = {"error": f"{type(fault).__name__}: {fault}"}
    return json.dumps(told)


def main() -> None:
    """Answer calls until there are no more."""
    kind, options, count = PLAYERS[sys.argv[1]], json.loads(sys.argv[2]), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    # A peer's player belongs to the thread that first used it, and is the only one there.
    with ThreadPoolExecutor(count) as threads:
        players = list(threads.map(lambda _: kind(**options), range(count)))
        for line in sys.stdin:
            print(answer(players, threads, line), file=answers)
        list(threads.map(lambda player: player.close(), players))


if __name__ == "__main__":
    main()
