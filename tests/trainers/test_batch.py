import pytest
import torch
from training_cases import mixed_trajectories, trajectory

from agentgym.errors import DataError
from agentgym.stop_reason import StopReason
from agentgym.trainers.batch import TokenBatch, TurnTable


def test_the_table_has_every_turn_and_the_batch_every_sampled_token() -> None:
    trajectories = mixed_trajectories()
    table, batch = TurnTable.of(trajectories), TokenBatch.of(trajectories)
    assert table.reward_K.tolist() == [turn.reward for t in trajectories for turn in t.turns]
    assert table.outcome_N.tolist() == [t.reward for t in trajectories]
    assert table.valid_N.tolist() == [True, True, True, False, True, True]
    assert table.truncated_N.tolist() == [False] * 4 + [True, False]
    assert table.group_N.tolist() == [0, 0, 0, 0, 1, 1]
    assert table.last_K.sum() == len(trajectories)

    assert batch.trajectory_B.tolist() == [0, 1, 2, 2, 2, 4, 5]  # the third lies in three rows
    for row in range(len(batch)):
        t = trajectories[int(batch.trajectory_B[row])]
        assert int(batch.actions_B[row]) == t.sampled_tokens
        for k in set(batch.turn_id_BT[row].tolist()) - {-1}:
            here = batch.turn_id_BT[row] == k
            assert bool(batch.mask_BT[row, here].all())
            assert batch.input_ids_BT[row, here].tolist() == t.turns[k].completion_ids.tolist()
            assert batch.logprobs_mu_BT[row, here].tolist() == t.turns[k].logprobs.tolist()
    assert int(batch.mask_BT.sum()) == sum(t.sampled_tokens for t in trajectories if t.trainable)
    assert torch.equal(batch.mask_BT, batch.turn_id_BT >= 0)
    assert not batch.mask_BT[:, 0].any()


def test_selecting_rows_crops_and_keeps_columns_together() -> None:
    batch = TokenBatch.of(mixed_trajectories())
    part = batch.select([2, 1])
    assert part.shape == (2, 7)
    assert part.trajectory_B.tolist() == [2, 1]
    for row, source in enumerate([2, 1]):
        n = int(batch.lengths_B[source])
        assert torch.equal(part.input_ids_BT[row, :n], batch.input_ids_BT[source, :n])
        assert torch.equal(part.mask_BT[row, :n], batch.mask_BT[source, :n])
    assert part.advantages_BT is None


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(DataError, match="no trajectory is trainable"):
        TokenBatch.of([trajectory([1.0], stop=StopReason.INFRA_ERROR)])


def test_a_sequence_without_a_prompt_is_refused() -> None:
    with pytest.raises(DataError, match="starts with a sampled token"):
        TokenBatch.of([trajectory([1.0], observation=0)])


@pytest.mark.parametrize(
    ("trajectory_K", "turn_K"),
    [([0, 0, 1], [0, 2, 0]), ([0, 1, 0], [0, 0, 1]), ([0, 0], [1, 2]), ([0, 0], [0, 0])],
)
def test_turns_out_of_order_are_refused(trajectory_K: list[int], turn_K: list[int]) -> None:
    flags_N = torch.ones(2, dtype=torch.bool)
    with pytest.raises(DataError, match="out of order"):
        TurnTable(
            trajectory_K=torch.tensor(trajectory_K),
            turn_K=torch.tensor(turn_K),
            reward_K=torch.zeros(len(turn_K), dtype=torch.float64),
            wrong_K=torch.zeros(len(turn_K), dtype=torch.bool),
            group_N=torch.zeros(2, dtype=torch.int64),
            valid_N=flags_N,
            truncated_N=flags_N,
        )
