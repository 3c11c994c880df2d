"""The optimiser: what half precision must not change, and what fp32 must not notice."""

import copy
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from agentgym.trainers.optimizer import Optimizer, OptimizerConfig

LR = 1e-6
SHAPES = ((7, 5), (11,))


def parameters(dtype: torch.dtype, device: str = "cpu") -> list[nn.Parameter]:
    """Return weights of the usual size, the same in every precision."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) * 0.02 for shape in SHAPES]
    return [nn.Parameter(weight.bfloat16().to(device, dtype)) for weight in drawn]


def gradients(seed: int) -> list[Tensor]:
    """Return gradients that bfloat16 holds exactly, of a norm that clipping cuts."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).bfloat16() for shape in SHAPES]


def backward(weights: Sequence[nn.Parameter], grads: Sequence[Tensor]) -> None:
    loss = sum(
        ((w * g.to(w)).sum() for w, g in zip(weights, grads, strict=True)),
        torch.zeros((), device=weights[0].device),
    )
    loss.backward()


def update(optimizer: Optimizer, weights: Sequence[nn.Parameter], seed: int) -> float:
    with optimizer.accumulation():
        backward(weights, gradients(seed))
    return optimizer.step(LR)


def stepped(optimizer: Optimizer) -> list[Tensor]:
    """Return what AdamW steps: masters, or the weights themselves."""
    return [tensor for group in optimizer.adamw.param_groups for tensor in group["params"]]


def assert_rounded(weights: Sequence[Tensor], masters: Sequence[Tensor]) -> None:
    for weight, master in zip(weights, masters, strict=True):
        assert torch.equal(weight, master.to(weight.dtype))


def moved(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """Return the fraction of weights that differ."""
    changed = [(a != b).flatten() for a, b in zip(after, before, strict=True)]
    return float(torch.cat(changed).float().mean())


@settings(max_examples=20, deadline=None)
@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=6), decay=st.sampled_from([0, 0.1]))
def test_masters_take_the_very_steps_that_fp32_weights_would(
    seeds: list[int], decay: float
) -> None:
    config = OptimizerConfig(lr=LR, weight_decay=decay)
    half, full = parameters(torch.bfloat16), parameters(torch.float32)
    optimizer, plain = Optimizer(half, config), torch.optim.AdamW(full, lr=LR, weight_decay=decay)
    for seed in seeds:
        norm = update(optimizer, half, seed)
        for weight, grad in zip(full, gradients(seed), strict=True):
            weight.grad = grad.float()
        assert norm == float(nn.utils.clip_grad_norm_(full, config.grad_clip)) > config.grad_clip
        plain.step()
    for master, weight in zip(stepped(optimizer), full, strict=True):
        assert torch.equal(master, weight)
    assert_rounded(half, stepped(optimizer))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_weights_are_stepped_in_place_as_adamw_steps_them(dtype: torch.dtype) -> None:
    weights, expected = parameters(dtype), parameters(dtype)
    optimizer = Optimizer(weights, OptimizerConfig(lr=LR))
    plain = torch.optim.AdamW(expected, lr=LR, weight_decay=0)
    assert all(a is b for a, b in zip(stepped(optimizer), weights, strict=True))
    for seed in range(4):
        update(optimizer, weights, seed)
        backward(expected, gradients(seed))
        nn.utils.clip_grad_norm_(expected, 1.0)
        plain.step()
        plain.zero_grad()
    for weight, other in zip(weights, expected, strict=True):
        assert torch.equal(weight, other)


def test_without_masters_small_steps_round_away() -> None:
    start = parameters(torch.bfloat16)
    kept, lost = copy.deepcopy(start), copy.deepcopy(start)
    exact = Optimizer(kept, OptimizerConfig(lr=LR))
    rounding = Optimizer(lost, OptimizerConfig(lr=LR, master_weights=False))
    for _ in range(100):  # one direction: a hundredth of a typical weight in all
        update(exact, kept, 0)
        update(rounding, lost, 0)
    assert stepped(rounding)[0] is lost[0]
    assert moved(start, stepped(exact)) == 1.0
    assert moved(start, kept) > 0.5
    assert moved(start, lost) < 0.2


def test_gradients_of_micro_batches_are_summed_in_fp32() -> None:
    weights = parameters(torch.bfloat16)
    optimizer = Optimizer(weights, OptimizerConfig(lr=LR, grad_clip=1e9))
    with optimizer.accumulation():
        backward(weights, [torch.ones(shape) for shape in SHAPES])
        for _ in range(8):
            backward(weights, [torch.full(shape, 2.0**-10) for shape in SHAPES])
        assert all(weight.grad is None for weight in weights)
        for master in stepped(optimizer):
            assert torch.equal(master.grad, torch.full_like(master, 1 + 2.0**-7))
    optimizer.step(LR)
    assert all(tensor.grad is None for tensor in [*weights, *stepped(optimizer)])


def test_gradients_from_outside_an_accumulation_do_not_count() -> None:
    weights = parameters(torch.bfloat16)
    optimizer = Optimizer(weights, OptimizerConfig(lr=LR))
    backward(weights, gradients(1))
    norm = update(optimizer, weights, 2)
    assert norm == update(Optimizer(weights, OptimizerConfig(lr=LR)), weights, 2)


def test_a_gradient_that_is_not_finite_moves_neither_weights_nor_masters() -> None:
    weights = parameters(torch.bfloat16)
    optimizer = Optimizer(weights, OptimizerConfig(lr=LR))
    before = copy.deepcopy(stepped(optimizer))
    with optimizer.accumulation():
        backward(weights, [torch.full(shape, float("inf")) for shape in SHAPES])
    assert optimizer.step(LR) == float("inf")
    assert moved(before, stepped(optimizer)) == 0
    assert not optimizer.adamw.state
    update(optimizer, weights, 0)
    assert moved(before, stepped(optimizer)) == 1.0


def test_weights_that_are_set_from_outside_are_where_the_next_step_starts() -> None:
    weights = parameters(torch.bfloat16)
    optimizer = Optimizer(weights, OptimizerConfig(lr=LR))
    update(optimizer, weights, 0)
    untouched = stepped(optimizer)[1].clone()
    with torch.no_grad():
        weights[0].fill_(3.0)
    update(optimizer, weights, 1)
    torch.testing.assert_close(
        stepped(optimizer)[0], torch.full(SHAPES[0], 3.0), atol=2 * LR, rtol=0
    )
    assert 0 < float((stepped(optimizer)[1] - untouched).abs().max()) < 2 * LR
    assert_rounded(weights, stepped(optimizer))


def test_a_state_without_masters_goes_on_from_the_weights() -> None:
    weights = parameters(torch.bfloat16)
    optimizer = Optimizer(weights, OptimizerConfig(lr=LR))
    update(optimizer, weights, 0)
    state = optimizer.state_dict()
    del state["masters"]
    resumed_weights = copy.deepcopy(weights)
    with torch.no_grad():
        resumed_weights[0].mul_(2)
    resumed = Optimizer(resumed_weights, OptimizerConfig(lr=LR))
    resumed.load_state_dict(state)
    update(resumed, resumed_weights, 1)
    expected = 2 * weights[0].detach().float()
    torch.testing.assert_close(stepped(resumed)[0], expected, atol=2 * LR, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_steps_as_a_cpu_does() -> None:
    there, here = parameters(torch.bfloat16, "cuda"), parameters(torch.bfloat16)
    on_gpu, on_cpu = (Optimizer(weights, OptimizerConfig(lr=LR)) for weights in (there, here))
    for seed in range(3):
        assert update(on_gpu, there, seed) == pytest.approx(update(on_cpu, here, seed))
    for master, expected in zip(stepped(on_gpu), stepped(on_cpu), strict=True):
        torch.testing.assert_close(master.cpu(), expected, atol=LR / 100, rtol=0)
    assert_rounded(there, stepped(on_gpu))
