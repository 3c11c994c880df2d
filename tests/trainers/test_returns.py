import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_cases import trajectory

from agentgym.stop_reason import StopReason
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.returns import suffix_scan, token_returns, turn_returns
from agentgym.trainers.streams import ActionStream


@given(st.integers(0, 70), st.integers(0, 99))
def test_suffix_scan_solves_the_recurrence(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, decay = rng.normal(size=n), rng.uniform(size=n) * (rng.uniform(size=n) > 0.2)
    expected, run = np.zeros(n), 0.0
    for t in reversed(range(n)):
        run = x[t] + decay[t] * run
        expected[t] = run
    y = suffix_scan(torch.from_numpy(x), torch.from_numpy(decay))
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)


def test_turn_returns_stay_within_a_trajectory() -> None:
    table = TurnTable.of([trajectory([1.0, 0.0, 4.0]), trajectory([8.0]), trajectory([0.0, 2.0])])
    assert turn_returns(table, gamma=0.5).tolist() == [2.0, 2.0, 4.0, 8.0, 1.0, 2.0]
    assert turn_returns(table).tolist() == [5.0, 4.0, 4.0, 8.0, 2.0, 2.0]


def test_turn_returns_bootstrap_where_a_limit_cut_the_episode() -> None:
    table = TurnTable.of(
        [trajectory([0.0, 1.0], stop=stop) for stop in (StopReason.FAILURE, StopReason.TURN_LIMIT)]
    )
    final_N = torch.tensor([100.0, 4.0])
    returns_K = turn_returns(table, gamma=0.5, final_values_N=final_N)
    assert returns_K.tolist() == [0.5, 1.0, 1.5, 3.0]


@pytest.mark.parametrize("observation", [1, 2, 50])
def test_token_returns_pass_over_observations(observation: int) -> None:
    """Rewards [0, ., 1] with a discount of a half: [0.5, ., 1], however long the observation."""
    one = trajectory([0.0, 1.0], actions=[1, 1], observation=observation)
    table, batch = TurnTable.of([one]), TokenBatch.of([one])
    stream = ActionStream.of(batch, table)
    for discount in ({"gamma_turn": 0.5}, {"gamma_turn": 0.5, "gamma_tok": 0.9}):
        assert token_returns(stream, stream.rewards_M, **discount).tolist() == [0.5, 1.0]
