"""Play every page of MiniWoB++ that has an expert, and count where the expert earns 1.

    python benchmarks/miniwob_experts.py [PAGE ...] [--seeds N] [--split train valid] [--at-once N]

Prints, page by page, how many of its first seeds earned a reward of 1, and the mean number of
turns. Ends with 1 where that isn't all of them.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from agentgym.envs.web.miniwob import MiniWoBEnv
from agentgym.envs.web.miniwob_solvers import EXPERTS
from agentgym.envs.web.miniwob_tasks import SPLITS


@dataclass(frozen=True, slots=True)
class Row:
    """A page's expert on some seeds: those that didn't earn 1, and the turns of all together."""

    page: str
    short: tuple[str, ...]
    turns: int


def play(page: str, *, split: str, seeds: int) -> Row:
    """Play a page's first seeds as its expert says, until it has nothing to say."""
    env = MiniWoBEnv(task=page, split=split, expert=True)
    short: list[str] = []
    turns = 0
    try:
        for seed in range(seeds):
            _, info = env.reset(options={"task": seed})
            reward, over = 0.0, False
            while not over and info["expert_action"] is not None:
                _, reward, terminated, truncated, info = env.step(info["expert_action"])
                over = terminated or truncated
                turns += 1
            if reward != 1.0:
                short.append(f"{env.task.id} ({reward:g})")
    finally:
        env.close()
    return Row(page, tuple(short), turns)


def table(pages: Sequence[str], split: str, seeds: int, at_once: int) -> list[str]:
    """Print a split's table, and return which episodes fell short."""
    print(f"\n{split:32}{f'1 out of {seeds}':>12}{'turns':>8}", flush=True)
    short: list[str] = []
    turns = 0
    with ThreadPoolExecutor(at_once) as threads:
        for row in threads.map(partial(play, split=split, seeds=seeds), pages):
            print(f"{row.page:32}{seeds - len(row.short):>12}{row.turns / seeds:>8.1f}", flush=True)
            short.extend(row.short)
            turns += row.turns
    whole = len(pages) * seeds
    count = f"{whole - len(short)} of {whole}"
    print(f"{f'all {len(pages)} pages':32}{count:>12}{turns / whole:>8.1f}", flush=True)
    return short


def main() -> int:
    """Print a table for each split, and return 1 where an expert fell short."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="all that have one by default")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--at-once", type=int, default=4, help="pages that are played at once")
    given = parser.parse_args()
    pages = given.pages or sorted(EXPERTS)
    if unknown := [page for page in pages if page not in EXPERTS]:
        parser.error(f"there is no expert for {', '.join(unknown)}")
    short: list[str] = []
    for split in given.split:
        short += table(pages, split, given.seeds, given.at_once)
    if short:
        print(f"\nShort of 1 (reward): {', '.join(short)}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
