"""Time agentgym's shop, and its search beside rank_bm25's, in one run.

Both searches index the same texts of the same products, split into the same terms, and answer the
same queries with the same number of products. rank_bm25 takes another logarithm, so the lists
differ a little: the share that they have in common is printed. Ours is timed without its memory for
queries that it has seen.

An environment's step is timed with three buyers; only the expert's thinking is part of the time.
"random" takes one of the admissible commands, so it searches for few things, which are remembered.
"first hit" searches for the goal's text and buys what comes first, without choosing options, as the
rule baseline of WebShop's paper does.

    pip install rank-bm25
    python benchmarks/shop_speed.py [--episodes 1000] [--queries 300]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

import agentgym
from agentgym.envs.shop.catalogue import PRODUCTS, Catalogue
from agentgym.envs.shop.generator import generate
from agentgym.envs.shop.goals import Goals
from agentgym.envs.shop.search import Bm25
from agentgym.envs.shop.terms import terms
from agentgym.envs.shop.visit import MOST_RESULTS

ID = "agentgym/Shop-v0"


def seconds(function: Callable[[], Any], times: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - started) / times


def search(count: int) -> None:
    """Print what making an index and searching it take."""
    try:
        from rank_bm25 import BM25Okapi
    except ModuleNotFoundError:
        sys.exit("rank_bm25 is not installed; run: pip install rank-bm25")
    products = generate(PRODUCTS)
    documents = [terms(" ".join((one.kind, *one.texts, one.brand))) for one in products]
    tasks = Goals(Catalogue(products), "valid", count)
    queries = [terms(tasks[number].goal) for number in range(count)]

    started = time.perf_counter()
    ours = Bm25(documents)
    made = time.perf_counter() - started
    started = time.perf_counter()
    theirs = BM25Okapi(documents, k1=1.2, b=0.75)
    theirs_made = time.perf_counter() - started
    numbers = list(range(len(documents)))

    def our_answers() -> list[list[int]]:
        return [ours.search(query, MOST_RESULTS) for query in queries]

    def their_answers() -> list[list[int]]:
        return [theirs.get_top_n(query, numbers, n=MOST_RESULTS) for query in queries]

    mine = statistics.median(seconds(our_answers) / count for _ in range(5))
    other = statistics.median(seconds(their_answers) / count for _ in range(3))
    shared = statistics.fmean(
        len(set(one) & set(two)) / MOST_RESULTS
        for one, two in zip(our_answers(), their_answers(), strict=True)
    )
    print(f"{'':24}{'agentgym':>12}{'rank_bm25':>12}{'ratio':>9}")
    row = "{:24}{:>9,.0f} {}{:>9,.0f} {}{:>8.1f}x"
    print(row.format("index", made * 1e3, "ms", theirs_made * 1e3, "ms", theirs_made / made))
    print(row.format("search", mine * 1e6, "µs", other * 1e6, "µs", other / mine))
    print(f"{shared:.0%} of the {MOST_RESULTS} products are the same\n")


def episodes(count: int) -> None:
    """Print how many steps a second the environment takes, and what buyers earn."""
    generated = seconds(lambda: generate(PRODUCTS))
    total = seconds(lambda: Catalogue.generated().search("mug", 1))
    print(f"{PRODUCTS:,} products: made in {generated:.2f} s, made and indexed in {total:.2f} s\n")
    print(f"{'':12}{'steps/s':>10}{'reward':>9}{'success':>9}{'turns':>7}")
    for name, buyer in (("random", by_chance), ("first hit", first_hit), ("expert", expert)):
        env = agentgym.make(ID, split="valid", goals=count, expert=name == "expert")
        steps, reward, successes, spent = 0, 0.0, 0, 0.0
        for number in range(count):
            dice = Random(number)
            started = time.perf_counter()
            _, info = env.reset(seed=0, options={"task": number})
            spent += time.perf_counter() - started
            while info["stop_reason"] is None:
                action = buyer(env, info, dice)
                started = time.perf_counter()
                _, earned, _, _, info = env.step(action)
                spent += time.perf_counter() - started
                reward += earned
                steps += 1
            successes += info["success"]
        print(
            f"{name:12}{steps / spent:>10,.0f}{reward / count:>9.3f}{successes / count:>9.1%}"
            f"{steps / count:>7.1f}"
        )


def by_chance(env: Any, info: dict[str, Any], dice: Random) -> str:
    return dice.choice(info["admissible_commands"])


def first_hit(env: Any, info: dict[str, Any], dice: Random) -> str:
    commands = info["admissible_commands"]
    if info["turn"] == 0:
        return f"search[{env.task.goal}]"
    return next(one for one in commands if one.startswith("click[P") or one == "click[Buy Now]")


def expert(env: Any, info: dict[str, Any], dice: Random) -> str:
    return info["expert_action"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--episodes", type=int, default=1000, help="for each buyer")
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    search(options.queries)
    episodes(options.episodes)


if __name__ == "__main__":
    main()
