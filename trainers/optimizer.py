"""`Optimizer`: AdamW or Muon, with fp32 weights behind those a model holds in half precision.

bfloat16 has 8 significant bits, so what is added to a weight and is less than 1/512 of it is lost,
and at RL's learning rates most steps are. Half-precision weights are therefore trained as in "Mixed
Precision Training" (arXiv 1710.03740): fp32 copies, the masters, are stepped, and the model's
weights are their roundings. Gradients are summed over micro-batches in fp32 as well. Weights in
fp32 and wider are stepped where they are.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from agentgym.config import Config
from agentgym.trainers.muon import Muon


class OptimizerConfig(Config):
    """How weights are stepped, and a learning rate that warms up and then stays or falls."""

    name: Literal["adamw", "muon"] = Field(
        default="adamw", description="muon: hidden matrices by Muon, everything else by AdamW"
    )
    lr: float = Field(default=1e-6, gt=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="AdamW's")
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0, description="updates over which lr rises from 0")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="how lr goes to 0 over the run after the warm-up"
    )
    grad_clip: float = Field(default=1.0, gt=0, description="largest global gradient norm")
    master_weights: bool = Field(
        default=True,
        description="step fp32 copies of half-precision weights; without them steps below 1/512 "
        "of a weight round away",
    )

    def lr_at(self, update: int, total: int) -> float:
        """Return the learning rate of an update, counted from 0, in a run of `total`."""
        if update < self.warmup_steps:
            return self.lr * (update + 1) / self.warmup_steps
        span = max(total - self.warmup_steps, 1)
        left = 1 - (update - self.warmup_steps) / span
        if self.schedule == "linear":
            return self.lr * max(left, 0.0)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 - float(np.cos(np.pi * max(left, 0.0))))
        return self.lr


class Optimizer:
    """Steps parameters by their gradients.

    Args:
        parameters: What is trained.
        config: Settings.
        matrices: Those of the parameters that Muon steps, where the settings ask for it.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        config: OptimizerConfig,
        *,
        matrices: Sequence[nn.Parameter] = (),
    ) -> None:
        self._parameters = list(parameters)
        self._grad_clip = config.grad_clip
        self._halves = [
            _HalfWeight(p, p.detach().float())
            for p in parameters
            if config.master_weights and p.dtype.itemsize < 4
        ]
        masters = {half.weight: half.master for half in self._halves}
        self._stepped = [masters.get(p, p) for p in parameters]
        for_muon = {id(masters.get(p, p)) for p in matrices} if config.name == "muon" else ()
        self.adamw = torch.optim.AdamW(
            [{"params": [p for p in self._stepped if id(p) not in for_muon]}],
            lr=config.lr,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            # Without it a step on a GPU holds temporaries as large as all weights together.
            fused=True if all(p.is_cuda for p in parameters) else None,
        )
        self.muon = Muon(
            [{"params": [p for p in self._stepped if id(p) in for_muon]}],
            lr=config.lr,
            weight_decay=config.weight_decay,
        )

    @contextmanager
    def accumulation(self) -> Generator[None]:
        """Start from no gradient, and sum those of the backward passes inside.

        A half-precision weight's own `grad` is None afterwards: its gradient has moved on, one
        weight at a time, so that both sets never exist at once.
        """
        self._clear()
        hooks = [h.weight.register_post_accumulate_grad_hook(h.take_gradient) for h in self._halves]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def step(self, lr: float) -> float:
        """Take a step, unless the gradient's norm isn't finite, and drop the gradient.

        Returns:
            The global norm before clipping.
        """
        norm = nn.utils.clip_grad_norm_(self._stepped, self._grad_clip)
        if torch.isfinite(norm):
            for half in self._halves:
                half.follow()
            for part in (self.adamw, self.muon):
                for group in part.param_groups:
                    group["lr"] = lr
                part.step()
            for half in self._halves:
                half.round()
        self._clear()
        return float(norm)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both parts, and the masters."""
        return {
            "adamw": self.adamw.state_dict(),
            "muon": self.muon.state_dict(),
            "masters": [half.master for half in self._halves],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave; masters that it lacks are read off the weights."""
        self.adamw.load_state_dict(state["adamw"])
        self.muon.load_state_dict(state["muon"])
        for half, master in zip(self._halves, state.get("masters", []), strict=False):
            half.master.copy_(master)

    def _clear(self) -> None:
        for parameter in (*self._parameters, *self._stepped):
            parameter.grad = None


@dataclass(frozen=True, slots=True)
class _HalfWeight:
    """A model's weight in half precision, and the fp32 master that it is the rounding of."""

    weight: nn.Parameter
    master: Tensor

    def take_gradient(self, weight: Tensor) -> None:
        """Add the weight's gradient to the master's, and drop it."""
        assert weight.grad is not None  # the hook runs because there is one
        if self.master.grad is None:
            self.master.grad = weight.grad.float()
        else:
            self.master.grad += weight.grad
        weight.grad = None

    def follow(self) -> None:
        """Take over what was written to the weight since it was rounded, such as a checkpoint."""
        kept = self.master.to(self.weight.dtype) == self.weight
        torch.where(kept, self.master, self.weight, out=self.master)

    def round(self) -> None:
        """Write the master's rounding to the weight."""
        self.weight.copy_(self.master)
