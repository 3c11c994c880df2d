"""Play the same episodes of MiniWoB++ in ours and in the peers, and compare every reward.

An episode is a page, a seed and a row of actions: clicks at random points of the page with a text
typed in between, drawn from the seed; and on the pages that our expert solves, its clicks at the
middle of what it clicks and its texts typed, so that there are rewards to compare. Compared are the
goal, and after every action the raw reward and whether the episode has ended. The peers load
the page for every episode, and wait after an action, as ours does until the page has come to rest;
BrowserGym's browsers stay.
"""

import re
import sys
import time
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from web_crew import CrewError, Process, Way
from web_players import PAGE_SEEDS, Action, page_seed

OURS = Way("ours", "agentgym")
PEERS = (
    Way("BrowserGym", "browsergym", {"slow_mo": 0, "pre_observation_delay": 0.5, "keep": True}),
    Way("Farama", "farama", {"load": True, "wait_ms": 500.0}),
)
CLICKS = 8
WORDS = ("abc", "42", "Ann", "hello world", "x")
_WIDTH, _TOP, _HEIGHT = 160, 50, 210  # of the page; above its top there is only the goal
_SECONDS = 180.0

Played: TypeAlias = list[dict[str, Any]] | str
"""What was seen of an episode, or why it couldn't be played."""


_EXPERT_CALL = re.compile(r"(?P<name>click|fill)\((?P<element>\d+)(?:, (?P<text>'.*'))?\)")


@dataclass(frozen=True, slots=True)
class Episode:
    """A page, BrowserGym's seed, and what is done; `solved` where the expert does it."""

    page: str
    seed: int
    actions: tuple[Action, ...]
    solved: bool = False

    def __str__(self) -> str:
        return f"{self.page}/{self.seed}{' solved' if self.solved else ''}"


def at_random(page: str, seed: int) -> Episode:
    """Return an episode of clicks and a text."""
    dice = Random(f"{page}/{seed}")
    points = [
        ("click", dice.randrange(_WIDTH), dice.randrange(_TOP, _HEIGHT)) for _ in range(CLICKS)
    ]
    half = CLICKS // 2
    return Episode(page, seed, (*points[:half], ("type", dice.choice(WORDS)), *points[half:]))


def solved(pages: Sequence[str], seed: int) -> Iterator[Episode]:
    """Give an episode of each page that the expert solves by clicking and filling in alone."""
    import agentgym

    env = agentgym.make(
        "agentgym/MiniWoB-v0", task=pages, episodes=PAGE_SEEDS, expert="scripted", boxes=True
    )
    try:
        for page in pages:
            observation, info = env.reset(options={"task": f"{page}/{page_seed(seed)}"})
            actions: list[Action] = []
            while info["stop_reason"] is None:
                told = info["expert_action"]
                done = None if told is None else by_points(told, observation["text"])
                if done is None:
                    break
                actions += done
                observation, _, _, _, info = env.step(told)
            if info["success"]:
                yield Episode(page, seed, tuple(actions), solved=True)
    finally:
        env.close()


def by_points(call: str, text: str) -> list[Action] | None:
    """Return an expert's call as actions of every player.

    Args:
        call: Such as "click(3)".
        text: Of the page, with boxes.

    Returns:
        None where it is another call, or where the element has to be scrolled to.
    """
    match = _EXPERT_CALL.fullmatch(call)
    if match is None:
        return None
    line = re.search(rf"^ *\[{match['element']}\] .* at \((.*)\)$", text, re.MULTILINE)
    if line is None or "offscreen" in line[0].split():
        return None
    x, y, width, height = (int(part) for part in line[1].split(", "))
    click = ("click", x + width // 2, y + height // 2)
    return [click] if match["text"] is None else [click, ("type", literal_eval(match["text"]))]


def played(way: Way, episodes: Sequence[Episode], seconds: float) -> dict[Episode, Played]:
    """Return what one implementation shows of episodes.

    Args:
        way: The implementation.
        episodes: In the order in which they are played.
        seconds: When to stop; what isn't played then is left out.
    """
    until = time.monotonic() + seconds
    shown: dict[Episode, Played] = {}
    process: Process | None = None
    for number, episode in enumerate(episodes, 1):
        if time.monotonic() > until:
            break
        process = process or Process(way, 1)
        arguments = (episode.page, episode.seed, episode.actions)
        try:
            (seen,) = process.call("play", *arguments, seconds=_SECONDS)
        except CrewError as fault:
            process.close()
            process, seen = None, str(fault)
        shown[episode] = seen
        if number % 25 == 0:
            print(f"{way.name}: {number}/{len(episodes)}", file=sys.stderr, flush=True)
    if process:
        process.close()
    return shown


def difference(ours: Played, theirs: Played) -> str | None:
    """Return where two plays of an episode part, or None where they are the same."""
    if isinstance(ours, str) or isinstance(theirs, str):
        return "; ".join(f"not played: {one}" for one in (ours, theirs) if isinstance(one, str))
    if ours[0]["goal"].split() != theirs[0]["goal"].split():
        return f"goal {ours[0]['goal']!r}, theirs {theirs[0]['goal']!r}"
    for step, (one, two) in enumerate(zip(ours, theirs, strict=False)):
        mine, other = (one["raw"], one["done"]), (two["raw"], two["done"])
        if mine != other:
            return f"after action {step}: ours {_told(*mine)}, theirs {_told(*other)}"
    return None


def _told(raw: float, done: bool) -> str:
    return f"{raw:g}, {'ended' if done else 'goes on'}"


def report(name: str, ours: Mapping[Episode, Played], theirs: Mapping[Episode, Played]) -> str:
    """Return how many pages agree with a peer, of those that both played, and where others part."""
    episodes = sorted(ours.keys() & theirs.keys(), key=str)
    parts = {episode: difference(ours[episode], theirs[episode]) for episode in episodes}
    differing = {episode.page for episode, told in parts.items() if told is not None}
    pages = {episode.page for episode in episodes}
    shown = [seen for one in episodes if not isinstance(seen := ours[one], str)]
    steps = sum(len(seen) - 1 for seen in shown)
    ended = [seen[-1]["raw"] for seen in shown if seen[-1]["done"]]
    lines = [
        f"{name}: {len(pages) - len(differing)} of {len(pages)} pages agree, in {len(episodes)} "
        f"episodes of {steps} actions in all; {len(ended)} ended, "
        f"{sum(raw > 0 for raw in ended)} of them with a reward above 0",
        *(f"  {one}: {told}" for one, told in parts.items() if told is not None),
    ]
    return "\n".join(lines)


def compare(pages: Sequence[str], seeds: int, minutes: float) -> None:
    """Print how far the rewards agree.

    Args:
        pages: By name.
        seeds: Of each page, for random clicks; the expert plays one.
        minutes: How long each implementation may play; all play at the same time.
    """
    # In no order, so that what there is time for says something about the rest.
    pages = Random(0).sample(sorted(pages), len(pages))
    solutions = {episode.page: episode for episode in solved(pages, seeds)}
    episodes: list[Episode] = []
    for page in pages:
        episodes += [at_random(page, seed) for seed in range(seeds)]
        episodes += [solutions[page]] if page in solutions else []
    ways = (OURS, *PEERS)
    with ThreadPoolExecutor(len(ways)) as threads:
        ours, *others = threads.map(lambda way: played(way, episodes, 60 * minutes), ways)
    for peer, theirs in zip(PEERS, others, strict=True):
        print(report(peer.name, ours, theirs), flush=True)
