"""Checkpoints: everything a run needs to go on as if it had never stopped.

A checkpoint is a folder: the model as an ordinary Hugging Face folder, and `state.pt` with the
optimiser, the counters, the task sampler, generators and whatever the algorithm keeps (a replay
buffer). It is written beside its final name, flushed, and renamed, so that a folder with that name
is whole; a run that is killed half-way leaves at most a folder that the next one removes.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model
from transformers import PreTrainedModel

from agentgym.errors import DataError
from agentgym.trainers.models import LoadedModel

_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint on disk.

    Attributes:
        folder: Where it lies.
        step: Steps that were done when it was written.
    """

    folder: Path
    step: int

    @property
    def model_folder(self) -> Path:
        """The Hugging Face folder inside."""
        return self.folder / "model"

    def state(self) -> dict[str, Any]:
        """Read the run's state.

        Raises:
            DataError: If the file is damaged.
        """
        file = self.folder / "state.pt"
        try:
            # Our own file, with trajectories and optimiser state in it; not for files of others.
            return torch.load(file, map_location="cpu", weights_only=False)
        except (OSError, RuntimeError, EOFError) as fault:
            raise DataError(f"{file} can't be read: {fault}; resume from an older one") from fault

    def load_weights(self, model: PreTrainedModel) -> None:
        """Read the weights into `model`, bit for bit."""
        adapter = self.model_folder / "adapter_model.safetensors"
        if adapter.exists():
            from peft import set_peft_model_state_dict
            from safetensors.torch import load_file

            set_peft_model_state_dict(model, load_file(adapter))
            return
        file = self.model_folder / "model.safetensors"
        _, unknown = load_model(model, file, strict=False)
        if unknown:
            # Older vision models are saved under the names of their first release.
            named = type(model).from_pretrained(self.model_folder, dtype=model.dtype)
            model.load_state_dict(named.state_dict())


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the whole checkpoints in a folder, oldest first."""
    found: list[Checkpoint] = []
    for child in folder.glob(f"{_PREFIX}*"):
        number = child.name.removeprefix(_PREFIX)
        if number.isdigit():
            found.append(Checkpoint(child, int(number)))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def save(
    folder: Path, step: int, loaded: LoadedModel, state: dict[str, Any], *, keep: int
) -> Checkpoint:
    """Write a checkpoint and remove the oldest ones.

    Args:
        folder: The run's folder of checkpoints.
        step: Steps that are done.
        loaded: The model.
        state: What `Checkpoint.state` returns later.
        keep: How many to keep.
    """
    final = folder / f"{_PREFIX}{step:06d}"
    draft = folder / f".{final.name}"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    loaded.save(draft / "model")
    torch.save(state, draft / "state.pt")
    for file in draft.rglob("*"):
        _flush(file)
    _flush(draft)
    if final.exists():
        shutil.rmtree(final)
    draft.rename(final)
    _flush(folder)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old.folder)
    return Checkpoint(final, step)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
