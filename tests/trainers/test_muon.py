"""Muon: what a step is, against its definition, and which weights it takes."""

import copy

import pytest
import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentgym.trainers.muon import Muon, hidden_matrices, orthogonalised
from agentgym.trainers.optimizer import Optimizer, OptimizerConfig

SHAPES = [(8, 8), (6, 12), (12, 6), (8, 8)]


def matrices(seed: int = 0, shapes: list[tuple[int, int]] = SHAPES) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in shapes]


@pytest.mark.parametrize("shape", [(8, 8), (6, 12), (12, 6)])
def test_every_direction_becomes_about_as_long_and_keeps_its_place(shape: tuple[int, int]) -> None:
    u_IR, _, vt_RO = torch.linalg.svd(matrices(shapes=[shape])[0].detach(), full_matrices=False)
    scale_R = torch.logspace(0, -1.5, min(shape))
    found_IO = orthogonalised((u_IR * scale_R @ vt_RO)[None])[0]
    inner_RR = u_IR.T @ found_IO @ vt_RO.T
    lengths_R = inner_RR.diagonal()
    assert ((lengths_R > 0.6) & (lengths_R < 1.3)).all(), lengths_R
    torch.testing.assert_close(inner_RR, lengths_R.diag(), atol=1e-4, rtol=0)


def test_matrices_of_one_shape_are_stepped_as_they_would_be_alone() -> None:
    together, alone = matrices(), matrices()
    optimizer, optimizers = Muon(together, lr=0.1), [Muon([p], lr=0.1) for p in alone]
    for seed in range(3):
        for ours, theirs, gradient in zip(together, alone, matrices(seed + 1), strict=True):
            ours.grad, theirs.grad = gradient.detach().clone(), gradient.detach().clone()
        optimizer.step()
        for one in optimizers:
            one.step()
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_steps_follow_torch_s_muon() -> None:
    ours, theirs = matrices(), matrices()
    options = {"lr": 0.1, "weight_decay": 0.01}
    mine = Muon(ours, **options)
    reference = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
    for seed in range(3):
        for a, b, gradient in zip(ours, theirs, matrices(seed + 1), strict=True):
            a.grad, b.grad = gradient.detach().clone(), gradient.detach().clone()
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, matrices(), strict=True):
        step = float((b - start).detach().norm())
        assert step > 0.1
        # theirs is computed in bfloat16
        assert float((a - b).detach().norm()) < 0.02 * step


def test_a_weight_without_gradient_stays() -> None:
    weights = matrices()
    before = weights[0].detach().clone()
    for weight in weights[1:]:
        weight.grad = torch.ones_like(weight)
    Muon(weights, lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weights[0], before)
    assert not torch.equal(weights[3], matrices()[3])


def test_what_is_not_a_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"matrices, got .*\[3\]"):
        Muon([nn.Parameter(torch.zeros(3))], lr=0.1)


@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_head_and_norms_are_not_hidden_matrices(tied: bool) -> None:
    config = Qwen3Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        tie_word_embeddings=tied,
    )
    model = Qwen3ForCausalLM(config)
    model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    chosen = {id(weight) for weight in hidden_matrices(model)}
    names = {name for name, weight in model.named_parameters() if id(weight) in chosen}
    assert len(names) == 2 * 7 - 1
    assert all("_proj." in name for name in names)


def test_the_optimizer_gives_muon_the_matrices_and_adamw_the_rest() -> None:
    weights = matrices()
    config = OptimizerConfig(name="muon", lr=0.1)
    optimizer = Optimizer(weights, config, matrices=weights[:3])
    assert optimizer.muon.param_groups[0]["params"] == weights[:3]
    assert optimizer.adamw.param_groups[0]["params"] == weights[3:]
    only_adamw = Optimizer(weights, OptimizerConfig(lr=0.1), matrices=weights[:3])
    assert only_adamw.adamw.param_groups[0]["params"] == weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_optimizer_steps_as_an_unbroken_one(dtype: torch.dtype) -> None:
    def step(optimizer: Optimizer, weights: list[nn.Parameter], seed: int) -> None:
        with optimizer.accumulation():
            loss = sum((w * g).sum() for w, g in zip(weights, matrices(seed), strict=True))
            assert isinstance(loss, torch.Tensor)
            loss.backward()
        optimizer.step(0.05)

    def make() -> tuple[list[nn.Parameter], Optimizer]:
        weights = [nn.Parameter(w.detach().to(dtype)) for w in matrices()]
        config = OptimizerConfig(name="muon", lr=0.1)
        return weights, Optimizer(weights, config, matrices=weights[:3])

    weights, unbroken = make()
    step(unbroken, weights, 1)
    resumed_weights, resumed = make()
    with torch.no_grad():
        for mine, theirs in zip(resumed_weights, weights, strict=True):
            mine.copy_(theirs)
    resumed.load_state_dict(copy.deepcopy(unbroken.state_dict()))
    step(unbroken, weights, 2)
    step(resumed, resumed_weights, 2)
    assert all(torch.equal(a, b) for a, b in zip(weights, resumed_weights, strict=True))
