"""Runs that take seconds: a two-layer model for the toy environment, and trainers on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import toy_envs

from agentgym.config import load
from agentgym.models.texts import expert_texts
from agentgym.models.tiny import build_tiny
from agentgym.registry import trainers
from agentgym.run_dir import RunDir

SMALL = {
    "steps": 2,
    "seed": 3,
    "env": {"id": toy_envs.COUNTER, "kwargs": {"max_turns": 4, "instructions": ""}},
    "optimizer": {"lr": 1e-3},
    "checkpoint": {"every": 1},
}
ON_POLICY = SMALL | {
    "tasks_per_step": 2,
    "group_size": 3,
    "sampling": {"max_tokens": 6},
    "policy": {"slots": 6, "max_length": 256},
    "rollout": {"deterministic": True, "worker": "shared"},
}


def tiny_folder(folder: Path) -> Path:
    """Build the model and return its folder."""
    texts = expert_texts(toy_envs.COUNTER, 20, max_turns=6)
    return build_tiny(folder, texts, hidden=32, layers=2, heads=2, kv_heads=1, vocab=320).folder


def make_trainer(algorithm: str, model: Path, run: Path, base: dict[str, Any], *given: str) -> Any:
    """Return a trainer of a new run, or of the one that is there."""
    trainer_class = trainers.load(algorithm)
    config = load(trainer_class.config_class, [], [f"model.path={model}", *given], base)
    if (run / "run.json").exists():
        return trainer_class(
            config, RunDir.resume(run, command=f"train {algorithm}", config=config)
        )
    return trainer_class(config, RunDir.create(run, command=f"train {algorithm}", config=config))


def main(arguments: Sequence[str]) -> None:
    """Train in this process: ALGORITHM MODEL RUN [KEY=VALUE]…; goes on where a run stopped."""
    import torch

    torch.set_num_threads(1)
    algorithm, model, run, *given = arguments
    resume = (Path(run) / "run.json").exists()
    base = SMALL if algorithm == "sft" else ON_POLICY
    make_trainer(algorithm, Path(model), Path(run), base, *given).train(resume=resume)
