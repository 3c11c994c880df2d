"""How many environment steps ArCHer needs, beside token-PPO, GRPO and filtered behaviour cloning.

Two tasks whose reward comes late: a corridor of forks between a key and a door (`two_rooms.py`),
and Twenty Questions with a few words. For each task and seed a tiny model is built and cold-started
once, and all algorithms go on from it. An environment step is a turn. What is compared is how many
were taken until the success of training rollouts, averaged over the last `WINDOW` episodes, reached
the task's target; a run that didn't get there counts as "more than it took".

    python benchmarks/learning/archer_sample_efficiency.py [--seeds 3] [--out FOLDER]

One thread per run, `--workers` runs at a time. FOLDER/result.json and, where matplotlib is
installed, FOLDER/TASK.png hold what is finished.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import two_rooms
from seeds import Parser, gathered, spread, train, workers, write_result

WINDOW = 64  # episodes


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A task with its cold start.

    Attributes:
        env: The environment's id.
        options: Its options.
        demonstrations: What the cold start imitates.
        imitation: Its steps.
        target: The success that is asked for.
        settings: Of every algorithm.
        archer: ArCHer's own, for this task.
        on_policy: The others' own.
    """

    env: str
    options: Mapping[str, Any]
    demonstrations: Mapping[str, Any]
    imitation: int
    target: float
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    archer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on_policy: Mapping[str, Any] = field(default_factory=dict[str, Any])


TASKS = {
    "two rooms": Benchmark(
        two_rooms.ENV,
        {"instructions": "", "corridor": 8, "max_turns": 40},
        {"expert": "wanderer", "episodes": 600, "where": []},
        150,
        0.8,
        # Without it what can't be done costs a turn and no more, and every algorithm drifts there.
        {"format_penalty": 0.2, "format_penalty_per": "turn"},
        # The last observation says all that matters, and what was done once can be done again.
        {"critic": {"encoder": {"max_length": 8}, "backup": "expectile"}},
    ),
    "twenty questions": Benchmark(
        "agentgym/TwentyQuestions-v0",
        {"instructions": "", "words": 16},
        {"episodes": 800, "noise": 0.3},
        60,
        0.6,
        # What matters is what was asked and answered so far, which the policy's own hidden states
        # know; and a critic that is surer of itself than it should be is followed more slowly.
        archer={
            "warmup_steps": 4,
            "draw": "episodes",
            "critic": {
                "encoder": {"kind": "policy", "max_length": 1024},
                "hidden": 256,
                "steps": 60,
            },
            "actor": {"batch_size": 32, "steps": 8},
            "optimizer": {"lr": 3e-4},
            "loss": {"kl_coef": 0.2},
        },
        on_policy={"optimizer": {"lr": 1e-3}},
    ),
}

_MUON = {"name": "muon", "lr": 3e-3}
_ON_POLICY = {"steps": 120, "tasks_per_step": 2, "group_size": 8, "optimizer": _MUON}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "archer": {
        "steps": 20,
        "tasks_per_step": 16,
        "warmup_steps": 6,
        "optimizer": {"name": "muon", "lr": 1e-3, "schedule": "cosine"},
        # So many updates between rollouts want something that holds the policy.
        "loss": {"kl_coef": 0.1},
        "actor": {"answers": 4, "batch_size": 64, "steps": 40, "whiten": True},
        "critic": {
            "batch_size": 256,
            "micro_batch_size": 256,
            "steps": 120,
            "optimizer": {"lr": 1e-3},
        },
    },
    "ppo": _ON_POLICY | {"tasks_per_step": 16, "group_size": 1},
    "grpo": _ON_POLICY,
    "filtered_bc": _ON_POLICY,
}
"""Every step is 16 episodes; ArCHer, whose steps take longer, has a sixth as many of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Attributes:
        task: A key of `TASKS`.
        algorithm: A key of `ALGORITHMS`.
        seed: Of everything in the run.
        needed: Environment steps until the target; None if it wasn't reached.
        taken: Environment steps of the whole run.
        success: Of the last `WINDOW` episodes.
        seconds: Wall clock.
        curve: Pairs of environment steps and success, a pair per step of the run.
    """

    task: str
    algorithm: str
    seed: int
    needed: float | None
    taken: float
    success: float
    seconds: float
    curve: Sequence[tuple[float, float]]


def cold_start(folder: str, task: str, seed: int) -> str:
    """Build a model, let it imitate, and return its folder."""
    from agentgym.models.texts import expert_texts
    from agentgym.models.tiny import build_tiny
    from agentgym.registry import make

    setup, home = TASKS[task], _home(folder, task, seed)
    env = make(setup.env, **setup.options)
    experts = env.experts
    env.close()
    texts = [
        text
        for expert in experts  # what any of them writes is to be a word
        for text in expert_texts(setup.env, 100, seed=seed, **setup.options, expert=expert)
    ]
    built = build_tiny(
        home / "model", texts, hidden=64, layers=2, heads=2, kv_heads=1, vocab=1024, seed=seed
    )
    settings = {
        "steps": setup.imitation,
        "batch_size": 16,
        "observation_coef": 0.1,
        "demonstrations": dict(setup.demonstrations),
        "optimizer": {"name": "muon", "lr": 5e-3, "warmup_steps": 10, "schedule": "cosine"},
        "checkpoint": {"every": setup.imitation, "keep": 1},
    }
    trained = train("sft", home / "sft", built.folder, settings | _setup(task, seed))
    return str(trained[-1])


def learn(
    folder: str, task: str, model: str, algorithm: str, seed: int, steps: int | None = None
) -> Row:
    """Train a cold-started model on; `steps` is for those who want fewer."""
    from agentgym.config import merge
    from agentgym.metrics import read_metrics

    setup = TASKS[task]
    own = setup.archer if algorithm == "archer" else setup.on_policy
    settings = merge(ALGORITHMS[algorithm], own)
    settings["steps"] = steps or settings["steps"]
    settings |= {
        "sampling": {"max_tokens": 16},
        "policy": {"slots": 64, "max_length": 1024, "threads": 1},
        "rollout": {"deterministic": True},
        "checkpoint": {"every": settings["steps"], "keep": 1},
        **setup.settings,
    }
    home, started = _home(folder, task, seed) / algorithm, time.perf_counter()
    train(algorithm, home, Path(model), settings | _setup(task, seed))
    seconds = time.perf_counter() - started
    rows = [row for row in read_metrics(home / "metrics.jsonl") if "rollout/success" in row]
    return summarise(rows, task, algorithm, seed, seconds)


def summarise(
    rows: Sequence[Mapping[str, float]], task: str, algorithm: str, seed: int, seconds: float
) -> Row:
    """Return what a run's metrics say."""
    taken, needed = 0.0, None
    curve = list[tuple[float, float]]()
    recent = list[tuple[float, float]]()  # episodes of a step, and their success
    for row in rows:
        taken += row["rollout/episodes"] * row["rollout/turns"]
        recent.append((row["rollout/episodes"], row["rollout/success"]))
        while sum(n for n, _ in recent[1:]) >= WINDOW:
            recent.pop(0)
        counted = sum(n for n, _ in recent)
        success = sum(n * value for n, value in recent) / counted
        curve.append((taken, success))
        if needed is None and counted >= WINDOW and success >= TASKS[task].target:
            needed = taken
    return Row(task, algorithm, seed, needed, taken, curve[-1][1], seconds, curve)


def main() -> None:
    parser = Parser(__doc__, "archer")
    parser.add_argument("--steps", type=int, help="of every run; see ALGORITHMS for the default")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    arguments = parser.counts()
    folder = str(arguments.out)
    pairs = [(task, seed) for task in arguments.tasks for seed in range(arguments.seeds)]
    with workers(arguments.workers) as pool:
        models = list(pool.map(cold_start, [folder] * len(pairs), *zip(*pairs, strict=True)))
        runs = [
            pool.submit(learn, folder, task, model, algorithm, seed, arguments.steps)
            for (task, seed), model in zip(pairs, models, strict=True)
            for algorithm in ALGORITHMS
        ]
        rows = gathered(runs, lambda rows: _note(arguments.out, rows))
    table(rows)
    for task in arguments.tasks:
        plot([row for row in rows if row.task == task], arguments.out / f"{task}.png")


def table(rows: Sequence[Row]) -> None:
    """Print for each task and algorithm what it needed, and how that compares with ArCHer's."""
    print(
        f"\n{'':30}{'environment steps to target':>30}{'reached':>9}{'times archer':>16}"
        f"{'success at the end':>22}"
    )
    for task in dict.fromkeys(row.task for row in rows):
        of_task = [row for row in rows if row.task == task]
        archer, _, archer_sign = _needed([r for r in of_task if r.algorithm == "archer"])
        for algorithm in ALGORITHMS:
            mine = [row for row in of_task if row.algorithm == algorithm]
            least, reached, sign = _needed(mine)
            times = _times(least / archer, sign, archer_sign)
            mean, deviation = spread([row.success for row in mine])
            print(
                f"{task:18}{algorithm:12}{sign + format(least, ',.0f'):>30}"
                f"{f'{reached}/{len(mine)}':>9}{times if algorithm != 'archer' else '1':>16}"
                f"{f'{100 * mean:.1f} ± {100 * deviation:.1f}':>22}"
            )


def _needed(rows: Sequence[Row]) -> tuple[float, int, str]:
    """Return the mean of what runs needed, how many got there, and "> " where not all did."""
    reached = sum(row.needed is not None for row in rows)
    least = statistics.mean(row.needed or row.taken for row in rows)
    return least, reached, "" if reached == len(rows) else "> "


def _times(ratio: float, above: str, below: str) -> str:
    """Write a ratio whose parts have the signs of `_needed`; of two bounds nothing is known."""
    if above and below:
        return "?"
    return f"{above or below.replace('>', '<')}{ratio:.1f}"


def plot(rows: Sequence[Row], file: Path) -> None:
    """Save the curves, where matplotlib is installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for color, algorithm in enumerate(ALGORITHMS):
        for number, row in enumerate(r for r in rows if r.algorithm == algorithm):
            steps, success = zip(*row.curve, strict=True)
            label = algorithm if number == 0 else None
            axes.plot(steps, [100 * value for value in success], color=f"C{color}", label=label)
    axes.set(xlabel="environment steps", ylabel="success, %", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _setup(task: str, seed: int) -> dict[str, Any]:
    env = {"id": TASKS[task].env, "kwargs": dict(TASKS[task].options)}
    return {"seed": seed, "env": env}


def _home(folder: str, task: str, seed: int) -> Path:
    return Path(folder) / task.replace(" ", "-") / f"seed-{seed}"


def _note(folder: Path, rows: Sequence[Row]) -> None:
    row = rows[-1]
    needed = "target not reached" if row.needed is None else f"target after {row.needed:,.0f}"
    print(
        f"{row.task:18}seed {row.seed}  {row.algorithm:12}{needed}, {100 * row.success:.1f}% after "
        f"{row.taken:,.0f} environment steps  ({row.seconds:.0f} s)",
        flush=True,
    )
    write_result(folder, rows)


if __name__ == "__main__":
    main()
