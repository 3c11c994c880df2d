"""Every estimator against recursions written as loops, and the properties that make them right."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from training_cases import mixed_trajectories, trajectory

from agentgym.errors import DataError
from agentgym.stop_reason import StopReason
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.gae import bilevel_gae, token_gae, turn_gae
from agentgym.trainers.streams import ActionStream
from agentgym.trajectory import Trajectory


def loop_gae(
    r: list[float], v: list[float], gammas: list[float], lam: float, last: float = 0.0
) -> list[float]:
    adv, run, following = [0.0] * len(r), 0.0, last
    for t in reversed(range(len(r))):
        run = r[t] + gammas[t] * following - v[t] + gammas[t] * lam * run
        adv[t], following = run, v[t]
    return adv


def laid_out(trajectories: list[Trajectory]) -> tuple[TurnTable, TokenBatch, ActionStream]:
    table, batch = TurnTable.of(trajectories), TokenBatch.of(trajectories)
    return table, batch, ActionStream.of(batch, table)


def random_values(n: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=n))


@pytest.mark.parametrize(("gamma_turn", "gamma_tok"), [(0.97, 0.97), (0.9, 1.0), (0.9, 0.99)])
def test_token_gae_equals_the_loop(gamma_turn: float, gamma_tok: float) -> None:
    trajectories = mixed_trajectories()
    table, _, stream = laid_out(trajectories)
    values_M, final_N = random_values(len(stream)), random_values(len(trajectories), 1)
    estimate = token_gae(
        stream, table, values_M, final_N, gamma_turn=gamma_turn, gamma_tok=gamma_tok, lam=0.9
    )
    at, expected = 0, []
    for i, t in enumerate(trajectories):
        if not t.trainable:
            continue
        r, gammas = [], []
        for turn in t.turns:
            n = len(turn.completion_ids)
            r += [0.0] * (n - 1) + [turn.reward]
            gammas += [gamma_tok] * (n - 1) + [gamma_turn]
        v = values_M[at : at + len(r)].tolist()
        last = float(final_N[i]) if t.stop_reason is StopReason.TURN_LIMIT else 0.0
        expected += loop_gae(r, v, gammas, 0.9, last)
        at += len(r)
    np.testing.assert_allclose(estimate.advantages.numpy(), expected, atol=1e-12)
    torch.testing.assert_close(estimate.returns, estimate.advantages + values_M)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=25)
def test_observation_tokens_and_row_splits_change_nothing(
    actions: list[int], observation: int, split: bool, seed: int
) -> None:
    rewards = np.random.default_rng(seed).normal(size=len(actions)).tolist()
    estimates = []
    for length, rows in ((1, False), (observation, split)):
        table, batch, stream = laid_out(
            [trajectory(rewards, actions=actions, observation=length, split=rows)]
        )
        values_BT = stream.scatter(random_values(len(stream), seed))
        # Whatever a critic says about observations and padding must not matter.
        values_BT = torch.where(batch.mask_BT, values_BT, 1e6)
        values_M, none_N = stream.gather(values_BT), torch.zeros(1)
        options: dict[str, Any] = {"gamma_turn": 0.9, "gamma_tok": 0.97, "lam": 0.8}
        estimates.append(
            [
                token_gae(stream, table, values_M, none_N, **options).advantages,
                bilevel_gae(stream, table, values_M, none_N, **options).advantages,
                turn_gae(table, stream.first_K(values_M), none_N, gamma=0.9, lam=0.8).advantages,
            ]
        )
    for first, second in zip(*estimates, strict=True):
        torch.testing.assert_close(first, second)


def test_a_discount_per_turn_and_a_discount_per_token() -> None:
    """With no values and lambda 1, reward 1 after turns of 4 and 7 tokens."""
    table, _, stream = laid_out([trajectory([0.0, 1.0], actions=[4, 7])])
    nothing_M, none_N = torch.zeros(11), torch.zeros(1)
    poad = token_gae(stream, table, nothing_M, none_N, gamma_turn=0.9, gamma_tok=1.0, lam=1.0)
    naive = token_gae(stream, table, nothing_M, none_N, gamma_turn=0.9, gamma_tok=0.9, lam=1.0)
    assert float(poad.advantages[0]) == pytest.approx(0.9)
    assert float(naive.advantages[0]) == pytest.approx(0.9**10)


def test_with_one_token_per_turn_every_estimator_is_turn_gae() -> None:
    table, _, stream = laid_out([trajectory([0.3, 0.0, -0.2, 1.0], actions=[1] * 4)])
    values_M, none_N = random_values(4), torch.zeros(1)
    turns = turn_gae(table, values_M, none_N, gamma=0.9, lam=0.8).advantages
    options: dict[str, Any] = {"gamma_turn": 0.9, "lam": 0.8}
    for gamma_tok in (0.5, 1.0):
        for estimator in (token_gae, bilevel_gae):
            tokens = estimator(stream, table, values_M, none_N, gamma_tok=gamma_tok, **options)
            torch.testing.assert_close(tokens.advantages, turns)
    expected = loop_gae([0.3, 0.0, -0.2, 1.0], values_M.tolist(), [0.9] * 4, 0.8)
    np.testing.assert_allclose(turns.numpy(), expected)


def test_bilevel_with_one_turn_is_token_gae() -> None:
    table, _, stream = laid_out([trajectory([1.0], actions=[6])])
    values_M, none_N = random_values(6), torch.zeros(1)
    bilevel = bilevel_gae(stream, table, values_M, none_N, gamma_turn=0.9, gamma_tok=0.99, lam=0.95)
    plain = loop_gae([0.0] * 5 + [1.0], values_M.tolist(), [0.99] * 6, 0.95)
    np.testing.assert_allclose(bilevel.advantages.numpy(), plain)


def loop_bilevel(
    r: list[float], v: list[float], ends: list[int], gamma: float, lam: float, high: float
) -> list[float]:
    adv, goal, run = [0.0] * len(r), list(r), 0.0
    for k in reversed(range(len(ends))):
        following = v[ends[k + 1]] if k + 1 < len(ends) else 0.0
        run = r[ends[k]] + high * following - v[ends[k]] + high * lam * run
        goal[ends[k]] = run + v[ends[k]]
    for i in reversed(range(len(r))):
        run = goal[i] - v[i] + (0.0 if i in ends else gamma * (v[i + 1] + lam * run))
        adv[i] = run
    return adv


def test_bilevel_equals_the_loop_and_keeps_turns_without_reward() -> None:
    two_turns = trajectory([0.0, 1.0], actions=[3, 3])
    table, _, stream = laid_out([two_turns])
    values_M, none_N = random_values(6), torch.zeros(1)
    options: dict[str, Any] = {"gamma_turn": 0.9, "gamma_tok": 0.99, "lam": 0.95}
    bilevel = bilevel_gae(stream, table, values_M, none_N, **options).advantages
    r, v = [0.0] * 5 + [1.0], values_M.tolist()
    np.testing.assert_allclose(bilevel.numpy(), loop_bilevel(r, v, [2, 5], 0.99, 0.95, 0.9))
    # Finding turns by their reward would have lost the first one:
    lost = loop_bilevel(r, v, [5], 0.99, 0.95, 0.9)
    assert np.abs(bilevel.numpy() - lost).max() > 0.01


def test_a_limit_is_no_verdict_and_an_end_is_final() -> None:
    ended = trajectory([0.0, 0.0], actions=[2, 2], stop=StopReason.FAILURE)
    cut = trajectory([0.0, 0.0], actions=[2, 2], stop=StopReason.TURN_LIMIT)
    table, _, stream = laid_out([ended, cut])
    nothing_M, final_N = torch.zeros(8), torch.tensor([5.0, 5.0])
    tokens = token_gae(stream, table, nothing_M, final_N, gamma_turn=0.5, lam=1.0).advantages
    assert tokens.tolist() == [0.0] * 4 + [1.25, 1.25, 2.5, 2.5]
    turns = turn_gae(table, torch.zeros(4), final_N, gamma=0.5, lam=1.0).advantages
    assert turns.tolist() == [0.0, 0.0, 1.25, 2.5]


def test_turn_values_are_those_before_the_first_token() -> None:
    table, batch, stream = laid_out(mixed_trajectories())
    places_BT = torch.arange(batch.input_ids_BT.numel()).view(batch.shape).double()
    first_K = stream.first_K(stream.gather(places_BT))
    last_K = stream.last_K(stream.gather(places_BT))
    lengths_K = torch.where(table.valid_K, last_K - first_K + 1, 0)
    assert lengths_K.tolist() == stream.actions_K.tolist()
    starts_BT = batch.at_turn_starts().mask_BT
    assert sorted(places_BT[starts_BT].tolist()) == sorted(first_K[table.valid_K].tolist())


def test_a_reward_without_a_token_is_refused() -> None:
    one = trajectory([0.5, 1.0], actions=[0, 3])
    table, batch = TurnTable.of([one]), TokenBatch.of([one])
    with pytest.raises(DataError, match=r"Turn 0 of trajectory 0 earned 0\.5"):
        ActionStream.of(batch, table)
    unpaid = table.with_rewards(torch.tensor([0.0, 1.0]))
    assert len(ActionStream.of(batch, unpaid)) == 3


def test_scatter_undoes_gather() -> None:
    _, batch, stream = laid_out(mixed_trajectories())
    values_BT = torch.randn(batch.shape)
    back_BT = stream.scatter(stream.gather(values_BT))
    torch.testing.assert_close(back_BT, torch.where(batch.mask_BT, values_BT, 0.0))


def test_the_order_of_rows_does_not_matter() -> None:
    table, batch, stream = laid_out(mixed_trajectories())
    values_BT = torch.randn(batch.shape)
    rows = [3, 0, 6, 5, 1, 2, 4]
    shuffled = batch.select(rows)
    again = ActionStream.of(shuffled, table)
    torch.testing.assert_close(again.gather(values_BT[rows]), stream.gather(values_BT))
