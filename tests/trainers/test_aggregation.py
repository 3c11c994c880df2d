from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_cases import mixed_trajectories, trajectory

from agentgym.errors import UsageError
from agentgym.trainers.aggregation import Aggregation, LossCounts, token_weights
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.losses import PolicyLossConfig, policy_loss
from agentgym.trainers.packing import plan_micro_batches
from agentgym.trainers.settings import ALGORITHMS


def random_batch(seed: int = 0) -> TokenBatch:
    batch = TokenBatch.of(mixed_trajectories())
    noise = torch.Generator().manual_seed(seed)

    def figures(scale: float) -> torch.Tensor:
        return scale * torch.randn(batch.shape, generator=noise)

    return replace(
        batch,
        logprobs_mu_BT=figures(0.3),
        logprobs_old_BT=figures(0.3),
        logprobs_ref_BT=figures(0.3),
        advantages_BT=figures(1.0),
    )


def weighed(batch: TokenBatch, config: PolicyLossConfig) -> TokenBatch:
    weights_BT = token_weights(batch, config.aggregation, max_length=config.max_length)
    return replace(batch, weights_BT=weights_BT)


def test_the_modes_by_hand() -> None:
    """Trajectories of 1 and 2 turns with 4 and 1 + 1 tokens, with losses that name their token."""
    batch = TokenBatch.of([trajectory([0.0], actions=[4]), trajectory([0.0, 0.0], actions=[1, 1])])
    loss_BT = torch.zeros(batch.shape)
    loss_BT[batch.mask_BT] = torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0, 20.0])

    def mean(mode: Aggregation, max_length: int | None = None) -> float:
        return float((loss_BT * token_weights(batch, mode, max_length=max_length)).sum())

    assert mean(Aggregation.TOKEN_MEAN) == pytest.approx(40 / 6)
    assert mean(Aggregation.SEQ_MEAN_TOKEN_MEAN) == pytest.approx((2.5 + 15) / 2)
    assert mean(Aggregation.SEQ_MEAN_TOKEN_SUM) == pytest.approx((10 + 30) / 2)
    assert mean(Aggregation.SEQ_SUM_CONST, max_length=8) == pytest.approx((10 + 30) / 16)
    assert mean(Aggregation.TURN_MEAN) == pytest.approx((2.5 + 10 + 20) / 3)
    with pytest.raises(UsageError, match="max_length"):
        mean(Aggregation.SEQ_SUM_CONST)


def test_a_local_token_mean_is_a_sequence_mean_and_ours_is_not() -> None:
    """What goes wrong with a mean inside each micro-batch, and why the denominator is global."""
    batch = TokenBatch.of([trajectory([0.0], actions=[4]), trajectory([0.0], actions=[1])])
    loss_BT = torch.randn(batch.shape)
    whole = float((loss_BT * token_weights(batch, Aggregation.TOKEN_MEAN)).sum())
    local, split = [], 0.0
    for row in ([0], [1]):
        part, part_BT = batch.select(row), loss_BT[row, : batch.select(row).shape[1]]
        local.append(float(part_BT[part.mask_BT].mean()))
        weights_BT = token_weights(batch, Aggregation.TOKEN_MEAN)[row, : part.shape[1]]
        split += float((part_BT * weights_BT).sum())
    assert split == pytest.approx(whole)
    sequence_BT = token_weights(batch, Aggregation.SEQ_MEAN_TOKEN_MEAN)
    assert sum(local) / 2 == pytest.approx(float((loss_BT * sequence_BT).sum()))
    assert sum(local) / 2 != pytest.approx(whole)


def test_ranks_share_one_denominator() -> None:
    batch = random_batch()
    ranks = [batch.select([0, 1]), batch.select([2, 3, 4]), batch.select([5, 6])]
    total = sum((LossCounts.of(r) for r in ranks[1:]), LossCounts.of(ranks[0]))
    assert total == LossCounts.of(batch)
    for mode in Aggregation:
        shares = [token_weights(r, mode, counts=total, max_length=9).sum() for r in ranks]
        whole = token_weights(batch, mode, max_length=9).sum()
        torch.testing.assert_close(torch.stack(shares).sum(), whole)


@pytest.mark.parametrize("name", list(ALGORITHMS))
@given(budget=st.integers(1, 80), seed=st.integers(0, 9))
@settings(max_examples=8)
def test_micro_batches_add_up_to_the_whole(name: str, budget: int, seed: int) -> None:
    config = ALGORITHMS[name].loss.model_copy(update={"max_length": 11, "entropy_coef": 0.1})
    batch = weighed(random_batch(seed), config)
    logprobs_BT = (0.3 * torch.randn(batch.shape)).requires_grad_()
    entropy_BT = torch.rand(batch.shape, requires_grad=True)
    whole = policy_loss(config, batch, logprobs_BT, entropy_BT=entropy_BT)
    leaves = (logprobs_BT, entropy_BT)
    expected = torch.autograd.grad(whole.loss, leaves, allow_unused=True)

    parts = plan_micro_batches(
        batch.lengths_B.tolist(), budget=budget, keep_together=batch.trajectory_B.tolist()
    )
    outputs = []
    for rows in parts:
        part = batch.select(rows)
        cropped = [leaf[rows, : part.shape[1]] for leaf in leaves]
        outputs.append(policy_loss(config, part, cropped[0], entropy_BT=cropped[1]))
    total = torch.stack([output.loss for output in outputs]).sum()
    torch.testing.assert_close(total, whole.loss)
    grads = torch.autograd.grad(total, leaves, allow_unused=True)
    for grad, other in zip(grads, expected, strict=True):
        assert grad is not None
        torch.testing.assert_close(grad, other)
    metrics = outputs[0].metrics
    for output in outputs[1:]:
        metrics = metrics + output.metrics
    assert metrics.summary() == pytest.approx(whole.metrics.summary(), rel=1e-4, abs=1e-6)
    assert all(isinstance(figure, float) for figure in metrics.summary().values())


def test_a_sequence_ratio_refuses_half_a_trajectory() -> None:
    config = ALGORITHMS["gspo"].loss
    batch = weighed(random_batch(), config)
    rows = (batch.trajectory_B == 2).nonzero().flatten().tolist()
    assert len(rows) == 3
    part = batch.select(rows[:2])
    with pytest.raises(UsageError, match="keep_together"):
        policy_loss(config, part, torch.zeros(part.shape))


@pytest.mark.parametrize("mode", list(Aggregation))
def test_longer_observations_and_padding_change_no_weight(mode: Aggregation) -> None:
    weights = []
    for observation in (1, 9):
        batch = TokenBatch.of(
            [
                trajectory([0.0, 0.0], actions=[3, 1], observation=observation),
                trajectory([0.0], actions=[2], observation=observation),
            ]
        )
        weights_BT = token_weights(batch, mode, max_length=7)
        assert (weights_BT[~batch.mask_BT] == 0).all()
        weights.append(weights_BT[batch.mask_BT])
    torch.testing.assert_close(*weights)


def test_dr_grpo_weighs_a_token_alike_in_any_trajectory() -> None:
    batch = TokenBatch.of([trajectory([0.0], actions=[n]) for n in (1, 7)])
    weights_BT = token_weights(batch, Aggregation.SEQ_SUM_CONST, max_length=10)
    assert weights_BT[batch.mask_BT].tolist() == [pytest.approx(1 / 20)] * 8
