"""ReTool against reinforcement without a tool, on arithmetic that doesn't fit in a head.

For each seed a tiny model is built once, for the problems of `agentgym/CodeMath-v0` at its level
"tiny". Then, with equal numbers of steps, episodes and demonstrations:

- ReTool: it imitates the expert that writes code, for so few steps that it errs often, and learns
  on by reinforcement with the interpreter.
- text only: it imitates the expert that writes answers down, and learns on by reinforcement where
  an answer is all that it may give.

Success is that of sampling (temperature 1) on problems of the test split, which neither saw. The
goal: ReTool 25 points above text only, within 40% of its steps.

    python benchmarks/learning/retool_codemath.py [--seeds 3] [--out FOLDER]

One thread per run, `--workers` runs at a time. Prints a line per seed and arm, then mean and
standard deviation over the seeds; FOLDER/result.json holds the same.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seeds import Parser, gathered, shown, spread, train, workers, write_result

ENV = "agentgym/CodeMath-v0"
OPTIONS: dict[str, Any] = {"difficulty": "tiny", "instructions": "", "traceback": False}
TEMPLATE = {"observation_role": "assistant"}
EPISODES = 512
EARLY = 0.4  # the part of ReTool's steps after which it is looked at


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to learn.

    Attributes:
        expert: Whom the cold start imitates.
        max_turns: 1 leaves room for an answer and for nothing else.
    """

    expert: str
    max_turns: int


ARMS = {"retool": Arm("coder", 4), "text only": Arm("oracle", 1)}


@dataclass(frozen=True, slots=True)
class Row:
    """One run; successes are fractions.

    Attributes:
        seed: Of everything in the run.
        arm: A key of `ARMS`.
        cold: Success after imitation.
        early: Success after `EARLY` of the steps of reinforcement.
        trained: Success after all of them.
        stderr: Its standard error.
        calls: Runs of code per episode, in the last training rollouts.
        passed: Fraction of them without an error.
        seconds: Wall clock of the reinforcement.
    """

    seed: int
    arm: str
    cold: float
    early: float
    trained: float
    stderr: float
    calls: float
    passed: float
    seconds: float


def learn(folder: str, seed: int, arm: str, imitation: int, steps: int) -> Row:
    """Build a model, let it imitate, and train it on."""
    import torch

    from agentgym.metrics import read_metrics
    from agentgym.models.texts import expert_texts
    from agentgym.models.tiny import build_tiny

    torch.set_num_threads(1)
    home = Path(folder) / f"seed-{seed}" / arm.replace(" ", "-")
    texts = expert_texts(ENV, 300, seed=seed, **OPTIONS)
    model = build_tiny(home / "model", texts, digits=True, seed=seed).folder
    setup = ARMS[arm]
    common = {
        "seed": seed,
        "template": TEMPLATE,
        "env": {"id": ENV, "kwargs": OPTIONS | {"max_turns": setup.max_turns}},
        "update": {"log_entropy": False},
    }
    imitated = train(
        "sft",
        home / "sft",
        model,
        common
        | {
            "steps": imitation,
            "batch_size": 16,
            "observation_coef": 0.1,
            "demonstrations": {"expert": setup.expert, "episodes": 16 * imitation},
            "optimizer": {"name": "muon", "lr": 5e-3, "warmup_steps": 20, "schedule": "cosine"},
            "checkpoint": {"every": imitation, "keep": 1},
        },
    )
    early = round(EARLY * steps)
    started = time.perf_counter()
    trained = train(
        "retool",
        home / "rl",
        imitated[-1],
        common
        | {
            "steps": steps,
            "baseline": "group",
            "tasks_per_step": 16,
            "group_size": 8,
            "sampling": {"max_tokens": 48},
            "policy": {"slots": 128, "max_length": 512, "threads": 1},
            "optimizer": {"name": "muon", "lr": 6e-4, "warmup_steps": 5, "schedule": "linear"},
            "checkpoint": {"every": early, "keep": 4},
        },
    )
    seconds = time.perf_counter() - started
    last = read_metrics(home / "rl" / "metrics.jsonl")[-10:]
    looked_at = {
        name: _evaluate(path, setup, seed)
        for name, path in (("cold", imitated[-1]), ("early", trained[0]), ("trained", trained[-1]))
    }
    return Row(
        seed=seed,
        arm=arm,
        cold=looked_at["cold"].mean,
        early=looked_at["early"].mean,
        trained=looked_at["trained"].mean,
        stderr=looked_at["trained"].stderr,
        calls=sum(step.get("tools/calls", 0.0) for step in last) / len(last),
        passed=sum(step.get("tools/passed", 0.0) for step in last) / len(last),
        seconds=seconds,
    )


def main() -> None:
    parser = Parser(__doc__, "retool")
    parser.add_argument("--imitation", type=int, default=75, help="steps of imitation")
    parser.add_argument("--steps", type=int, default=60, help="steps of reinforcement")
    arguments = parser.counts()
    with workers(arguments.workers) as pool:
        given = arguments.imitation, arguments.steps
        runs = [
            pool.submit(learn, str(arguments.out), seed, arm, *given)
            for seed in range(arguments.seeds)
            for arm in ARMS
        ]
        rows = gathered(runs, lambda rows: _note(arguments.out, rows))
    table(rows, arguments.steps)


def _evaluate(model: Path, arm: Arm, seed: int) -> Any:
    from agentgym.evaluation import evaluate
    from agentgym.policies import make_policy
    from agentgym.policy import Sampling
    from agentgym.progress import Display
    from agentgym.registry import make

    options = OPTIONS | {"split": "test", "max_turns": arm.max_turns}
    env = make(ENV, **options)
    stop = env.action_format.stop
    env.close()
    policy = make_policy(f"transformers:{model}", slots=128, max_length=512, threads=1, **TEMPLATE)
    return evaluate(
        ENV,
        policy,
        EPISODES,
        env_kwargs=options,
        sampling=Sampling(max_tokens=48, stop=stop),
        seed=10_000 + seed,
        display=Display.OFF,
    ).success


def _note(folder: Path, rows: list[Row]) -> None:
    row = rows[-1]
    print(
        f"seed {row.seed}  {row.arm:9}  {100 * row.cold:5.1f}% -> {100 * row.early:5.1f}% -> "
        f"{100 * row.trained:5.1f}% ± {100 * row.stderr:.1f}  ({row.calls:.2f} runs of code an "
        f"episode, {100 * row.passed:.0f}% without an error, {row.seconds:.0f} s)",
        flush=True,
    )
    write_result(folder, rows)


def table(rows: list[Row], steps: int) -> None:
    by_arm = {arm: [row for row in rows if row.arm == arm] for arm in ARMS}
    early = round(EARLY * steps)
    heads = ("cold start", f"{early} steps", f"{steps} steps")
    print(f"\n{'':10}" + "".join(f"{head:>16}" for head in heads))
    for arm, mine in by_arm.items():
        figures = ([getattr(row, name) for row in mine] for name in ("cold", "early", "trained"))
        print(f"{arm:10}" + "".join(f"{shown(spread(values)):>16}" for values in figures))
    final = {row.seed: row.trained for row in by_arm["text only"]}
    ahead = [row.early - final[row.seed] for row in by_arm["retool"]]
    print(
        f"\nReTool after {early} steps is ahead of text only after {steps} by "
        f"{shown(spread(ahead))} points (mean ± sd of {len(ahead)} seeds; the goal is 25)."
    )


if __name__ == "__main__":
    main()
