"""MiniWoB++'s pages as environments: goals, rewards, seeds, experts, and a browser that dies."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

import agentgym
from agentgym.envs.miniwob_names import NAMES, env_id
from agentgym.envs.web import browser
from agentgym.envs.web.driver import driver
from agentgym.envs.web.miniwob import MiniWoBEnv
from agentgym.envs.web.miniwob_solvers import EXPERTS
from agentgym.envs.web.miniwob_tasks import Episodes
from agentgym.envs.web.page import WebPage
from agentgym.errors import InfraError, UnknownNameError, UsageError
from agentgym.policies.scripted import ScriptedPolicy
from agentgym.policy import Completion, Request
from agentgym.progress import Display
from agentgym.rollout import RolloutConfig, collect
from agentgym.stop_reason import StopReason

pytestmark = pytest.mark.integration


@pytest.fixture
def click_test() -> Iterator[MiniWoBEnv]:
    env = MiniWoBEnv(task="click-test")
    yield env
    env.close()


def test_every_page_has_an_id() -> None:
    ids = [name for name in agentgym.list_envs() if name.startswith("agentgym/MiniWoB-")]
    assert len(NAMES) == 125
    assert set(ids) == {"agentgym/MiniWoB-v0", *map(env_id, NAMES)}
    env = agentgym.make("agentgym/MiniWoB-ClickTest2-v0")
    assert env.tasks[3].id == "click-test-2/3"


def test_an_episode_from_goal_to_reward(click_test: MiniWoBEnv) -> None:
    observation, info = click_test.reset(seed=0)
    assert observation["text"] == 'Click the button.\n[1] button "Click Me!"'
    assert click_test.task.goal == "Click the button."
    assert info["success"] is False
    observation, reward, terminated, truncated, info = click_test.step("click(1)")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["stop_reason"] is StopReason.SUCCESS


def test_what_cannot_be_done_is_told_and_costs_a_turn(click_test: MiniWoBEnv) -> None:
    click_test.reset(seed=0)
    observation, reward, terminated, _, info = click_test.step("click(7)")
    assert info["action_error"] == ('Element [7] does not exist; near it: [1] button "Click Me!".')
    assert info["action_error"] in observation["text"]
    assert '[1] button "Click Me!"' in observation["text"]
    assert (reward, terminated, info["turn"]) == (0.0, False, 1)


def test_a_wrong_click_is_a_failure() -> None:
    env = MiniWoBEnv(task="click-test-2")
    observation, _ = env.reset(options={"task": 1})
    assert observation["text"].splitlines() == [
        "Click button ONE.",
        '[1] button "ONE"',
        '[2] button "TWO"',
    ]
    _, reward, terminated, _, info = env.step("click(2)")
    assert (reward, terminated, info["stop_reason"]) == (-1.0, True, StopReason.FAILURE)
    env.close()


@pytest.mark.parametrize("page", NAMES)
def test_the_same_seed_is_the_same_page_whatever_was_there_before(page: str) -> None:
    one, other = MiniWoBEnv(task=page), MiniWoBEnv(task=page)
    try:
        first = one.reset(options={"task": 5})[0]["text"]
        one.step("mouse_click(80, 120)")
        one.reset(options={"task": 2})
        assert one.reset(options={"task": 5})[0]["text"] == first
        assert other.reset(options={"task": 5})[0]["text"] == first
    finally:
        one.close()
        other.close()


def test_pages_take_turns_and_are_as_they_are_alone() -> None:
    pages = ("click-test-2", "enter-text", "use-slider", "click-link")
    several = MiniWoBEnv(task=pages, expert=True)
    for round_ in (1, 2):
        for page in pages:
            alone = MiniWoBEnv(task=page)
            task = f"{page}/{round_}"
            observation, info = several.reset(options={"task": task})
            assert observation["text"] == alone.reset(options={"task": task})[0]["text"]
            alone.close()
            while info["stop_reason"] is None:
                _, reward, _, _, info = several.step(info["expert_action"])
            assert reward == 1.0
    several.close()


@pytest.mark.parametrize("page", EXPERTS)
def test_the_expert_solves_its_page(page: str) -> None:
    env = MiniWoBEnv(task=page, expert=True)
    for task in range(2):
        _, info = env.reset(options={"task": task})
        reward = 0.0
        while info["stop_reason"] is None:
            assert info["expert_action"] is not None, env.render()
            _, reward, _, _, info = env.step(info["expert_action"])
        assert reward == 1.0
    env.close()


def test_a_click_too_many_begins_no_other_episode(click_test: MiniWoBEnv) -> None:
    click_test.reset(seed=0)
    _, reward, terminated, _, _ = click_test.step("dblclick(1)")
    assert (reward, terminated) == (1.0, True)


def test_dragging_over_words_selects_them_and_the_text_says_so() -> None:
    env = MiniWoBEnv(task="highlight-text")
    env.reset(options={"task": 0})
    node = env._sight.first("text")
    assert node is not None
    assert node.box is not None
    left, top, width, height = node.box
    middle = top + height / 2
    env.step(f"mouse_down({left + 1}, {middle})")
    env.step(f"mouse_move({left + width / 2}, {middle})")
    observation = env.step(f"mouse_up({left + width - 1}, {middle})")[0]
    assert f'{node.name}" selection="{node.name}"' in observation["text"]
    env.close()


def test_a_menu_shows_which_of_its_items_has_the_keys() -> None:
    env = MiniWoBEnv(task="click-menu")
    env.reset(options={"task": 1})
    assert '"Alvera" active' in env.step("hover(7)")[0]["text"]
    assert 'menuitem "Terza"' in env.step('press(1, "ArrowRight")')[0]["text"]
    env.close()


def test_a_button_of_drawings_shows_its_class() -> None:
    env = MiniWoBEnv(task="text-editor")
    text = env.reset(options={"task": 0})[0]["text"]
    assert 'button class="ql-bold"' in text
    env.close()


def test_the_page_s_own_time_limit_truncates() -> None:
    env = MiniWoBEnv(task="click-test", time_limit=True)
    env.reset(seed=0)
    assert env._loan is not None
    page = env._loan.tabs.active
    driver().run(
        page.evaluate("() => { window.__agentgymTime = 300 }"), stage="t", what="page", seconds=5
    )
    env.reset(seed=0)
    driver().run(
        page.evaluate("() => new Promise((done) => setTimeout(done, 400))"),
        stage="wait",
        what="page",
        seconds=5,
    )
    _, reward, terminated, truncated, info = env.step("noop()")
    assert (reward, terminated, truncated) == (-1.0, False, True)
    assert info["stop_reason"] is StopReason.TIME_LIMIT
    env.close()


def test_screenshots_are_observations_where_they_are_asked_for() -> None:
    env = MiniWoBEnv(task="click-color", screenshot=True)
    observation, _ = env.reset(seed=0)
    assert "image" in observation
    assert env.observation_space.contains(observation)
    assert observation["image"].std() > 10
    env.close()


def browser_processes() -> list[int]:
    """Return the browsers that this process has started, the main process of each."""
    found: list[int] = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        mine = f"--agentgym-owner={os.getpid()}".encode()
        if mine in words and not any(w.startswith(b"--type=") for w in words):
            found.append(int(name))
    return found


def test_a_browser_that_is_killed_is_nobody_s_reward_and_heals() -> None:
    envs = [MiniWoBEnv(task="click-test") for _ in range(8)]
    for env in envs:
        env.reset(seed=0)
    killed = browser_processes()
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    def step(env: MiniWoBEnv) -> Any:
        try:
            return env.step("click(1)")
        except InfraError as fault:
            return fault

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(step, envs))
    assert all(isinstance(outcome, InfraError) for outcome in outcomes)
    for env in envs:
        env.reset(seed=0)
        assert env.step("click(1)")[1] == 1.0
        env.close()


class KillsTheBrowser(ScriptedPolicy):
    """Clicks ONE, which is right, or TWO; kills the browser once all episodes have begun."""

    wants_expert = None

    def __init__(self, episodes: int) -> None:
        self._episodes = episodes
        self._waiting: set[str] = set()
        self._all_there = asyncio.Event()
        self.killed = 0

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self._waiting |= {request.episode for request in requests}
        if len(self._waiting) == self._episodes and not self._all_there.is_set():
            for pid in browser_processes():
                os.kill(pid, signal.SIGKILL)
                self.killed += 1
            self._all_there.set()
        async with asyncio.timeout(300):
            await self._all_there.wait()
        return [Completion(self._answer(request)) for request in requests]

    def _answer(self, request: Request) -> str:
        seed = int(request.task_id.partition("/")[2])
        wanted = "ONE" if seed % 2 else "TWO"
        text = str(request.messages[-1]["content"])
        line = next(each for each in text.splitlines() if each.endswith(f'"{wanted}"'))
        return f"click({line.partition(']')[0].strip()[1:]})"


def test_episodes_whose_browser_is_killed_all_end_with_what_they_earned() -> None:
    count = 32
    policy = KillsTheBrowser(count)
    trajectories = collect(
        "agentgym/MiniWoB-ClickTest2-v0",
        policy,
        count,
        config=RolloutConfig(concurrency=count),
        tasks=list(range(count)),
        display=Display.OFF,
    )
    assert policy.killed >= 1
    assert [t.attempts for t in trajectories] == [2] * count
    for number, trajectory in enumerate(trajectories):
        right = number % 2 == 1
        assert trajectory.reward == (1.0 if right else -1.0)
        assert trajectory.stop_reason is (StopReason.SUCCESS if right else StopReason.FAILURE)
        assert len(trajectory.turns) == 1


def test_a_browser_that_hangs_is_ended_and_another_one_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browser, "_CONTEXT_SECONDS", 3.0)
    recipe = {"program": browser.executable(), "task": "click-test"}  # a browser of its own
    first, second = MiniWoBEnv(**recipe), MiniWoBEnv(**recipe)
    before = set(browser_processes())
    first.reset(seed=0)
    (hung,) = set(browser_processes()) - before
    os.kill(hung, signal.SIGSTOP)
    try:
        second.reset(seed=0)
        assert hung not in browser_processes()
    finally:
        with suppress(ProcessLookupError):
            os.kill(hung, signal.SIGKILL)
    assert second.step("click(1)")[1] == 1.0
    first.close()
    second.close()


def test_a_page_that_opens_beside_the_task_is_closed(click_test: MiniWoBEnv) -> None:
    click_test.reset(seed=0)
    assert click_test._loan is not None
    tabs = click_test._loan.tabs
    page, pages = tabs.active, len(tabs._pages)
    opens = "() => { window.open('about:blank') }"
    driver().run(page.evaluate(opens), stage="t", what="page", seconds=5)
    assert '[1] button "Click Me!"' in click_test.step("noop()")[0]["text"]
    assert tabs.active is page
    assert len(tabs._pages) == pages
    assert driver().run(siblings_in_the_end(page, pages), stage="t", what="page", seconds=20)


async def siblings_in_the_end(page: WebPage, count: int) -> bool:
    """Say whether a page's context comes to have so many."""
    for _ in range(200):
        if await page.siblings() == count:
            return True
        await asyncio.sleep(0.05)
    return False


def test_neighbours_do_not_share_a_clipboard() -> None:
    envs = [MiniWoBEnv(task="copy-paste") for _ in range(2)]
    texts = [env.reset(options={"task": seed})[0]["text"] for seed, env in enumerate(envs)]
    fields = [re.findall(r"\[(\d+)\] textbox", text) for text in texts]
    for env, (source, _) in zip(envs, fields, strict=True):
        env.step(f'press({source}, "Control+a")')
        env.step(f'press({source}, "Control+c")')
    for env, text, (_, target) in zip(envs, texts, fields, strict=True):
        wanted = next(
            line for line in text.splitlines() if "value=" in line and "multiline" in line
        )
        seen = env.step(f'press({target}, "Control+v")')[0]["text"]
        pasted = next(line for line in seen.splitlines() if line.strip().startswith(f"[{target}]"))
        assert re.search(r'value="(.*)"', pasted)[1] == re.search(r'value="(.*)"', wanted)[1]
        env.close()


def test_the_reward_falls_with_the_clock_where_it_is_asked_to() -> None:
    env = MiniWoBEnv(task="click-test", time_limit=True, time_decay=True)
    env.reset(seed=0)
    assert env._loan is not None
    wait = "() => new Promise((done) => setTimeout(done, 500))"
    driver().run(env._loan.tabs.active.evaluate(wait), stage="t", what="page", seconds=5)
    reward = env.step("click(1)")[1]
    assert 0 < reward < 1
    env.close()


def test_what_there_is_none_of_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'click-test'"):
        MiniWoBEnv(task="clicktest")
    with pytest.raises(UnknownNameError, match="split"):
        MiniWoBEnv(task="click-test", split="test")
    with pytest.raises(UsageError, match="time_limit"):
        MiniWoBEnv(task="click-test", time_decay=True)


def test_splits_share_no_seed() -> None:
    pages = ("click-test", "click-link")
    train, valid = Episodes(pages, "train", 3), Episodes(pages, "valid", 3)
    assert [train[i].id for i in range(4)] == [
        "click-test/0",
        "click-link/0",
        "click-test/1",
        "click-link/1",
    ]
    assert valid[0].id == "click-test/1000000000"
    assert all(train.find(train[i].id) == i for i in range(len(train)))
    with pytest.raises(UnknownNameError):
        train.find(valid[0].id)
