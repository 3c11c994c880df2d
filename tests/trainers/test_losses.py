from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from training_cases import mixed_trajectories, trajectory

from agentgym.config import validate
from agentgym.errors import ConfigError, UsageError
from agentgym.trainers.aggregation import Aggregation, token_weights
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.kl import KLEstimator, kl_estimate
from agentgym.trainers.losses import PolicyLossConfig, RatioAnchor, Surrogate, policy_loss
from agentgym.trainers.ratios import (
    CorrectionConfig,
    CorrectionLevel,
    RatioLevel,
    correction_weights,
    mismatch_ratio,
    policy_ratio,
)
from agentgym.trainers.value_loss import value_loss

NO_CORRECTION = CorrectionConfig(level=CorrectionLevel.NONE)


def batch_of(actions: list[int], **columns: Tensor) -> TokenBatch:
    """Return one turn per trajectory; columns are given on the sampled tokens."""
    batch = TokenBatch.of([trajectory([0.0], actions=[n], seed=n) for n in actions])
    batch = replace(batch, weights_BT=token_weights(batch, Aggregation.TOKEN_MEAN))
    return replace(batch, **{name: spread(batch, column) for name, column in columns.items()})


def spread(batch: TokenBatch, figures_M: Tensor, elsewhere: float = 0.0) -> Tensor:
    spread_BT = torch.full(batch.shape, elsewhere, dtype=figures_M.dtype)
    return spread_BT.masked_scatter(batch.mask_BT, figures_M)


def test_a_sequence_ratio_is_a_geometric_mean() -> None:
    d_M = 0.1 * torch.randn(5, dtype=torch.float64)
    batch = batch_of([4, 1])
    old_BT = spread(batch, torch.zeros(5, dtype=torch.float64))
    logprobs_BT = spread(batch, d_M).requires_grad_()
    for level in (RatioLevel.SEQUENCE, RatioLevel.TURN):
        ratio_BT = policy_ratio(batch, logprobs_BT, old_BT, level)
        ratio_M = ratio_BT[batch.mask_BT]
        first = d_M[:4].exp().prod() ** (1 / 4)
        torch.testing.assert_close(ratio_M, torch.cat([first.expand(4), d_M[4:].exp()]))
        assert (ratio_BT[~batch.mask_BT] == 1).all()
        # Each token carries the whole ratio's gradient; the sequence mean divides it by the length.
        (grad_BT,) = torch.autograd.grad(ratio_BT[0].sum(), logprobs_BT)
        torch.testing.assert_close(grad_BT[0][batch.mask_BT[0]], first.expand(4))


def test_a_turn_ratio_does_not_cross_turns() -> None:
    batch = TokenBatch.of([trajectory([0.0, 0.0], actions=[2, 3])])
    log_M = torch.tensor([0.1, 0.3, -0.6, 0.0, 0.3])
    ratio_BT = policy_ratio(batch, spread(batch, log_M), torch.zeros(batch.shape), RatioLevel.TURN)
    expected = torch.tensor([0.2, 0.2, -0.1, -0.1, -0.1]).exp()
    torch.testing.assert_close(ratio_BT[batch.mask_BT], expected)


@given(st.floats(-6, 6), st.floats(-3, 3))
def test_the_dual_clip_bounds_the_loss(log_ratio: float, advantage: float) -> None:
    config = PolicyLossConfig(clip_high=0.3, dual_clip=3.0, correction=NO_CORRECTION)
    column = torch.tensor([advantage])
    batch = batch_of([1], advantages_BT=column, logprobs_old_BT=torch.zeros(1))
    loss = policy_loss(config, batch, spread(batch, torch.tensor([log_ratio]))).loss
    if advantage < 0:
        assert loss <= 3 * abs(advantage) + 1e-5


def test_what_stands_off_the_mask_never_matters() -> None:
    """Not even inf and nan, in the loss or in its gradient."""
    config = PolicyLossConfig(kl_coef=0.1, entropy_coef=0.1)
    figures_M = torch.randn(5)
    outcomes = []
    for elsewhere in (0.0, float("inf"), float("-inf"), float("nan")):
        batch = batch_of([3, 2], advantages_BT=torch.randn(5, generator=torch.manual_seed(0)))
        batch = replace(
            batch,
            logprobs_old_BT=spread(batch, figures_M / 2, elsewhere),
            logprobs_mu_BT=spread(batch, figures_M / 3, elsewhere),
            logprobs_ref_BT=spread(batch, figures_M / 4, elsewhere),
        )
        logprobs_BT = spread(batch, figures_M, elsewhere).requires_grad_()
        entropy_BT = spread(batch, figures_M**2, elsewhere)
        output = policy_loss(config, batch, logprobs_BT, entropy_BT=entropy_BT)
        (grad_BT,) = torch.autograd.grad(output.loss, logprobs_BT)
        assert (grad_BT[~batch.mask_BT] == 0).all()
        outcomes.append((output.loss.item(), grad_BT, output.metrics.summary()))
    for loss, grad_BT, summary in outcomes[1:]:
        assert loss == outcomes[0][0]
        assert torch.equal(grad_BT, outcomes[0][1])
        assert summary == outcomes[0][2]


def test_agreeing_samplers_need_no_correction() -> None:
    figures_M = torch.randn(5)
    batch = batch_of(
        [3, 2], advantages_BT=torch.randn(5), logprobs_old_BT=figures_M, logprobs_mu_BT=figures_M
    )
    logprobs_BT = spread(batch, figures_M + 0.3 * torch.randn(5))
    plain = policy_loss(PolicyLossConfig(correction=NO_CORRECTION), batch, logprobs_BT)
    for level in CorrectionLevel:
        rho_BT = mismatch_ratio(batch, batch.need("logprobs_old_BT"), level)
        correction = CorrectionConfig(level=level)
        assert (correction_weights(rho_BT, correction) == 1).all()
        corrected = policy_loss(PolicyLossConfig(correction=correction), batch, logprobs_BT)
        assert corrected.loss == plain.loss
        assert corrected.metrics.summary()["drift/kl"] == 0
        assert corrected.metrics.summary()["drift/rho_capped_fraction"] == 0


def test_fresh_rows_weigh_1_and_replayed_rows_what_the_cap_allows() -> None:
    batch = batch_of(
        [1, 2],
        logprobs_old_BT=torch.tensor([-1.0, -1.0, -1.0]),
        logprobs_mu_BT=torch.tensor([-1.0, -4.0, -0.5]),
    )
    rho_BT = mismatch_ratio(batch, batch.need("logprobs_old_BT"), CorrectionLevel.TOKEN)
    weights_M = correction_weights(rho_BT, CorrectionConfig())[batch.mask_BT]
    torch.testing.assert_close(weights_M, torch.tensor([1.0, 2.0, torch.e**-0.5]))


def test_against_mu_the_ratio_holds_the_mismatch() -> None:
    config = PolicyLossConfig(ratio_anchor=RatioAnchor.MU, correction=NO_CORRECTION)
    figures_M = torch.randn(3)
    batch = batch_of([3], advantages_BT=torch.randn(3), logprobs_mu_BT=figures_M)
    through_mu = policy_loss(config, batch, spread(batch, figures_M + 0.1)).loss
    batch = replace(batch, logprobs_old_BT=batch.logprobs_mu_BT)
    plain = PolicyLossConfig(correction=NO_CORRECTION)
    assert through_mu == policy_loss(plain, batch, spread(batch, figures_M + 0.1)).loss


def test_log_ratios_are_clamped_before_exp() -> None:
    batch = batch_of([1], advantages_BT=torch.ones(1), logprobs_old_BT=torch.tensor([-500.0]))
    config = PolicyLossConfig(surrogate=Surrogate.NONE, correction=NO_CORRECTION)
    logprobs_BT = spread(batch, torch.zeros(1)).requires_grad_()
    output = policy_loss(config, batch, logprobs_BT)
    assert output.loss.item() == pytest.approx(-(torch.e**20), rel=1e-5)
    assert torch.isfinite(torch.autograd.grad(output.loss, logprobs_BT)[0]).all()


def test_zero_advantages_have_zero_gradient() -> None:
    batch = batch_of([3, 2], advantages_BT=torch.zeros(5), logprobs_old_BT=torch.randn(5))
    for surrogate in Surrogate:
        logprobs_BT = torch.randn(batch.shape, requires_grad=True)
        config = PolicyLossConfig(surrogate=surrogate)
        loss = policy_loss(config, batch, logprobs_BT).loss
        (grad_BT,) = torch.autograd.grad(loss, logprobs_BT)
        assert (grad_BT == 0).all()


def test_at_ratio_1_every_surrogate_is_reinforce() -> None:
    batch = batch_of([3, 2], advantages_BT=torch.randn(5), logprobs_old_BT=torch.randn(5))
    grads = []
    for surrogate in Surrogate:
        for level in RatioLevel:
            logprobs_BT = batch.need("logprobs_old_BT").clone().requires_grad_()
            config = PolicyLossConfig(
                surrogate=surrogate, ratio_level=level, correction=NO_CORRECTION
            )
            loss = policy_loss(config, batch, logprobs_BT).loss
            grads.append(torch.autograd.grad(loss, logprobs_BT)[0])
    for grad_BT in grads:
        torch.testing.assert_close(grad_BT, grads[0])


@given(st.floats(-8, 0), st.floats(-8, 0))
def test_estimates_of_the_divergence(logp: float, ref: float) -> None:
    pair = torch.tensor([logp], dtype=torch.float64), torch.tensor([ref], dtype=torch.float64)
    x = ref - logp
    k1, k2, k3 = (float(kl_estimate(*pair, k)) for k in KLEstimator)
    assert k1 == pytest.approx(-x)
    assert k2 == pytest.approx(min(x * x / 2, 10))
    assert k3 == pytest.approx(min(torch.tensor(x, dtype=torch.float64).expm1().item() - x, 10))
    assert k3 >= 0


def test_k3_is_unbiased_and_its_ratio_corrects_its_gradient() -> None:
    """Exact expectations over a vocabulary of five: value, and gradient with the ratio."""
    torch.manual_seed(0)
    logits_V = (0.3 * torch.randn(5, dtype=torch.float64)).requires_grad_()
    ref_V = (0.3 * torch.randn(5, dtype=torch.float64)).log_softmax(0)
    logp_V = logits_V.log_softmax(0)
    p_V = logp_V.detach().exp()
    exact = (logp_V.exp() * (logp_V - ref_V)).sum()
    (exact_grad,) = torch.autograd.grad(exact, logits_V, retain_graph=True)
    k3_V = kl_estimate(logp_V, ref_V, KLEstimator.K3)
    torch.testing.assert_close((p_V * k3_V).sum(), exact)
    ratio_V = (logp_V - logp_V.detach()).exp()
    for estimate_V, right in ((k3_V * ratio_V, True), (k3_V, False)):
        (grad,) = torch.autograd.grad((p_V * estimate_V).sum(), logits_V, retain_graph=True)
        assert torch.allclose(grad, exact_grad) is right


def test_missing_columns_and_contradictions_are_named() -> None:
    batch = batch_of([2], advantages_BT=torch.zeros(2))
    zeros_BT = torch.zeros(batch.shape)
    with pytest.raises(UsageError, match="logprobs_old_BT"):
        policy_loss(PolicyLossConfig(), batch, zeros_BT)
    batch = replace(batch, logprobs_old_BT=zeros_BT)
    with pytest.raises(UsageError, match="logprobs_ref_BT"):
        policy_loss(PolicyLossConfig(kl_coef=0.1), batch, zeros_BT)
    with pytest.raises(UsageError, match="entropy_BT"):
        policy_loss(PolicyLossConfig(entropy_coef=0.1), batch, zeros_BT)
    with pytest.raises(UsageError, match="returns_BT"):
        value_loss(batch, zeros_BT)
    for wrong in (
        {"dual_clip": 3.0, "surrogate": "sapo"},
        {"dual_clip": 3.0, "ratio_level": "none"},
        {"ratio_anchor": "mu"},
        {"correction": {"low": 3.0}},
        {"clip_hihg": 0.3},
    ):
        with pytest.raises(ConfigError):
            validate(PolicyLossConfig, wrong)


def test_a_turn_level_critic_learns_at_turn_starts_only() -> None:
    batch = TokenBatch.of(mixed_trajectories()).at_turn_starts()
    assert int(batch.mask_BT.sum()) == 2 + 1 + 3 + 2 + 3
    weights_BT = token_weights(batch, Aggregation.SEQ_MEAN_TOKEN_MEAN)
    assert float(weights_BT.sum()) == pytest.approx(1)
    values_BT = torch.ones(batch.shape, requires_grad=True)
    batch = replace(batch, weights_BT=weights_BT, returns_BT=torch.zeros(batch.shape))
    loss = value_loss(batch, values_BT, clip=None)
    assert loss.loss.item() == pytest.approx(0.5)
    (grad_BT,) = torch.autograd.grad(loss.loss, values_BT)
    assert torch.equal(grad_BT != 0, batch.mask_BT)
