"""Log-probabilities against one softmax per token, off-by-one errors included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from agentgym.trainers.logprobs import token_logprobs

H, V = 8, 13


def head_of(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(H, V, dtype=torch.float64)


@given(
    rows=st.integers(1, 3),
    length=st.integers(1, 9),
    chunk=st.integers(1, 30),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    seed=st.integers(0, 999),
)
@settings(max_examples=50)
def test_against_a_loop_over_tokens(
    rows: int, length: int, chunk: int, temperature: float, seed: int
) -> None:
    head = head_of(seed)
    hidden_BTH = torch.randn(rows, length, H, dtype=torch.float64, requires_grad=True)
    ids_BT = torch.randint(0, V, (rows, length))
    mask_BT = torch.rand(rows, length) < 0.6
    figures = token_logprobs(
        hidden_BTH,
        head,
        ids_BT,
        mask_BT,
        temperature=temperature,
        chunk_tokens=chunk,
        entropy=True,
    )
    assert figures.entropy_BT is not None
    expected_BT = torch.zeros(rows, length, dtype=torch.float64)
    entropy_BT = torch.zeros(rows, length, dtype=torch.float64)
    for b in range(rows):
        for t in range(1, length):
            if mask_BT[b, t]:
                p_V = (head(hidden_BTH[b, t - 1]) / temperature).softmax(0)
                expected_BT[b, t] = p_V[ids_BT[b, t]].log()
                entropy_BT[b, t] = sum(-p * p.log() for p in p_V)
    torch.testing.assert_close(figures.logprobs_BT, expected_BT)
    torch.testing.assert_close(figures.entropy_BT, entropy_BT)

    weights_BT = torch.randn(rows, length, dtype=torch.float64)
    leaves = [hidden_BTH, *head.parameters()]
    grads = []
    for logprobs_BT, entropies_BT in (
        (figures.logprobs_BT, figures.entropy_BT),
        (expected_BT, entropy_BT),
    ):
        loss = (weights_BT * (logprobs_BT + 0.3 * entropies_BT)).sum()
        if not loss.requires_grad:
            return  # nothing was sampled, and the loop built no graph
        grads.append(torch.autograd.grad(loss, leaves))
    for grad, reference in zip(*grads, strict=True):
        torch.testing.assert_close(grad, reference)


def test_the_head_sees_sampled_positions_only_and_one_chunk_at_a_time() -> None:
    head, shapes = head_of(), []

    def spy(hidden_CH: Tensor) -> Tensor:
        shapes.append(hidden_CH.shape[0])
        return head(hidden_CH)

    mask_BT = torch.zeros(4, 50, dtype=torch.bool)
    mask_BT[:, 10:15] = True
    hidden_BTH = torch.randn(4, 50, H, dtype=torch.float64, requires_grad=True)
    ids_BT = torch.zeros(4, 50, dtype=torch.int64)
    figures = token_logprobs(hidden_BTH, spy, ids_BT, mask_BT, chunk_tokens=8)
    assert shapes == [8, 8, 4]
    figures.logprobs_BT.sum().backward()
    assert sorted(shapes) == [4, 4, 8, 8, 8, 8]  # each chunk recomputed once
    grad_BTH = hidden_BTH.grad
    assert grad_BTH is not None
    assert torch.equal(grad_BTH.abs().sum(-1) > 0, torch.roll(mask_BT, -1, dims=1))


def test_logits_live_no_longer_than_their_chunk() -> None:
    """Between forward and backward the graph keeps no tensor as wide as the vocabulary."""
    vocabulary, kept = 1000, []
    head = nn.Linear(H, vocabulary)
    hidden_BTH = torch.randn(1, 65, H, requires_grad=True)
    ids_BT = torch.randint(0, vocabulary, (1, 65))
    mask_BT = torch.ones(1, 65, dtype=torch.bool)

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        token_logprobs(hidden_BTH, head, ids_BT, mask_BT, chunk_tokens=16, entropy=True)
    assert kept
    assert all(shape[-1] != vocabulary for shape in kept if len(shape))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_softmax_is_in_fp32(dtype: torch.dtype) -> None:
    head = head_of().to(dtype)
    hidden_BTH = torch.randn(2, 6, H).to(dtype)
    ids_BT = torch.randint(0, V, (2, 6))
    mask_BT = torch.ones(2, 6, dtype=torch.bool)
    with torch.no_grad():
        figures = token_logprobs(hidden_BTH, head, ids_BT, mask_BT)
        full_BTV = head(hidden_BTH).float().log_softmax(-1)
    assert figures.logprobs_BT.dtype is torch.float32
    expected_BT = full_BTV[:, :-1].gather(-1, ids_BT[:, 1:, None]).squeeze(-1)
    torch.testing.assert_close(figures.logprobs_BT[:, 1:], expected_BT)


def test_an_impossible_token_leaves_entropy_and_gradient_finite() -> None:
    head = head_of()
    blocked_V = torch.zeros(V, dtype=torch.float64)
    blocked_V[3] = -torch.inf
    hidden_BTH = torch.randn(1, 4, H, dtype=torch.float64, requires_grad=True)
    figures = token_logprobs(
        hidden_BTH,
        lambda hidden_CH: head(hidden_CH) + blocked_V,
        torch.zeros(1, 4, dtype=torch.int64),
        torch.ones(1, 4, dtype=torch.bool),
        entropy=True,
    )
    assert figures.entropy_BT is not None
    (grad_BTH,) = torch.autograd.grad(figures.entropy_BT.sum(), hidden_BTH)
    assert torch.isfinite(figures.entropy_BT).all()
    assert torch.isfinite(grad_BTH).all()
