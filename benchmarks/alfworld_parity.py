"""Play the same ALFWorld games in agentgym's engine and in TextWorld, and count differing strings.

Each game is played twice in both: once by its walkthrough, once by a random walk of 30 steps of
which at least a fifth is nonsense (wrong names, near misses, unicode, empty, very long). Compared
after every reset and step: the feedback, the admissible commands with their order, won, done.
TextWorld is set up as `AlfredTWEnv` sets it up for its users. Exit status 1 if anything differs.

    python benchmarks/alfworld_parity.py --games 500          # generated games
    python benchmarks/alfworld_parity.py --data DIR           # every game.tw-pddl below DIR
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.envs.alfworld.engine import Game

STEPS = 30
NONSENSE = 0.25
_NEVER = 10**9  # TextWorld's limit on steps; the walks are shorter


@dataclass(frozen=True, slots=True)
class Difference:
    """One string, list or flag that is not the same in both engines."""

    game: str
    walk: str
    step: int
    command: str
    field: str
    ours: object
    theirs: object

    def __str__(self) -> str:
        return (
            f"{self.game} {self.walk} step {self.step} {self.field} after {self.command[:80]!r}\n"
            f"    ours   {self.ours!r}\n    theirs {self.theirs!r}"
        )


@dataclass(slots=True)
class Frame:
    """What a player sees after a reset or a step."""

    feedback: str
    admissible: list[str]
    won: bool
    done: bool


@dataclass(slots=True)
class Report:
    """What playing one game showed."""

    steps: int = 0
    nonsense: int = 0
    strings: int = 0
    won: int = 0
    differences: list[Difference] = field(default_factory=list)


class TextWorldGame:
    """A game in TextWorld, through the batch environment that AlfredTWEnv registers.

    Args:
        path: A game.tw-pddl file.
    """

    def __init__(self, path: Path) -> None:
        import textworld
        import textworld.gym
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos

        env_id = textworld.gym.register_games(
            [str(path)],
            textworld.EnvInfos(won=True, admissible_commands=True, extras=["gamefile"]),
            batch_size=1,
            asynchronous=True,
            max_episode_steps=_NEVER,
            wrappers=[AlfredDemangler(shuffle=False), AlfredInfos],
        )
        self._env = textworld.gym.make(env_id)
        self._loaded = False

    def reset(self) -> Frame:
        """Start the game again."""
        # The environment's own reset loads the game first, which takes as long again.
        feedback, infos = self._env.batch_env.reset() if self._loaded else self._env.reset()
        self._loaded = True
        return Frame(feedback[0], infos["admissible_commands"][0], infos["won"][0], False)

    def step(self, command: str) -> Frame:
        """Say a command."""
        feedback, _, done, infos = self._env.step([command])
        return Frame(feedback[0], infos["admissible_commands"][0], infos["won"][0], done[0])

    def close(self) -> None:
        """Let the game go."""
        self._env.close()


def nonsense(rng: random.Random, admissible: list[str], names: list[str]) -> str:
    """Return a command that is wrong, nearly right, or right in an odd form."""
    right = rng.choice(admissible)
    name, other = rng.choice(names), rng.choice(names)
    return rng.choice(
        (
            "",
            "   ",
            "\t\n",
            "xyzzy",
            "héllo wörld ☃ 你好",
            "go to " * 2000,
            right.upper(),
            right.capitalize(),
            f"  {right}",
            f"{right}\n",
            f"{right}.",
            f"{right} {right}",
            right.replace(" ", "  ", 1),
            right[:-1],
            right.rsplit(" ", 1)[0],
            f"open {name.split(' ')[0]}",
            f"open {name}",
            f"close {name}",
            f"go to {name}",
            f"examine {name}",
            f"use {name}",
            f"take {name} from {other}",
            f"move {name} to {other}",
            f"put {name} in/on {other}",
            f"heat {name} with {other}",
            f"slice {name} with {other}",
            "take {o} from {r}",
            "#look.feedback#",
            "\x00\ud800"[:1],
            str(rng.random()),
        )
    )


def pick(rng: random.Random, admissible: list[str]) -> str:
    """Return an admissible command, each verb being equally likely, so that things happen."""
    verb = rng.choice(sorted({command.split(" ")[0] for command in admissible}))
    return rng.choice([command for command in admissible if command.startswith(verb)])


def play_both(path: Path, seed: int = 0, steps: int = STEPS, expert: bool = True) -> Report:
    """Play a game in both engines.

    Args:
        path: A game.tw-pddl file.
        seed: Of the random walk.
        steps: Length of the random walk; both engines start again where it wins.
        expert: Whether to follow the file's walkthrough first.
    """
    game = Game.load(path)
    theirs = TextWorldGame(path)
    report = Report()
    label = path.parent.name
    rng = random.Random(seed)
    names = [name for name in game.names.values() if " " in name.strip()] or ["apple 1"]

    def compare(walk: str, step: int, command: str, ours: Frame, peer: Frame) -> None:
        report.strings += 1 + len(ours.admissible)
        for name in ("feedback", "admissible", "won", "done"):
            mine, other = getattr(ours, name), getattr(peer, name)
            if mine != other:
                report.differences.append(Difference(label, walk, step, command, name, mine, other))

    def walk(name: str, commands: Iterator[str] | None, length: int) -> None:
        play = game.start()
        compare(name, 0, "", _frame(play), theirs.reset())
        for step in range(1, length + 1):
            if commands is not None:
                command = next(commands, None)
                if command is None:
                    return
            elif rng.random() < NONSENSE:
                command = nonsense(rng, play.admissible, names)
                report.nonsense += 1
            else:
                command = pick(rng, play.admissible)
            play.step(command)
            compare(name, step, command, _frame(play), theirs.step(command))
            report.steps += 1
            if play.done:
                report.won += 1
                if commands is not None:
                    return
                play = game.start()
                compare(name, step, "", _frame(play), theirs.reset())

    try:
        if expert and game.walkthrough:
            walk("expert", iter(game.walkthrough), len(game.walkthrough))
        walk("random", None, steps)
    finally:
        theirs.close()
    return report


def _frame(play: object) -> Frame:
    return Frame(play.feedback, play.admissible, play.won, play.done)  # type: ignore[attr-defined]


def generated(count: int, seed: int, folder: Path) -> Iterator[Path]:
    """Write generated games, with every split, both domains and both sources of rooms in turn."""
    from agentgym.envs.alfworld.generator import generate

    for index in range(count):
        data = generate(
            seed + index,
            split=("train", "valid_seen", "valid_unseen")[index % 3],
            domain=("alfred", "agentgym")[index // 3 % 2],
            scenes=("agentgym", "alfworld")[index // 6 % 2],
        ).data
        path = folder / f"game_{seed + index:05d}" / "game.tw-pddl"
        path.parent.mkdir()
        path.write_text(json.dumps(dict(data)))
        yield path


def _play(job: tuple[Path, int]) -> Report:
    # Importing alfworld makes a folder for its data.
    os.environ.setdefault("ALFWORLD_DATA", tempfile.gettempdir())
    return play_both(*job)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", type=int, default=500, help="how many games to generate")
    parser.add_argument("--data", type=Path, help="play the games below this folder instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--show", type=int, default=10, help="how many differences to print")
    options = parser.parse_args()
    started = time.perf_counter()
    total = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = (
            sorted(options.data.rglob("game.tw-pddl"))
            if options.data
            else generated(options.games, options.seed, folder)
        )
        jobs = [(path, options.seed + index) for index, path in enumerate(paths)]
        context = multiprocessing.get_context("spawn")
        with context.Pool(options.workers, maxtasksperchild=16) as pool:
            for done, report in enumerate(pool.imap_unordered(_play, jobs), 1):
                total.steps += report.steps
                total.nonsense += report.nonsense
                total.strings += report.strings
                total.won += report.won
                total.differences += report.differences
                if done % 20 == 0:
                    print(
                        f"{done}/{len(jobs)} games, {total.strings} strings, "
                        f"{len(total.differences)} differ, {time.perf_counter() - started:.0f} s",
                        flush=True,
                    )
    for difference in total.differences[: options.show]:
        print(difference)
    print(
        f"{len(jobs)} games, {total.steps} steps ({total.nonsense} nonsense), {total.won} wins, "
        f"{total.strings} strings compared, {len(total.differences)} differ "
        f"({time.perf_counter() - started:.0f} s)"
    )
    return 1 if total.differences or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
