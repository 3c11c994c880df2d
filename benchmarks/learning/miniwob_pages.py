"""A tiny text policy on MiniWoB++: it imitates the experts for a while, then learns on by ARPO.

For each seed a tiny model is built, imitates the experts of `PAGES` on `train` seeds, for so few
steps that it errs often, and learns on by ARPO (GRPO with replay) on the pages' own rewards.
Success is that of sampling (temperature 1) on `valid` seeds, which it never saw, page by page.

    python benchmarks/learning/miniwob_pages.py [--seeds 3] [--out FOLDER]

One thread per run, `--workers` runs at a time, each with a browser of its own. Prints a line per
seed, then mean and standard deviation over the seeds; FOLDER/result.json holds the same.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seeds import Parser, gathered, shown, spread, train, workers, write_result

ENV = "agentgym/MiniWoB-v0"
PAGES = (
    *("click-button", "click-checkboxes", "click-dialog-2", "click-link", "click-option"),
    *("click-tab-2-easy", "click-test-2", "enter-text", "focus-text-2", "identify-shape"),
)
OPTIONS: dict[str, Any] = {
    "task": list(PAGES),
    "instructions": "",
    "max_turns": 8,
    "actions": ["elements"],
}
EPISODES = 400  # of an evaluation


@dataclass(frozen=True, slots=True)
class Row:
    """One run; successes are fractions.

    Attributes:
        seed: Of everything in the run.
        cold: Success of the cold start, on seeds that it never saw.
        trained: Success after the run, on the same ones.
        stderr: Its standard error over episodes.
        cold_pages: Success of the cold start on each page.
        pages: Success after the run on each page.
        seconds: Wall clock of the reinforcement.
    """

    seed: int
    cold: float
    trained: float
    stderr: float
    cold_pages: Mapping[str, float]
    pages: Mapping[str, float]
    seconds: float


def learn(folder: str, seed: int, imitation: int, steps: int) -> Row:
    """Build a model, let it imitate, train it on, and look at both."""
    from agentgym.models.texts import expert_texts
    from agentgym.models.tiny import build_tiny

    home = Path(folder) / f"seed-{seed}"
    texts = expert_texts(ENV, 20 * len(PAGES), seed=seed, **OPTIONS)
    built = build_tiny(home / "model", texts, hidden=128, layers=3, vocab=4096, seed=seed)
    shared = {
        "seed": seed,
        "env": {"id": ENV, "kwargs": OPTIONS},
        "optimizer": {"name": "muon", "lr": 3e-3, "warmup_steps": 5, "schedule": "cosine"},
    }
    imitated = train(
        "sft",
        home / "sft",
        built.folder,
        shared
        | {
            "steps": imitation,
            "batch_size": 32,
            "demonstrations": {"episodes": 60 * len(PAGES)},
            "checkpoint": {"every": imitation, "keep": 1},
        },
    )[-1]
    started = time.perf_counter()
    learnt = train(
        "arpo",
        home / "arpo",
        imitated,
        shared
        | {
            "steps": steps,
            "tasks_per_step": len(PAGES),
            "group_size": 8,
            "optimizer": {"name": "muon", "lr": 1e-3},
            "sampling": {"max_tokens": 24},
            "policy": {"slots": 64, "max_length": 1024, "threads": 1},
            "checkpoint": {"every": steps, "keep": 1},
        },
    )[-1]
    seconds = time.perf_counter() - started
    cold, cold_pages, _ = _evaluate(imitated, seed)
    trained, pages, stderr = _evaluate(learnt, seed)
    return Row(seed, cold, trained, stderr, cold_pages, pages, seconds)


def main() -> None:
    parser = Parser(__doc__, "miniwob")
    parser.add_argument("--imitation", type=int, default=150, help="steps of imitation")
    parser.add_argument("--steps", type=int, default=40, help="steps of reinforcement")
    arguments = parser.counts()
    with workers(arguments.workers) as pool:
        given = arguments.imitation, arguments.steps
        runs = [
            pool.submit(learn, str(arguments.out), seed, *given) for seed in range(arguments.seeds)
        ]
        rows = gathered(runs, lambda rows: _note(arguments.out, rows))
    table(rows)


def table(rows: list[Row]) -> None:
    """Print success page by page and over all, before and after."""
    print(f"\n{'':20}{'cold start':>16}{'after ARPO':>16}   (mean ± sd of {len(rows)} seeds)")
    for page in PAGES:
        cold = spread([row.cold_pages[page] for row in rows])
        after = spread([row.pages[page] for row in rows])
        print(f"{page:20}{shown(cold):>16}{shown(after):>16}")
    cold, after = spread([row.cold for row in rows]), spread([row.trained for row in rows])
    print(f"{'all':20}{shown(cold):>16}{shown(after):>16}")


def _evaluate(model: Path, seed: int) -> tuple[float, dict[str, float], float]:
    """Return success on unseen seeds: over all, on each page, and its standard error."""
    from agentgym.policies import make_policy
    from agentgym.policy import Sampling
    from agentgym.progress import Display
    from agentgym.rollout import collect

    count = EPISODES // len(PAGES) * len(PAGES)
    policy = make_policy(f"transformers:{model}", slots=64, max_length=1024, threads=1)
    done = collect(
        ENV,
        policy,
        count,
        env_kwargs=OPTIONS | {"split": "valid"},
        sampling=Sampling(max_tokens=24),
        tasks=range(count),  # one page after the other
        seed=10_000 + seed,
        display=Display.OFF,
    )
    found: dict[str, list[bool]] = {page: [] for page in PAGES}
    for trajectory in done:
        if trajectory.stop_reason.trainable:
            found[trajectory.task_id.partition("/")[0]].append(bool(trajectory.success))
    every = [success for successes in found.values() for success in successes]
    mean = sum(every) / len(every)
    pages = {page: sum(each) / len(each) for page, each in found.items()}
    return mean, pages, (mean * (1 - mean) / len(every)) ** 0.5


def _note(folder: Path, rows: list[Row]) -> None:
    row = rows[-1]
    print(
        f"seed {row.seed}  {100 * row.cold:5.1f}% -> {100 * row.trained:5.1f}% "
        f"± {100 * row.stderr:.1f}  ({row.seconds:.0f} s)",
        flush=True,
    )
    write_result(folder, rows)


if __name__ == "__main__":
    main()
