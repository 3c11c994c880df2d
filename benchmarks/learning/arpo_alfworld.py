"""ARPO against GRPO on ALFWorld: the demo, over seeds, from the same cold starts, at equal steps.

For each seed a tiny model is built and cold-started once; both algorithms go on from it with the
same tasks, seeds and number of steps. Success is that of sampling (temperature 1) on rooms that
neither saw. GRPO here is ARPO's objective without the replay (same clips, no divergence term), so
the replay is the only difference. Replay needs a task to come again: `--tasks` says among how many
a run draws, and the table says how many groups were rescued. Both have the demo's penalty for
commands that do nothing, which gives groups that fail a signal even without replay.

    python benchmarks/learning/arpo_alfworld.py [--seeds 3] [--tasks N] [--out FOLDER]

One thread per run, `--workers` runs at a time. Prints a line per seed and algorithm, then mean and
standard deviation over the seeds. FOLDER/result.json holds what is finished at any time: a run that
fails costs its own row, and the exit status.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seeds import Parser, gathered, quiet, shown, spread, workers, write_result

ALGORITHMS = {"arpo": (), "grpo": ("replay.enabled=false",)}
LAST = 10  # steps over which the end of training is averaged


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A model that imitates, and its success on unseen rooms."""

    seed: int
    model: str
    success: float


@dataclass(frozen=True, slots=True)
class Row:
    """One run; successes are fractions.

    Attributes:
        seed: Of everything in the run.
        algorithm: A key of `ALGORITHMS`.
        cold: Success of the cold start on unseen rooms.
        trained: Success on the same games after the run.
        stderr: Its standard error over games.
        rollouts: Success of the last training rollouts, in rooms that training shows.
        rescued: Groups that replay gave a success.
        failed: Groups in which every fresh rollout failed.
        seconds: Wall clock of the run, evaluation not included.
    """

    seed: int
    algorithm: str
    cold: float
    trained: float
    stderr: float
    rollouts: float
    rescued: int
    failed: int
    seconds: float

    @property
    def gain(self) -> float:
        """What the run added to the cold start."""
        return self.trained - self.cold


def cold_start(folder: str, seed: int) -> ColdStart:
    """Build a model and let it imitate the expert."""
    stages = _stages(Path(folder) / f"seed-{seed}" / "cold", seed)
    imitator = stages.train("sft", stages.build(), "sft")
    return ColdStart(seed, str(imitator), stages.evaluate(imitator, "eval").success.mean)


def reinforce(folder: str, start: ColdStart, algorithm: str, overrides: Sequence[str]) -> Row:
    """Train a cold-started model with one of the algorithms."""
    from agentgym.metrics import read_metrics

    stages = _stages(Path(folder) / f"seed-{start.seed}" / algorithm, start.seed)
    started = time.perf_counter()
    learner = stages.train("arpo", Path(start.model), "train", *ALGORITHMS[algorithm], *overrides)
    seconds = time.perf_counter() - started
    trained = stages.evaluate(learner, "eval").success
    steps = read_metrics(stages.folder / "train" / "metrics.jsonl")
    return Row(
        seed=start.seed,
        algorithm=algorithm,
        cold=start.success,
        trained=trained.mean,
        stderr=trained.stderr,
        rollouts=statistics.mean(
            # A step whose episodes all failed has no success to report.
            [step["rollout/success"] for step in steps[-LAST:] if "rollout/success" in step]
        ),
        rescued=int(sum(step["replay/rescued_groups"] for step in steps)),
        failed=int(sum(step["replay/failed_groups"] for step in steps)),
        seconds=seconds,
    )


def main() -> None:
    parser = Parser(__doc__, "arpo")
    parser.add_argument("--tasks", type=int, help="draw among so many tasks; the demo's by default")
    parser.add_argument("--steps", type=int, help="steps of each run; the demo's by default")
    arguments = parser.counts()
    overrides = [f"env.tasks={arguments.tasks}"] if arguments.tasks else []
    overrides += [f"steps={arguments.steps}"] if arguments.steps else []
    folder, seeds = str(arguments.out), range(arguments.seeds)
    with workers(arguments.workers) as pool:
        starts = list(pool.map(cold_start, [folder] * len(seeds), seeds))
        for start in starts:
            print(f"seed {start.seed}  cold start {100 * start.success:5.1f}%", flush=True)
        runs = [
            pool.submit(reinforce, folder, start, algorithm, overrides)
            for start in starts
            for algorithm in ALGORITHMS
        ]
        rows = gathered(runs, lambda rows: _note(arguments.out, starts, rows))
    summary = summarise(starts, rows)
    print(
        f"\n{'':12}{'success':>16}{'gain over cold start':>24}   (mean ± sd of {len(seeds)} seeds)"
    )
    print(f"{'cold start':12}{shown(summary['cold start']):>16}")
    for name in ALGORITHMS:
        print(f"{name:12}{shown(summary[name]['success']):>16}{shown(summary[name]['gain']):>24}")
    print(f"{'arpo - grpo':12}{shown(summary['difference']):>16}")
    write_result(arguments.out, rows, cold=_cold(starts), summary=summary)


def summarise(starts: Sequence[ColdStart], rows: Sequence[Row]) -> dict[str, Any]:
    """Return mean and standard deviation over the seeds, and of the difference within seeds."""
    summary: dict[str, Any] = {"cold start": spread([start.success for start in starts])}
    mine = {name: [row for row in rows if row.algorithm == name] for name in ALGORITHMS}
    for name, found in mine.items():
        summary[name] = {
            "success": spread([row.trained for row in found]),
            "gain": spread([row.gain for row in found]),
        }
    other = {row.seed: row.trained for row in mine["grpo"]}
    summary["difference"] = spread([row.trained - other[row.seed] for row in mine["arpo"]])
    return summary


def _stages(folder: Path, seed: int) -> Any:
    import torch

    from agentgym.demo import Stages
    from agentgym.progress import Display

    torch.set_num_threads(1)
    return Stages(folder, seed=seed, display=Display.OFF, tell=quiet)


def _note(folder: Path, starts: Sequence[ColdStart], rows: Sequence[Row]) -> None:
    row = rows[-1]
    print(
        f"seed {row.seed}  {row.algorithm:5}  {100 * row.cold:5.1f}% -> {100 * row.trained:5.1f}% "
        f"± {100 * row.stderr:.1f}  (rollouts {100 * row.rollouts:.1f}%, rescued "
        f"{row.rescued} of {row.failed} failed groups, {row.seconds:.0f} s)",
        flush=True,
    )
    write_result(folder, rows, cold=_cold(starts))


def _cold(starts: Sequence[ColdStart]) -> list[dict[str, Any]]:
    return [asdict(start) for start in starts]


if __name__ == "__main__":
    main()
