import pytest
import torch
from training_cases import mixed_trajectories, trajectory

from agentgym.errors import UsageError
from agentgym.stop_reason import StopReason
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.dapo import DAPO, DAPOConfig
from agentgym.trainers.penalties import (
    PenaltyPer,
    add_outcome,
    kl_penalty,
    penalise_actions,
    soft_overlong_penalty,
)
from agentgym.trainers.streams import ActionStream


def test_soft_overlong_penalty() -> None:
    lengths_N = torch.tensor([1, 16_384, 18_432, 20_480, 30_000])
    penalty_N = soft_overlong_penalty(lengths_N, max_length=20_480, margin=4_096)
    assert penalty_N.tolist() == [0.0, 0.0, -0.5, -1.0, -1.0]
    with pytest.raises(UsageError, match="margin"):
        soft_overlong_penalty(lengths_N, max_length=10, margin=0)


def test_an_outcome_penalty_lands_on_the_last_turn() -> None:
    table = TurnTable.of([trajectory([1.0, 2.0]), trajectory([4.0])])
    assert add_outcome(table, torch.tensor([-0.5, -1.0])).reward_K.tolist() == [1.0, 1.5, 3.0]


def test_the_kl_penalty_of_a_turn_is_its_log_ratio() -> None:
    trajectories = mixed_trajectories()
    table, batch = TurnTable.of(trajectories), TokenBatch.of(trajectories)
    stream = ActionStream.of(batch, table)
    old_BT, ref_BT = -torch.rand(batch.shape), -torch.rand(batch.shape)
    penalty_K = stream.sum_K(kl_penalty(stream, old_BT, ref_BT, coef=0.1))
    for row in range(len(batch)):
        for k in set(batch.turn_id_BT[row].tolist()) - {-1}:
            here = batch.turn_id_BT[row] == k
            expected = -0.1 * (old_BT[row, here] - ref_BT[row, here]).sum()
            at = int(table.first_row_N[batch.trajectory_B[row]]) + k
            assert float(penalty_K[at]) == pytest.approx(float(expected), abs=1e-6)
    assert (penalty_K[~table.valid_K] == 0).all()


def test_wrong_actions_cost_once_per_episode_or_once_each() -> None:
    clumsy = trajectory([1.0, 2.0, 3.0])
    for turn in clumsy.turns[:2]:
        turn.action_error = "what?"
    table = TurnTable.of([clumsy, trajectory([4.0])])
    once = penalise_actions(table, penalty=0.5, per=PenaltyPer.EPISODE)
    assert once.reward_K.tolist() == [1.0, 2.0, 2.5, 4.0]
    each = penalise_actions(table, penalty=0.5, per=PenaltyPer.TURN)
    assert each.reward_K.tolist() == [0.5, 1.5, 3.0, 4.0]


def test_dapo_counts_the_whole_conversation_against_the_limit() -> None:
    short, cut, long = mixed_trajectories()[:3]
    cut.stop_reason = StopReason.TOKEN_LIMIT
    longest = max(len(sequence) for sequence in long.sequences())
    subject = object.__new__(DAPO)
    subject.config = DAPOConfig.model_validate(
        {
            "env": {"id": "x"},
            "model": {"path": "x"},
            "policy": {"max_length": longest + 1},
            "overlong_margin": 2,
        }
    )
    table = TurnTable.of([short, cut, long])
    shaped = subject.shape(table, [short, cut, long])
    near = max(len(sequence) for sequence in short.sequences()) - (longest - 1)
    expected = [-min(max(near / 2, 0.0), 1.0), -1.0, -0.5]
    assert (shaped.outcome_N - table.outcome_N).tolist() == pytest.approx(expected)
