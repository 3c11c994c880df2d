"""Time agentgym's ALFWorld engine and TextWorld on the same game, in one run.

Both play the same random walks, and a step includes the feedback and the list of admissible
commands. Each engine runs in processes of its own. "load" is from the file to the first text;
"reset" starts a loaded game again; "step, first time" is a walk through a game that was just
loaded; "step" comes after a few hundred, as in training, where a group of rollouts shares its game.

What bounds it: a reset is the making of one object. A warm step is five dictionary look-ups, three
of them under keys of a thousand bits; a step to a situation that is new sorts and builds its list,
some ten times as much. A load is the reading of 60 kB of PDDL and a join for every action, all in
Python. In TextWorld a step derives every admissible command from the grammar again, and a reset
runs Fast Downward's translator twice.

    python benchmarks/alfworld_engine.py [--game FILE]
"""

import argparse
import gc
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EPISODE = 30  # steps between resets
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _resident() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def _seconds(function: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - started) / times


def ours_load(path: str) -> dict[str, float]:
    """Time loading and resetting."""
    from agentgym.envs.alfworld.engine import Game

    Game.load(path)  # compiles the domain, once for all games
    game = Game.load(path)
    return {
        "load": statistics.median(_seconds(lambda: Game.load(path).start(), 1) for _ in range(20)),
        "reset": _seconds(lambda: game.start().admissible, 100_000),
    }


def ours_step(path: str) -> dict[str, float]:
    """Time steps."""
    from agentgym.envs.alfworld.engine import Game

    def walk(game: Game, steps: int, seed: int) -> float:
        dice = random.Random(seed).random
        spent, play = 0.0, game.start()
        for step in range(steps):
            if step % _EPISODE == 0:
                play = game.start()
                commands = play.admissible
            command = commands[int(dice() * len(commands))]
            started = time.perf_counter()
            play.step(command)
            commands = play.admissible
            spent += time.perf_counter() - started
        return spent / steps

    first = statistics.median(walk(Game.load(path), 200, seed) for seed in range(10))
    game = Game.load(path)
    walk(game, 500, 0)
    return {"step, first time": first, "step": walk(game, 60_000, 1)}


def ours_memory(path: str) -> dict[str, float]:
    """Weigh plays of one game, and games."""
    from agentgym.envs.alfworld.engine import Game, Play

    def use(play: Play, seed: int) -> Play:
        dice = random.Random(seed)
        for _ in range(20):
            play.step(dice.choice(play.admissible))
        return play

    game = Game.load(path)
    plays = [use(game.start(), seed) for seed in range(50)]
    before = _resident()
    plays += [use(game.start(), seed) for seed in range(50, 2050)]
    one = (_resident() - before) / 2000
    before = _resident()
    games = [use(Game.load(path).start(), seed) for seed in range(20)]
    return {
        "environment": one,
        "environment with a game of its own": (_resident() - before) / len(games),
    }


def _textworld(path: str) -> Any:
    os.environ.setdefault("ALFWORLD_DATA", tempfile.gettempdir())  # or importing it makes a folder
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs import PddlEnv

    env = AlfredDemangler(PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True)))
    env.load(path)
    return env


def theirs_load(path: str) -> dict[str, float]:
    """Time loading and resetting."""
    _textworld(path)
    load = statistics.median(_seconds(lambda: _textworld(path).reset(), 1) for _ in range(3))
    env = _textworld(path)
    return {"load": load, "reset": statistics.median(_seconds(env.reset, 1) for _ in range(5))}


def theirs_step(path: str) -> dict[str, float]:
    """Time steps."""
    env = _textworld(path)
    dice = random.Random(1).random
    spent = []
    state = env.reset()
    for _ in range(2 * _EPISODE):
        commands = state["admissible_commands"]
        command = commands[int(dice() * len(commands))]
        started = time.perf_counter()
        state = env.step(command)[0]
        spent.append(time.perf_counter() - started)
    mean = statistics.fmean(spent)
    return {"step, first time": mean, "step": mean}


def theirs_memory(path: str) -> dict[str, float]:
    """Weigh environments."""
    envs = [_textworld(path)]
    envs[0].reset()
    before = _resident()
    for _ in range(4):
        envs.append(_textworld(path))
        envs[-1].reset()
    one = (_resident() - before) / 4
    return {"environment": one, "environment with a game of its own": one}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--game", type=Path, help="a game.tw-pddl file; a generated one if not given"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.game
        if path is None:
            from agentgym.envs.alfworld.generator import generate

            path = Path(folder, "game.tw-pddl")
            path.write_text(json.dumps(dict(generate(0).data)))
        measured: list[dict[str, float]] = []
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            for engine in (
                (ours_load, ours_step, ours_memory),
                (theirs_load, theirs_step, theirs_memory),
            ):
                result: dict[str, float] = {}
                for measure in engine:
                    result |= pool.apply(measure, (str(path),))
                measured.append(result)
    ours, theirs = measured
    print(f"{'':36}{'agentgym':>14}{'textworld':>14}{'ratio':>12}")
    for name, mine in ours.items():
        unit = "MB" if name.startswith("environment") else "µs"
        scale = 1 if unit == "MB" else 1e6
        print(
            f"{name:36}{mine * scale:>11,.{3 if mine * scale < 100 else 0}f} {unit}"
            f"{theirs[name] * scale:>11,.{1 if unit == 'MB' else 0}f} {unit}"
            f"{theirs[name] / max(mine, 1e-9):>11,.0f}x"
        )
    print(f"{'steps per second':36}{1 / ours['step']:>14,.0f}{1 / theirs['step']:>14,.1f}")


if __name__ == "__main__":
    sys.exit(main())
