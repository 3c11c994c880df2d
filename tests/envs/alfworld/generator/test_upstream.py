"""Our games in ALFWorld's own engine: they open, play as on its own rules, and can be won."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from agentgym.envs.alfworld.generator import GameData, TaskType, generate, write_dataset

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))  # or importing it makes ~/.cache/alfworld
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # its PDDL translator overwrites it
    pytest.importorskip("alfworld")
    pytest.importorskip("textworld")


def textworld_play(data: GameData) -> Any:
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs import PddlEnv

    infos = textworld.EnvInfos(admissible_commands=True, won=True)
    env = AlfredDemangler(PddlEnv(infos), shuffle=False)
    env.load(data)
    return env


@pytest.mark.parametrize("task_type", TaskType)
def test_textworld_plays_both_rules_the_same(task_type: TaskType):
    ours, theirs = (
        generate(2, split="valid_unseen", task_types=[task_type], difficulty="small", domain=domain)
        for domain in ("agentgym", "alfred")
    )
    plays = [textworld_play(made.data) for made in (ours, theirs)]
    states = [play.reset() for play in plays]
    dice = random.Random(0)

    def same() -> None:
        for key in ("feedback", "admissible_commands", "won"):
            assert states[0][key] == states[1][key]

    same()
    for _ in range(8):
        command = dice.choice([*states[0]["admissible_commands"], "dance"])
        states = [play.step(command)[0] for play in plays]
        same()
    states = [play.reset() for play in plays]
    for command in ours.data["walkthrough"]:
        assert not states[0]["won"]
        states = [play.step(command)[0] for play in plays]
        same()
    assert states[0]["won"]


def config(root: Path) -> dict[str, Any]:
    folder = root / "json_2.1.1"
    return {
        "env": {
            "goal_desc_human_anns_prob": 0,
            "task_types": [1, 2, 3, 4, 5, 6],
            "domain_randomization": False,
            "expert_type": "handcoded",
        },
        "dataset": {
            "data_path": str(folder / "train"),
            "eval_id_data_path": str(folder / "valid_seen"),
            "eval_ood_data_path": str(folder / "valid_unseen"),
            "num_train_games": -1,
            "num_eval_games": -1,
        },
        "general": {"training_method": "dqn"},
        "rl": {"training": {"max_nb_steps_per_episode": 50}},
    }


def test_alfred_tw_env_opens_and_wins_a_written_data_set(tmp_path: Path):
    from alfworld.agents.environment.alfred_tw_env import AlfredTWEnv

    list(write_dataset(tmp_path, train=2, valid_seen=3, valid_unseen=1, difficulty="tiny"))
    counts = {"train": 2, "eval_in_distribution": 3, "eval_out_of_distribution": 1}
    for name, count in counts.items():
        source = AlfredTWEnv(config(tmp_path), train_eval=name)
        assert source.num_games == count
        env = source.init_env(batch_size=1)
        try:
            for _ in range(count):
                _, infos = env.reset()
                game = json.loads(Path(infos["extra.gamefile"][0]).read_text())
                for command in game["walkthrough"]:
                    assert not infos["won"][0]
                    *_, infos = env.step([command])
                assert infos["won"][0]
        finally:
            env.close()


def test_alfworlds_expert_finds_its_way(tmp_path: Path):
    # Not with two objects: it waits for the words "put" to know that it let go of the first one,
    # and the command is "move" since alfworld 0.4.
    from alfworld.agents.expert import HandCodedTWAgent

    solvable = [task_type for task_type in TaskType if task_type is not TaskType.PICK_TWO]
    for seed, task_type in enumerate(solvable):
        (path,) = write_dataset(
            tmp_path / str(seed), train=1, task_types=[task_type], difficulty="small"
        )
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
        from textworld.envs import PddlEnv

        infos = textworld.EnvInfos(admissible_commands=True, won=True, facts=True)
        env = AlfredDemangler(PddlEnv(infos), shuffle=False)
        env.load(str(path))
        random.seed(0)  # the expert chooses among equals with the global generator
        expert = HandCodedTWAgent(max_steps=50)
        expert.reset(str(path))
        state = env.reset()
        expert.observe(state["feedback"])
        command = ""
        for _ in range(50):
            command = expert.act(state, 0, state["won"], command)
            if command not in state["admissible_commands"]:
                command = "look"
            state, _, done = env.step(command)
            if done:
                break
        assert state["won"], task_type
