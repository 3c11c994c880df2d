"""Time whole games of Twenty Questions and Guess My City, answered from their tables.

The expert's games are recorded first, one for each secret, and played again: every game is a reset
with a seed and its questions up to the right guess, so what is timed is the environment. "again"
plays the same texts over and over, whose meaning is remembered; "new words" gives every question
punctuation that no question had before, so that each is read afresh, as most of a sampling model's
are. "rollout" plays the recorded games through a `Collector` and on its workers, with a policy that
only looks its answer up. Beside other work on the same cores the clock's figures fall and those of
the CPU time say more.

What bounds it: a remembered question costs two look-ups and the contract around a step, one that is
new a dozen regular expressions; a rollout hands every step to another thread and back.

    python benchmarks/dialogue_speed.py [--rounds 5]
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import agentgym
from agentgym.env import AgentEnv
from agentgym.episode_spec import EpisodeSpec
from agentgym.policies.scripted import ScriptedPolicy
from agentgym.policy import Request
from agentgym.rollout import Collector

IDS = ("agentgym/TwentyQuestions-v0", "agentgym/GuessMyCity-v0")


@dataclass(frozen=True)
class Game:
    """A secret and the questions that find it."""

    secret: str
    questions: Sequence[str]


def record(env_id: str) -> list[Game]:
    """Return the expert's game for every secret."""
    env = agentgym.make(env_id, expert=True)
    games: list[Game] = []
    for index in range(len(env.tasks)):
        _, info = env.reset(seed=0, options={"task": index})
        questions: list[str] = []
        ended = False
        while not ended:
            questions.append(info["expert_action"])
            _, _, ended, _, info = env.step(questions[-1])
        games.append(Game(env.tasks[index].id, questions))
    return games


def reworded(games: Iterable[Game], marks: Iterable[str]) -> list[Game]:
    """Return the games with punctuation that no question had before."""
    mark = iter(marks)
    return [Game(game.secret, [one + next(mark) for one in game.questions]) for game in games]


def marks() -> Iterable[str]:
    """Give endless strings of marks, no two the same."""
    for length in itertools.count(1):
        for letters in itertools.product("?!,;: -", repeat=length):
            yield "".join(letters)


def play(env: AgentEnv, games: Iterable[Game]) -> None:
    """Play games to their ends."""
    for seed, game in enumerate(games):
        env.reset(seed=seed, options={"task": game.secret})
        for question in game.questions:
            _, _, ended, _, _ = env.step(question)
        assert ended, game


class Recorded(ScriptedPolicy):
    """Asks the next question of the game that the secret is found by."""

    def __init__(self, games: Iterable[Game]) -> None:
        self._games = {game.secret: game.questions for game in games}

    def _answer(self, request: Request) -> str:
        return self._games[request.task_id][len(request.messages) // 2 - 1]


@dataclass(frozen=True)
class Rates:
    """Games per second of each round: of the clock's, and of the CPU time that they took."""

    clock: Sequence[float]
    cpu: Sequence[float]


def rate(games: Callable[[], Callable[[], int]], rounds: int) -> Rates:
    """Time rounds of games.

    Args:
        games: Makes a round ready, which is not timed, and returns what plays it and counts.
        rounds: How many.
    """
    clock: list[float] = []
    cpu: list[float] = []
    for _ in range(rounds):
        round_ = games()
        began, spent = time.perf_counter(), time.process_time()
        count = round_()
        clock.append(count / (time.perf_counter() - began))
        cpu.append(count / (time.process_time() - spent))
    return Rates(clock, cpu)


def measure(env_id: str, games: Sequence[Game], rounds: int) -> Mapping[str, Rates]:
    """Return the games per second, by how they are played."""
    env = agentgym.make(env_id)
    fresh = marks()

    def direct(sets: Sequence[Sequence[Game]]) -> Callable[[], int]:
        def round_() -> int:
            for one in sets:
                play(env, one)
            return sum(map(len, sets))

        return round_

    with Collector(env_id, None, Recorded(games)) as collector:
        specs = [EpisodeSpec(task=game.secret, seed=0) for game in games] * 10

        def rollout() -> int:
            trajectories = collector.collect(specs)
            assert all(one.success for one in trajectories)
            return len(trajectories)

        return {
            "again": rate(lambda: direct([games] * 40), rounds),
            "new words": rate(lambda: direct([reworded(games, fresh) for _ in range(20)]), rounds),
            "rollout": rate(lambda: rollout, rounds),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'':34}{'games/s':>10}{'worst':>10}{'best':>10}{'per CPU s':>12}{'questions/s':>14}")
    for env_id in IDS:
        games = record(env_id)
        per_game = statistics.fmean(len(game.questions) for game in games)
        for how, rates in measure(env_id, games, rounds).items():
            median, cpu = statistics.median(rates.clock), statistics.median(rates.cpu)
            figures = f"{median:>10,.0f}{min(rates.clock):>10,.0f}{max(rates.clock):>10,.0f}"
            name = f"{env_id.partition('/')[2]}, {how}"
            print(f"{name:34}{figures}{cpu:>12,.0f}{median * per_game:>14,.0f}", flush=True)


if __name__ == "__main__":
    main()
