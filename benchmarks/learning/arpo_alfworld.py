"""ARPO against GRPO on ALFWorld: the demo, over seeds, from the same cold starts, at equal steps.

For each seed a tiny model is built and cold-started once; both algorithms go on from it with the
same tasks, seeds and number of steps. Success is that of sampling (temperature 1) on rooms that
neither saw. GRPO here is ARPO's objective without the replay (same clips, no divergence term), so
the replay is the only difference.

    python benchmarks/learning/arpo_alfworld.py [--seeds 3] [--out FOLDER]

One thread per seed, `--workers` seeds at a time. Prints a line per seed and algorithm, then mean
and standard deviation over the seeds, and writes them to FOLDER/result.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ALGORITHMS = {"arpo": (), "grpo": ("replay.enabled=false",)}


def one_seed(folder: str, seed: int) -> list[dict[str, Any]]:
    """Cold-start a model and train it with both algorithms; return a row for each."""
    import torch

    from agentgym.demo import Stages
    from agentgym.progress import Display

    torch.set_num_threads(1)
    stages = Stages(Path(folder) / f"seed-{seed}", seed=seed, display=Display.OFF, tell=_quiet)
    imitator = stages.train("sft", stages.build(), "sft")
    cold = stages.evaluate(imitator, "eval-cold").success
    rows: list[dict[str, Any]] = []
    for name, overrides in ALGORITHMS.items():
        started = time.perf_counter()
        learner = stages.train("arpo", imitator, name, *overrides)
        seconds = time.perf_counter() - started
        trained = stages.evaluate(learner, f"eval-{name}").success
        rows.append(
            {
                "seed": seed,
                "algorithm": name,
                "cold": cold.mean,
                "trained": trained.mean,
                "stderr": trained.stderr,
                "seconds": seconds,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("runs") / time.strftime("arpo-%H%M%S"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds = range(arguments.seeds)
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(one_seed, str(arguments.out), seed) for seed in seeds]
        rows = [row for future in futures for row in future.result()]
    for row in rows:
        print(
            f"seed {row['seed']}  {row['algorithm']:5}  {100 * row['cold']:5.1f}% -> "
            f"{100 * row['trained']:5.1f}% ± {100 * row['stderr']:.1f}  ({row['seconds']:.0f} s)"
        )
    print(
        f"\n{'':12}{'success':>16}{'gain over cold start':>24}   (mean ± sd of {len(seeds)} seeds)"
    )
    summary: dict[str, Any] = {"cold start": _spread([r["cold"] for r in rows[::2]])}
    print(f"{'cold start':12}{_shown(summary['cold start']):>16}")
    for name in ALGORITHMS:
        mine = [row for row in rows if row["algorithm"] == name]
        success = _spread([row["trained"] for row in mine])
        gain = _spread([row["trained"] - row["cold"] for row in mine])
        summary[name] = {"success": success, "gain": gain}
        print(f"{name:12}{_shown(success):>16}{_shown(gain):>24}")
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "command": " ".join(sys.argv),
        "rows": rows,
        "summary": summary,
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def _spread(values: list[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _shown(spread: tuple[float, float]) -> str:
    return f"{100 * spread[0]:.1f}% ± {100 * spread[1]:.1f}"


def _quiet(line: str) -> None:
    """Say nothing: the seeds run side by side."""


if __name__ == "__main__":
    main()
