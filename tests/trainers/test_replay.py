"""Success replay: ARPO's invariants AP2 to AP6 on the buffer, without a model."""

from collections.abc import Sequence

import pytest

from agentgym.stop_reason import StopReason
from agentgym.trainers.replay import ReplayConfig, SuccessReplay
from agentgym.trajectory import Trajectory
from tests.support.training_cases import trajectory


def group(scores: Sequence[float], *, name: str = "g", task: str = "t") -> list[Trajectory]:
    members = [trajectory([0.0, score], group=name, seed=i) for i, score in enumerate(scores)]
    for member in members:
        member.task_id = task
    return members


def scores(trajectories: Sequence[Trajectory]) -> list[float]:
    return [t.reward for t in trajectories]


def filled(task: str = "t", **settings: object) -> SuccessReplay:
    replay = SuccessReplay(ReplayConfig.model_validate(settings), seed=0)
    success = group([1.0], name="old", task=task)
    replay.store(success, scores(success))
    return replay


def test_an_all_fail_group_is_rescued_by_one_row() -> None:
    replay, fresh = filled(), group([0.0] * 4)
    served, report = replay.serve(fresh, scores(fresh), 3)
    assert report.rows == [0]
    assert report.ages == [3]
    assert len(served) == 4
    assert served[0].reward == 1.0
    assert served[0].group_id == "g"
    assert [t.id for t in served[1:]] == [t.id for t in fresh[1:]]
    assert served[0].meta["replayed_from"] == replay.stored("t")[0].id


def test_the_fresh_batch_itself_is_not_changed() -> None:
    fresh = group([0.0] * 4)
    before = list(fresh)
    filled().serve(fresh, scores(fresh), 0)
    assert fresh == before


@pytest.mark.parametrize(
    "values",
    [[1.0, 0.0, 0.0, 0.0], [1.0] * 4, [0.3] * 4, [0.0, 0.0, 0.0, 0.25]],
    ids=["mixed", "all succeed", "all half-succeed", "one half-success"],
)
def test_other_groups_are_left_alone(values: list[float]) -> None:
    fresh = group(values)
    served, report = filled().serve(fresh, scores(fresh), 0)
    assert served == fresh
    assert report.rows == []


def test_an_empty_buffer_rescues_nothing_but_the_group_is_counted() -> None:
    fresh = group([0.0] * 4)
    served, report = SuccessReplay(ReplayConfig(), 0).serve(fresh, scores(fresh), 0)
    assert served == fresh
    assert report.failed_groups == 1


def test_tasks_are_kept_apart() -> None:
    fresh = group([0.0] * 4, task="another")
    served, report = filled(task="t").serve(fresh, scores(fresh), 0)
    assert served == fresh
    assert report.failed_groups == 1


def test_a_group_cannot_rescue_itself() -> None:
    # The group's one success is stored after it was served, whatever the order of its members.
    replay = SuccessReplay(ReplayConfig(max_mean=0.5, max_std=1.0), 0)
    fresh = group([0.0, 0.0, 0.0, 1.0])
    served, _ = replay.serve(fresh, scores(fresh), 0)
    replay.store(fresh, scores(fresh))
    assert served == fresh
    assert len(replay) == 1


def test_the_oldest_success_leaves_first() -> None:
    replay = SuccessReplay(ReplayConfig(capacity=2), 0)
    stored = [group([1.0], name=str(i))[0] for i in range(4)]
    for success in stored:
        replay.store([success], [1.0])
    assert [t.id for t in replay.stored("t")] == [t.id for t in stored[2:]]


@pytest.mark.parametrize("score", [0.1, 0.05, 0.0, -1.0])
def test_what_earned_too_little_is_not_stored(score: float) -> None:
    replay = SuccessReplay(ReplayConfig(), 0)
    replay.store(group([score]), [score])
    assert len(replay) == 0


def test_what_the_world_broke_is_neither_stored_nor_counted() -> None:
    replay = filled()
    broken = trajectory([1.0], group="g", stop=StopReason.INFRA_ERROR)
    broken.task_id = "t"
    replay.store([broken], [1.0])
    assert len(replay) == 1
    fresh = [broken, *group([0.0] * 3)]
    served, report = replay.serve(fresh, scores(fresh), 0)
    assert report.rows == [1]
    assert served[0] is broken


def test_old_successes_can_be_refused() -> None:
    replay, fresh = filled(max_age=2), group([0.0] * 4)
    assert replay.serve(fresh, scores(fresh), 2)[1].rows == [0]
    assert replay.serve(fresh, scores(fresh), 3)[1].rows == []


def test_replay_can_be_turned_off() -> None:
    replay = SuccessReplay(ReplayConfig(enabled=False), 0)
    success = group([1.0])
    replay.store(success, [1.0])
    fresh = group([0.0] * 4)
    assert len(replay) == 0
    served, report = replay.serve(fresh, scores(fresh), 0)
    assert served == fresh
    assert (report.failed_groups, report.rows) == (1, [])


def test_a_restored_buffer_chooses_what_the_unbroken_one_would_have() -> None:
    def fill() -> SuccessReplay:
        replay = SuccessReplay(ReplayConfig(), 5)
        for i in range(6):
            replay.store([stored[i]], [1.0])
        return replay

    stored = [group([1.0], name=str(i))[0] for i in range(6)]
    unbroken = fill()
    resumed = SuccessReplay(ReplayConfig(), 5)
    fresh = group([0.0] * 4)
    unbroken.serve(fresh, scores(fresh), 0)
    resumed.restore(**unbroken.state())
    for _ in range(5):
        theirs = unbroken.serve(fresh, scores(fresh), 0)[0][0]
        ours = resumed.serve(fresh, scores(fresh), 0)[0][0]
        assert ours.meta["replayed_from"] == theirs.meta["replayed_from"]
