"""The environment: rewards when something is bought, limits, options, and the expert's figures."""

import pickle
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym.envs.shop import ShopEnv
from agentgym.envs.shop.catalogue import Catalogue
from agentgym.envs.shop.goals import Goal
from agentgym.envs.shop.product import Product
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.stop_reason import StopReason
from agentgym.task import Task

ID = "agentgym/Shop-v0"


def make(**options: Any) -> ShopEnv:
    env = agentgym.make(ID, **{"products": 300, **options})
    assert isinstance(env, ShopEnv)
    return env


def play(env: ShopEnv, **reset: Any) -> tuple[float, dict[str, Any]]:
    """Let the expert play an episode; return its reward and its last info."""
    _, info = env.reset(**reset)
    total = 0.0
    while info["stop_reason"] is None:
        _, reward, _, _, info = env.step(info["expert_action"])
        assert info["action_error"] is None
        total += reward
    return total, info


@pytest.mark.parametrize("split", ["train", "valid"])
def test_the_expert_buys_well_within_the_limit(split: str) -> None:
    env = agentgym.make(ID, split=split, expert=True)
    assert isinstance(env, ShopEnv)
    assert len(env.catalogue.products) == 10_000
    played = [play(env, seed=seed) for seed in range(100)]
    rewards = [reward for reward, _ in played]
    assert sum(rewards) / len(rewards) >= 0.95  # the README has the figures of 1,000 goals
    assert min(rewards) > 0
    for reward, info in played:
        assert info["success"] == (reward == 1)
        assert info["stop_reason"] in (StopReason.SUCCESS, StopReason.FAILURE)


def test_the_expert_sees_nothing_but_the_goal_and_the_pages() -> None:
    # What no page shows (the attributes, which product the goal was made of) can't change its mind.
    env = make(expert=True)
    blind = make(expert=True)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        task = env.task
        other = {**task.data, "product": "P00000", "attributes": [], "options": {}}
        _, also = blind.reset(seed=seed, options={"task": Task("x", task.goal, data=other)})
        while info["stop_reason"] is None:
            assert info["expert_action"] == also["expert_action"]
            _, _, _, _, info = env.step(info["expert_action"])
            _, _, _, _, also = blind.step(also["expert_action"])


def test_the_expert_goes_on_from_where_others_have_led() -> None:
    env = make(expert=True)
    for seed in range(20):
        _, info = env.reset(seed=seed)
        for turn in range(6):
            commands = info["admissible_commands"]
            command = next(
                (one for one in commands[seed % len(commands) :] if one != "click[Buy Now]"),
                commands[0],
            )
            _, _, _, _, info = env.step("nonsense" if turn == 3 else command)
        while info["stop_reason"] is None:
            _, _, _, _, info = env.step(info["expert_action"])
            assert info["action_error"] is None
        assert info["stop_reason"] is not StopReason.TURN_LIMIT


def test_the_expert_buys_for_a_goal_that_is_not_written_like_ours() -> None:
    env = make(expert=True)
    data = env.tasks[3].data
    words = "hello, can you get me some lipstick? I like nude."
    _, info = play(env, seed=0, options={"task": Task("own", words, data=data)})
    assert info["stop_reason"] is not StopReason.TURN_LIMIT


def test_only_buying_earns_a_reward() -> None:
    env = make(expert=True)
    reward, info = play(env, seed=1)
    assert reward == 1
    assert info["metrics"]["attribute_match"] == info["metrics"]["price_match"] == 1
    assert info["metrics"]["searches"] >= 1
    assert info["admissible_commands"] == []
    _, info = env.reset(seed=1)
    assert info["metrics"] == {"searches": 0, "opened": 0}
    commands = (f"search[{env.task.goal}]", "click[Back to Search]", "what?")
    assert [env.step(command)[1] for command in commands] == [0, 0, 0]


def test_buying_the_wrong_thing_is_a_failure() -> None:
    env = make()
    env.reset(seed=0)
    kind = Goal.of(env.task, env.catalogue).wish.kind
    wrong = "lantern" if kind != "lantern" else "kettle"
    env.step(f"search[{wrong}]")
    _, _, _, _, info = env.step("click[next >]")
    first = next(one for one in info["admissible_commands"] if one.startswith("click[P"))
    env.step(first)
    _, reward, terminated, truncated, info = env.step("click[Buy Now]")
    assert reward == 0
    assert (terminated, truncated) == (True, False)
    assert (info["success"], info["stop_reason"]) == (False, StopReason.FAILURE)


def test_the_turn_limit_truncates() -> None:
    env = make(max_turns=2)
    env.reset(seed=0)
    env.step("search[kettle]")
    _, reward, terminated, truncated, info = env.step("click[Back to Search]")
    assert (reward, terminated, truncated) == (0, False, True)
    assert info["stop_reason"] is StopReason.TURN_LIMIT
    assert make().max_turns == 15


def test_a_bad_action_is_told_and_costs_a_turn() -> None:
    env = make()
    env.reset(seed=0)
    observation, reward, terminated, _, info = env.step("I would like a mug.")
    assert observation["text"] == info["action_error"]
    assert "search[words]" in observation["text"]
    assert (reward, terminated, info["turn"]) == (0, False, 1)
    assert info["admissible_commands"][0].startswith("search[")


def test_a_goal_of_one_s_own_is_played_and_scored(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    lamp = Product("L1", "Red Lamp", "lamp", 30.0, attributes=("dimmable",))
    rug = Product("R1", "Rug", "rug", 80.0, attributes=("round",), options={"size": ("2", "3")})
    Catalogue([lamp, rug]).write(file)
    env = make(catalogue=file, products=None, goals=5)
    data = {"product": "R1", "attributes": ["round"], "options": {"size": "3"}}
    observation, _ = env.reset(options={"task": Task("own", "Buy me a rug.", data=data)})
    assert observation["text"] == "Instruction: Buy me a rug.\nSearch"
    for command in ("search[rug]", "click[r1]"):
        env.step(command)
    _, reward, *_ = env.step("click[buy now]")
    assert reward == pytest.approx(2 / 3)
    assert {env.tasks[n].truth for n in range(5)} <= {"L1", "R1"}
    with pytest.raises(DataError, match="no product 'X'"):
        env.reset(options={"task": Task("own", "Buy.", data={"product": "X"})})


def test_the_data_version_tells_catalogues_and_goals_apart() -> None:
    versions: set[str] = set()
    for env in (make(), make(products=301), make(catalogue_seed=1), make(split="valid")):
        for task in (0, 1):
            env.reset(seed=0, options={"task": task})
            versions.add(env.data_version)
    assert len(versions) == 8


def test_environments_share_their_catalogue_and_travel() -> None:
    env = make()
    assert make(split="valid").catalogue is env.catalogue
    again = pickle.loads(pickle.dumps(env))
    assert again.reset(seed=3)[0] == env.reset(seed=3)[0]
    assert again.catalogue is env.catalogue


def test_one_line_observations() -> None:
    observation, _ = make(observation="sep").reset(seed=0)
    assert observation["text"].startswith("Instruction: [SEP] ")
    assert observation["text"].endswith(" [SEP] Search")


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"split": "test"}, UnknownNameError, "split 'test'"),
        ({"observation": "html"}, UnknownNameError, "observation style 'html'"),
        ({"products": 0}, UsageError, "products must be"),
        ({"catalogue_seed": 1.0}, UsageError, "catalogue_seed must be a whole number from 0"),
        ({"goals": "many"}, UsageError, "goals must be a whole number from 1, got 'many'"),
        ({"results_per_page": 0}, UsageError, "results_per_page must be"),
        ({"catalogue": "none.jsonl"}, DataError, r"none\.jsonl can't be read"),
        ({"expert": "oracle"}, UnknownNameError, "oracle"),
        ({"result_per_page": 5}, UnknownNameError, "did you mean 'results_per_page'"),
    ],
)
def test_bad_options_are_told(options: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        make(**options)


def test_reset_takes_a_task_and_nothing_else() -> None:
    with pytest.raises(UsageError, match="no option but 'task'"):
        make().reset(options={"goal": 1})
