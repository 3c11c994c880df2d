import json
from pathlib import Path

from agentgym.envs.alfworld.generator import TaskType, generate, traj_data, write_dataset


def test_a_data_set_has_alfworlds_layout(tmp_path: Path):
    paths = list(write_dataset(tmp_path, train=3, valid_seen=2, valid_unseen=1, difficulty=1))
    assert [path.relative_to(tmp_path).parts[:2] for path in paths] == [
        *[("json_2.1.1", "train")] * 3,
        *[("json_2.1.1", "valid_seen")] * 2,
        ("json_2.1.1", "valid_unseen"),
    ]
    for path in paths:
        task, trial = path.parts[-3:-1]
        assert path.name == "game.tw-pddl"
        assert trial.startswith("trial_")
        about = json.loads((path.parent / "traj_data.json").read_text())
        assert about["task_id"] == trial
        assert task.startswith(about["task_type"] + "-" + about["pddl_params"]["object_target"])
        game = json.loads(path.read_text())
        assert game.keys() == {
            "pddl_domain",
            "grammar",
            "pddl_problem",
            "solvable",
            "walkthrough",
        }
        assert (path.parent / "initial_state.pddl").read_text() == game["pddl_problem"]


def test_files_hold_the_generated_game(tmp_path: Path):
    (path,) = write_dataset(tmp_path, valid_seen=1, task_types=["look_at_obj_in_light"])
    game = generate(0, split="valid_seen", task_types=[TaskType.LOOK])
    assert json.loads(path.read_text()) == game.data
    assert "/".join(path.parts[-3:-1]) == game.id


def test_traj_data_tells_a_lamp_from_a_place():
    look = traj_data(generate(0, task_types=["look_at_obj_in_light"]))
    put = traj_data(generate(0, task_types=["pick_and_place_simple"]))
    assert "Lamp" in look["pddl_params"]["toggle_target"]
    assert look["pddl_params"]["parent_target"] == ""
    assert put["pddl_params"]["toggle_target"] == ""


def test_a_data_set_is_written_one_game_at_a_time(tmp_path: Path):
    writing = write_dataset(tmp_path, train=10**9, difficulty=1)
    first = next(writing)
    assert first.exists()
    assert len(list(tmp_path.rglob("game.tw-pddl"))) == 1
