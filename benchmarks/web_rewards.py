"""Play the same episodes of MiniWoB++ in ours and in the peers, and compare every reward.

An episode is a page, a seed and a row of clicks at random points of the page with a text typed in
between, drawn from the seed. Compared are the goal, and after every action the raw reward and
whether the episode has ended. A peer plays without its delays; BrowserGym and Farama load the page
for every episode.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from web_crew import CrewError, Process, Way
from web_players import Action

OURS = Way("ours", "agentgym")
PEERS = (
    Way("BrowserGym", "browsergym", {"slow_mo": 0, "pre_observation_delay": 0.1}),
    Way("Farama", "farama", {"load": True}),
)
CLICKS = 8
WORDS = ("abc", "42", "Ann", "hello world", "x")
_WIDTH, _TOP, _HEIGHT = 160, 50, 210  # of the page; above its top there is only the goal
_SECONDS = 180.0

Played: TypeAlias = list[dict[str, Any]] | str
"""What was seen of an episode, or why it couldn't be played."""


@dataclass(frozen=True, slots=True, order=True)
class Episode:
    """A page and BrowserGym's seed."""

    page: str
    seed: int

    def actions(self) -> list[Action]:
        """Return what is done in it."""
        dice = Random(f"{self.page}/{self.seed}")
        points = [
            ("click", dice.randrange(_WIDTH), dice.randrange(_TOP, _HEIGHT)) for _ in range(CLICKS)
        ]
        half = CLICKS // 2
        return [*points[:half], ("type", dice.choice(WORDS)), *points[half:]]


def played(way: Way, episodes: Sequence[Episode], at_once: int) -> dict[Episode, Played]:
    """Return what one implementation shows of episodes, which so many processes share."""
    pages = sorted({episode.page for episode in episodes})
    shares = [
        [episode for episode in episodes if episode.page in pages[start::at_once]]
        for start in range(at_once)
    ]
    with ThreadPoolExecutor(at_once) as threads:
        results = threads.map(lambda share: dict(_play_all(way, share)), shares)
        return {episode: seen for result in results for episode, seen in result.items()}


def _play_all(way: Way, episodes: Sequence[Episode]) -> Iterator[tuple[Episode, Played]]:
    process: Process | None = None
    for number, episode in enumerate(episodes, 1):
        process = process or Process(way, 1)
        arguments = (episode.page, episode.seed, episode.actions())
        try:
            (seen,) = process.call("play", *arguments, seconds=_SECONDS)
        except CrewError as fault:
            process.close()
            process, seen = None, str(fault)
        yield episode, seen
        if number % 25 == 0:
            print(f"{way.name}: {number}/{len(episodes)}", file=sys.stderr, flush=True)
    if process:
        process.close()


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


def report(
    episodes: Sequence[Episode], ours: Mapping[Episode, Played], name: str, theirs: Any
) -> str:
    """Return how many pages agree with a peer, and where the others part."""
    parts = {episode: difference(ours[episode], theirs[episode]) for episode in episodes}
    differing = {episode.page for episode, told in parts.items() if told is not None}
    pages = {episode.page for episode in episodes}
    shown = [seen for seen in ours.values() if not isinstance(seen, str)]
    steps = sum(len(seen) - 1 for seen in shown)
    ended = [seen[-1]["raw"] for seen in shown if seen[-1]["done"]]
    lines = [
        f"{name}: {len(pages) - len(differing)} of {len(pages)} pages agree, in {len(episodes)} "
        f"episodes of {steps} actions in all; {len(ended)} ended, "
        f"{sum(raw > 0 for raw in ended)} of them with a reward above 0",
        *(f"  {one.page}/{one.seed}: {told}" for one, told in parts.items() if told is not None),
    ]
    return "\n".join(lines)


def compare(pages: Sequence[str], seeds: int, at_once: int = 2) -> None:
    """Print how far the rewards agree.

    Args:
        pages: By name.
        seeds: Of each page.
        at_once: How many processes each implementation plays in.
    """
    episodes = [Episode(page, seed) for page in sorted(pages) for seed in range(seeds)]
    ours = played(OURS, episodes, at_once)
    for peer in PEERS:
        print(report(episodes, ours, peer.name, played(peer, episodes, at_once)), flush=True)
