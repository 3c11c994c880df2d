import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from training_cases import mixed_trajectories, trajectory

from agentgym.errors import UsageError
from agentgym.stop_reason import StopReason
from agentgym.trainers.advantages import (
    AdvantageConfig,
    AdvantageEstimator,
    LoneMember,
    WhitenOver,
    carries_signal,
    group_centred,
    group_z_score,
    leave_one_out,
    spread_over_tokens,
    turn_advantages,
    whiten,
)
from agentgym.trainers.batch import TokenBatch, TurnTable

ESTIMATORS = [group_z_score, group_centred, leave_one_out]
rewards = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=8)


def one_group(values: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    outcome_N = torch.tensor(values, dtype=torch.float64)
    n = len(values)
    return outcome_N, torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.bool)


def test_one_success_in_eight() -> None:
    advantages_N = group_z_score(*one_group([1.0] + [0.0] * 7))
    torch.testing.assert_close(
        advantages_N,
        torch.tensor([2.4748737] + [-0.3535534] * 7, dtype=torch.float64),
        atol=1e-5,
        rtol=0,
    )


@given(rewards)
def test_advantages_of_a_group_add_up_to_nothing(values: list[float]) -> None:
    for estimator in ESTIMATORS:
        assert abs(float(estimator(*one_group(values)).sum())) < 1e-6


@given(rewards, st.floats(0.5, 5), st.floats(-5, 5))
def test_z_score_does_not_see_scale_or_offset(values: list[float], a: float, b: float) -> None:
    if 0 < max(values) - min(values) < 0.1:
        return  # there eps, which is absolute, is visible
    moved = group_z_score(*one_group([a * v + b for v in values]))
    if max(values) == min(values):
        assert moved.abs().max() < 1e-6
    else:
        torch.testing.assert_close(moved, group_z_score(*one_group(values)), atol=1e-3, rtol=0)


@given(st.floats(-1e6, 1e6), st.integers(1, 9))
def test_a_constant_group_teaches_exactly_nothing(value: float, n: int) -> None:
    for estimator in ESTIMATORS:
        assert (estimator(*one_group([value] * n)) == 0).all()
    assert (whiten(torch.full((n,), value)) == 0).all()


@given(rewards)
def test_leave_one_out_is_the_distance_from_the_others(values: list[float]) -> None:
    n = len(values)
    expected = [v - (sum(values) - v) / (n - 1) for v in values]
    centred_N = group_centred(*one_group(values))
    looo_N = leave_one_out(*one_group(values))
    torch.testing.assert_close(
        looo_N, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(looo_N, n / (n - 1) * centred_N)


@given(rewards, st.floats(-100, 100), st.data())
def test_a_failed_member_changes_no_other_advantage(
    values: list[float], reward: float, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(values)))
    outcome_N, group_N, valid_N = one_group([*values[:at], reward, *values[at:]])
    valid_N[at] = False
    others = torch.arange(len(outcome_N)) != at
    for estimator in ESTIMATORS:
        mixed_N = estimator(outcome_N, group_N, valid_N)
        assert mixed_N[at] == 0
        torch.testing.assert_close(mixed_N[others], estimator(*one_group(values)))


@pytest.mark.parametrize("estimator", list(AdvantageEstimator))
def test_a_failed_trajectory_changes_no_other_advantage(estimator: AdvantageEstimator) -> None:
    with_fault = mixed_trajectories()
    kept = [t for t in with_fault if t.stop_reason is not StopReason.INFRA_ERROR]
    config = AdvantageConfig(estimator=estimator)
    table = TurnTable.of(with_fault)
    advantages_K = turn_advantages(table, config)
    assert (advantages_K[~table.valid_K] == 0).all()
    torch.testing.assert_close(
        advantages_K[table.valid_K], turn_advantages(TurnTable.of(kept), config)
    )


def test_a_lone_member_teaches_nothing_or_its_raw_reward() -> None:
    outcome_N, group_N, valid_N = one_group([0.7, 5.0])
    valid_N[1] = False
    for estimator in ESTIMATORS:
        assert estimator(outcome_N, group_N, valid_N).tolist() == [0, 0]
        raw_N = estimator(outcome_N, group_N, valid_N, lone_member=LoneMember.RAW)
        assert raw_N.tolist() == pytest.approx([0.7, 0.0], rel=1e-5)


def test_statistics_are_over_trajectories_not_turns() -> None:
    """Returns 1 and 0 over 2 and 18 turns have the baseline 0.5, not 0.1 as over rows."""
    table = TurnTable.of([trajectory([0.0, 1.0]), trajectory([0.0] * 18)])
    config = AdvantageConfig(estimator=AdvantageEstimator.GROUP_CENTRED)
    assert turn_advantages(table, config).tolist() == [0.5] * 2 + [-0.5] * 18


def test_groups_do_not_mix_and_an_empty_group_id_is_its_own() -> None:
    table = TurnTable.of(
        [trajectory([r], group=g) for g, r in [("a", 1.0), ("b", 7.0), ("", 3.0), ("", 4.0)]]
        + [trajectory([r], group=g) for g, r in [("b", 9.0), ("a", 3.0)]]
    )
    config = AdvantageConfig(estimator=AdvantageEstimator.GROUP_CENTRED)
    assert turn_advantages(table, config).tolist() == [-1, -1, 0, 0, 1, 1]


def test_whitening_counts_trajectories_once_or_tokens() -> None:
    table = TurnTable.of([trajectory([0.0, 1.0]), trajectory([0.0] * 3)])
    config = AdvantageConfig(estimator=AdvantageEstimator.BATCH_WHITENED)
    values_K = turn_advantages(table, config)
    weights_K = torch.tensor([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], dtype=torch.float64)
    assert float((weights_K * values_K).sum()) == pytest.approx(0)
    assert float((weights_K * values_K**2).sum()) == pytest.approx(1, rel=1e-5)  # N - 1 = 1

    tokens = config.model_copy(update={"whiten_over": WhitenOver.TOKENS})
    with pytest.raises(UsageError, match="actions_K"):
        turn_advantages(table, tokens)
    actions_K = torch.tensor([4, 1, 5, 5, 5])
    values_K = turn_advantages(table, tokens, actions_K=actions_K)
    assert float((actions_K * values_K).sum()) == pytest.approx(0)


def test_batch_whitening_discounts_per_turn() -> None:
    table = TurnTable.of([trajectory([0.0, 0.0, 1.0]), trajectory([0.0])])
    config = AdvantageConfig(estimator=AdvantageEstimator.BATCH_WHITENED, gamma=0.5)
    a, b, c, d = turn_advantages(table, config).tolist()
    assert (b - d) / (c - d) == pytest.approx(0.5)
    assert (a - d) / (c - d) == pytest.approx(0.25)


@given(rewards)
def test_whitened_values_have_mean_0_and_deviation_1(values: list[float]) -> None:
    if max(values) - min(values) < 0.1:
        return
    white = whiten(torch.tensor(values, dtype=torch.float64))
    assert float(white.mean()) == pytest.approx(0, abs=1e-9)
    assert float(white.std()) == pytest.approx(1, rel=1e-4)


def test_dynamic_sampling_keeps_groups_whose_valid_members_differ() -> None:
    score_N = torch.tensor([1, 0, 0, 0, 1, 1, 1, 0.0, 0.5, 0.5])
    group_N = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    valid_N = torch.tensor([True] * 7 + [False] + [True] * 2)
    kept_N = carries_signal(score_N, group_N, valid_N)
    assert kept_N.tolist() == [True] * 2 + [False] * 8
    assert not carries_signal(score_N, group_N, valid_N, tolerance=1.0).any()


def test_advantages_land_on_the_sampled_tokens_of_their_turn() -> None:
    trajectories = mixed_trajectories()
    table, batch = TurnTable.of(trajectories), TokenBatch.of(trajectories)
    advantages_K = torch.arange(1, len(table) + 1, dtype=torch.float64)
    spread_BT = spread_over_tokens(advantages_K, table, batch)
    assert (spread_BT[~batch.mask_BT] == 0).all()
    expected = [
        float(advantages_K[int(table.first_row_N[i]) + k])
        for i, t in enumerate(trajectories)
        if t.trainable
        for k, turn in enumerate(t.turns)
        for _ in turn.completion_ids
    ]
    assert spread_BT[batch.mask_BT].tolist() == expected
    assert not math.isnan(spread_BT.sum())
