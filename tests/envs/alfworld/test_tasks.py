"""Where games come from: generated, ALFWorld's folders, a single file."""

import json
from pathlib import Path

import pytest

from agentgym.envs.alfworld.generator import Split, TaskType, generate, write_game
from agentgym.envs.alfworld.tasks import (
    GameFiles,
    GeneratedGames,
    parse_task_types,
    single_game,
    split_folder,
)
from agentgym.errors import DataError, UnknownNameError, UsageError


def test_a_generated_game_is_found_by_its_id() -> None:
    games = GeneratedGames(Split.TRAIN, difficulty="tiny", count=20)
    for index in (0, 7, 19):
        assert games.find(games[index].id) == index
    assert len({games[i].id for i in range(20)}) == 20


def test_ids_of_other_games_are_refused() -> None:
    games = GeneratedGames(Split.TRAIN, difficulty="tiny", count=5)
    beyond = GeneratedGames(Split.TRAIN, difficulty="tiny", count=9)[8].id
    elsewhere = GeneratedGames(Split.VALID_UNSEEN, difficulty="tiny")[2].id
    for name in (beyond, elsewhere, "", "nonsense", "a/trial_train_000002_00000000"):
        with pytest.raises(UnknownNameError):
            games.find(name)


def test_splits_have_alfworlds_sizes_unless_told() -> None:
    assert [len(GeneratedGames(split)) for split in Split] == [3553, 140, 134]
    assert len(GeneratedGames(Split.TRAIN, count=3)) == 3
    with pytest.raises(UsageError, match="at least 1"):
        GeneratedGames(Split.TRAIN, count=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five games, of which ALFWorld would read two."""
    root = tmp_path / "json_2.1.1" / "train"
    for index in range(2):
        game = generate(index, difficulty="tiny", task_types=["pick_and_place_simple"])
        write_game(game, root / game.id)
    template = next(root.rglob("game.tw-pddl")).parent
    for name in ("movable", "Sliced"):
        copied = root / f"pick_and_place_simple-{name}-None-Desk-301" / "trial"
        copied.mkdir(parents=True)
        for file in template.iterdir():
            (copied / file.name).write_bytes(file.read_bytes())
    unsolvable = root / "pick_and_place_simple-Mug-None-Desk-301" / "trial_unsolvable"
    unsolvable.mkdir(parents=True)
    for file in template.iterdir():
        (unsolvable / file.name).write_bytes(file.read_bytes())
    game = json.loads((unsolvable / "game.tw-pddl").read_text())
    (unsolvable / "game.tw-pddl").write_text(json.dumps({**game, "solvable": False}))
    (root / "pick_and_place_simple-Cup-None-Desk-301" / "trial_empty").mkdir(parents=True)
    return tmp_path


def test_what_alfworld_skips_is_skipped(folder: Path) -> None:
    games = GameFiles(split_folder(Split.TRAIN, folder))
    assert len(games) == 2
    for index in range(2):
        task = games[index]
        assert games.find(task.id) == index
        assert task.goal.startswith("put")
        assert f"Your task is to: {task.goal}." in task.data["game"]["grammar"]
    with pytest.raises(UnknownNameError):
        games.find("elsewhere/trial")


def test_task_types_are_filtered(folder: Path) -> None:
    root = split_folder(Split.TRAIN, folder)
    assert len(GameFiles(root, parse_task_types([1]))) == 2
    with pytest.raises(DataError, match="holds no ALFWorld games"):
        GameFiles(root, parse_task_types(["look_at_obj_in_light"]))


def test_missing_data_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    with pytest.raises(DataError, match=r"\$ALFWORLD_DATA, which is not set"):
        split_folder(Split.TRAIN)
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    with pytest.raises(DataError, match="alfworld-download"):
        split_folder(Split.TRAIN)


@pytest.mark.parametrize(("text", "says"), [("{", "not valid JSON"), ("[]", "holds no game")])
def test_damaged_files_are_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "game.tw-pddl"
    file.write_text(text)
    with pytest.raises(DataError, match=says) as fault:
        single_game(file)
    assert str(file) in str(fault.value)


def test_task_types_by_name_and_by_number() -> None:
    assert parse_task_types(None) is None
    assert parse_task_types([4, "look_at_obj_in_light"]) == (TaskType.HEAT, TaskType.LOOK)
    with pytest.raises(UnknownNameError, match="pick_and_place_simple"):
        parse_task_types(["pick_and_place"])
    with pytest.raises(UnknownNameError):
        parse_task_types([7])
