"""`Muon`: momentum whose every direction is stepped alike, for matrices.

A matrix's momentum M = U S V^T is replaced by U V^T, roughly, before it is stepped along, so that
directions in which gradients are small move as far as the others (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon). Steps are scaled to the size of AdamW's, so that a
learning rate serves both (Liu et al., arXiv 2502.16982). It is for the matrices between a model's
first and last layer; embeddings, norms and heads go to AdamW.

`torch.optim.Muon` computes in bfloat16, one matrix at a time: on a CPU without bfloat16 its step of
the tiny model takes longer than the gradient. This one computes in float32 there, and matrices of
one shape together.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Of the odd quintic that is iterated, which takes singular values from (0, 1] to about 1."""
ITERATIONS = 5
ADAMW_RMS = 0.2
"""The usual root mean square of AdamW's steps, in learning rates."""
_TOGETHER = 1 << 24  # elements that are computed at once: one large matrix, or many small ones


class Muon(torch.optim.Optimizer):
    """Steps matrices along their orthogonalised momentum.

    Args:
        params: Matrices, or parameter groups of them.
        lr: Learning rate, on AdamW's scale.
        weight_decay: Decoupled from the gradient, as AdamW's.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        for weight in (p for group in self.param_groups for p in group["params"]):
            if weight.ndim != 2:
                raise ValueError(f"Muon steps matrices, got a weight of shape {weight.shape}")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every weight that has a gradient; there is no closure to evaluate it again."""
        for group in self.param_groups:
            lr, decay = group["lr"], group["weight_decay"]
            for weights in _alike([p for p in group["params"] if p.grad is not None]):
                steps_NIO = orthogonalised(torch.stack([self._momentum(p) for p in weights]))
                size = ADAMW_RMS * max(steps_NIO.shape[1:]) ** 0.5
                for weight, step_IO in zip(weights, steps_NIO, strict=True):
                    weight.mul_(1 - lr * decay).add_(step_IO, alpha=-lr * size)

    def _momentum(self, weight: nn.Parameter) -> Tensor:
        """Take the gradient in, and return the momentum one such gradient ahead (Nesterov)."""
        gradient = weight.grad
        assert gradient is not None  # the caller chose by it
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"].mul_(MOMENTUM).add_(gradient)
        return gradient.add(momentum, alpha=MOMENTUM)


def orthogonalised(matrices_NIO: Tensor) -> Tensor:
    """Return U V^T, roughly, of each matrix U S V^T; shape (N, I, O)."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices_NIO.shape[1] <= matrices_NIO.shape[2]
    x = matrices_NIO if wide else matrices_NIO.mT
    x = x.bfloat16() if x.is_cuda else x.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x if wide else x.mT).to(matrices_NIO.dtype)


def hidden_matrices(model: PreTrainedModel) -> list[nn.Parameter]:
    """Return a model's trained matrices but its embeddings and its head."""
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    ends = {id(p) for module in modules if module is not None for p in module.parameters()}
    return [p for p in model.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in ends]


def _alike(weights: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield weights of one shape and place together, as many as are computed at once."""
    kinds: dict[tuple[torch.Size, torch.dtype, torch.device], list[nn.Parameter]] = {}
    for weight in weights:
        kinds.setdefault((weight.shape, weight.dtype, weight.device), []).append(weight)
    for (shape, *_), same in kinds.items():
        count = max(1, _TOGETHER // shape.numel())
        yield from (same[i : i + count] for i in range(0, len(same), count))
