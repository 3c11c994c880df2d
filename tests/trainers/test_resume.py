"""A run that is killed and resumed is the run that was never killed, to the last bit."""

import random
import time
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import tiny_runs

from agentgym.metrics import read_metrics
from agentgym.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# Four processes per algorithm, and each would take longer to import torch than to train.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["agentgym.policies.transformers", "agentgym.trainers.archer", "agentgym.trainers.sft"]
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.tiny_folder(tmp_path_factory.mktemp("model"))


def start(algorithm: str, model: Path, run: Path, *given: str) -> ForkServerProcess:
    arguments = [algorithm, str(model), str(run), *given]
    process = PROCESSES.Process(target=tiny_runs.main, args=(arguments,), daemon=True)
    process.start()
    return process


def finish(process: ForkServerProcess) -> None:
    process.join(timeout=240)
    assert process.exitcode == 0


def figures(run: Path) -> list[dict[str, float]]:
    """Return the metrics without what a clock measured."""
    rows = read_metrics(run / "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def kill_after(process: ForkServerProcess, run: Path, steps: int, delay: float) -> None:
    """Kill a run with SIGKILL a moment after so many steps were logged."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.is_alive():
        file = run / "metrics.jsonl"
        if file.exists() and file.read_bytes().count(b"\n") >= steps:
            break
        time.sleep(0.01)
    assert process.is_alive()
    time.sleep(delay)
    process.kill()
    process.join(timeout=60)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("algorithm", ["archer", "arpo", "ppo", "sft"])
def test_killed_twice_and_resumed_equals_unbroken(
    algorithm: str, model: Path, tmp_path: Path
) -> None:
    settings = ("steps=8", "checkpoint.every=2")
    if algorithm != "sft":
        # Rescues happen, and several optimiser steps: everything that a checkpoint has to carry.
        settings += ("update.minibatches=2", "env.kwargs.max_turns=3")
    if algorithm == "archer":
        # A buffer that is full, a warm-up that a kill falls into, and a penalty to learn from.
        settings += ("replay_capacity=60", "warmup_steps=5", "format_penalty=0.5")
        settings += ("critic.steps=3", "critic.batch_size=8", "actor.batch_size=8")
        settings += ("loss.ratio_level=token",)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    finish(start(algorithm, model, unbroken, *settings))
    moments = random.Random(algorithm)
    for steps in (1, 5):
        process = start(algorithm, model, broken, *settings)
        kill_after(process, broken, steps, moments.uniform(0.0, 0.3))
    finish(start(algorithm, model, broken, *settings))
    assert figures(broken) == figures(unbroken)
    assert len(figures(broken)) == 8
    assert actions(broken) == actions(unbroken)


def actions(run: Path) -> dict[tuple[str, int], list[str]]:
    """Return what was done in every episode that still counts, by group and member."""
    found: dict[tuple[str, int], list[str]] = {}
    for trajectory in sorted(Store.open(run), key=lambda t: (t.group_id, t.reward, t.seed or 0)):
        member = sum(1 for group, _ in found if group == trajectory.group_id)
        found[trajectory.group_id, member] = [turn.action for turn in trajectory.turns]
    return {key: sorted(texts) for key, texts in found.items()}
