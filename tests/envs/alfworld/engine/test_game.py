import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alfworld_games import crowded, shared_game, workshop
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine import Game, compile_domain
from agentgym.errors import DataError

GAME = Game.from_data(workshop())
NESTED = f"(define (problem p) (:domain workshop) (:goal {'(not ' * 5000}(lit x){')' * 5001})"


def test_the_first_text():
    play = GAME.start()
    assert play.feedback.startswith("Hello.\nann 1and bob 1 see: a blue_bar_1 stool , a box 1, ")
    assert play.feedback.endswith(f"\n\n{GAME.task}")
    assert GAME.task == "Your task is to: paint a crate red"  # the semicolon cuts the rest off
    assert not play.won
    assert not play.done


def test_admissible_commands_are_sorted_and_apply():
    play = GAME.start()
    assert play.admissible == sorted(play.admissible)
    for command in play.admissible:
        other = play.copy()
        said = other.step(command)
        assert (said == "Nothing happens.") == (command != command.strip())
    assert play.state == GAME.initial


def test_a_list_is_the_callers_own():
    play = GAME.start()
    play.admissible.clear()
    assert play.admissible


@settings(max_examples=50)
@given(st.text())
def test_any_text_is_a_command(command: str):
    play = GAME.start()
    if command.strip() not in play.admissible:
        assert play.step(command) == "Nothing happens."
        assert play.state == GAME.initial


def test_white_space_around_a_command_is_dropped():
    play = GAME.start()
    assert play.step("  ann 1: look\n").startswith("ann 1 see: a blue_bar_1 stool ")
    # ... so what ends in a space can't be said, as in TextWorld.
    assert "ann 1: grab stool " in play.admissible
    assert play.step("ann 1: grab stool ") == "Nothing happens."


def test_text_reads_the_record_of_changes():
    play = GAME.start()
    for is_open in (False, True):
        # Both conditional effects go on record, the deletion last: it is never open again.
        assert play.step("ann 1: toggle box 1").startswith("The box 1 shuts.")
        assert (("open", ("box_bar_9",)) in GAME.facts(play.state)) == is_open


def test_a_copy_goes_its_own_way():
    play = GAME.start()
    play.step("ann 1: look")
    other = play.copy()
    other.step("ann 1: walk to yard 1")
    other.step("bob 1: grab crate 1")
    assert play.feedback != other.feedback
    assert play.state == GAME.initial
    assert "bob 1: grab crate 1" in play.admissible
    assert "bob 1: grab crate 1" not in other.admissible


def test_commands_and_operators():
    for number in GAME.applicable(GAME.initial):
        command = GAME.command(number)
        assert GAME.operator(command, GAME.initial) == number
        first = GAME.operator(command)
        assert first is not None
        assert GAME.command(first) == command
    assert GAME.operator("fly") is None
    assert GAME.operator("bob 1: drop box 1") is not None
    assert GAME.operator("bob 1: drop box 1", GAME.initial) is None


def test_objects_and_names():
    assert GAME.objects["robot"] == ["ann_bar_1", "bob_bar_1"]
    assert set(GAME.objects["box"]) > set(GAME.objects["crate"])
    assert GAME.names["crate_bar_10"] == "crate 3"
    assert GAME.names["crate_bar_minus_3_dot_5"] == "crate 1"


def test_facts_name_their_bits():
    for predicate, args in GAME.facts(GAME.initial):
        fact = GAME.fact_id(predicate, *args)
        assert fact is not None
        assert GAME.initial >> fact & 1
    assert GAME.fact_id("in", "ann_bar_1", "nowhere") is None


def test_a_command_that_depends_on_the_state_is_refused():
    grammar = workshop()["grammar"].replace(
        '"{r.name}: grab {t}"', '"grab {t} from [{b.name | inside(t:thing, b:box)}]"'
    )
    game = Game.from_data(workshop(grammar=grammar))
    with pytest.raises(DataError, match="'grab': it depends on facts that change"):
        game.start()


def test_domains_are_compiled_once():
    data = workshop()
    one = compile_domain(data["pddl_domain"], data["grammar"])
    assert compile_domain(data["pddl_domain"] + "", data["grammar"]) is one
    other = compile_domain(data["pddl_domain"], data["grammar"].replace("Hello", "Good day"))
    assert other.rules is one.rules


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"{}", "no text under 'pddl_domain'"),
        (json.dumps(workshop(pddl_problem="(define")).encode(), "open at its end"),
        (json.dumps(workshop(grammar="")).encode(), "no action"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (json.dumps(workshop() | {"walkthrough": "look"}).encode(), "not a list of commands"),
        (json.dumps(workshop(grammar='grammar :: """{}""";')).encode(), "no action"),
        (json.dumps(workshop(pddl_problem=NESTED)).encode(), "nested too deeply"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "game.tw-pddl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Game.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="check the path"):
        Game.load(tmp_path / "none.tw-pddl")


def test_the_same_game_in_another_process(tmp_path: Path):
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(workshop()))
    code = (
        "import random, sys; from agentgym.envs.alfworld.engine import Game\n"
        "play, dice = Game.load(sys.argv[1]).start(), random.Random(0)\n"
        "print([(play.step(dice.choice(play.admissible)), play.state) for _ in range(30)])"
    )

    def run(seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout

    with ThreadPoolExecutor() as pool:
        runs = set(pool.map(run, ("1", "2")))
    assert len(runs) == 1


def test_memories_are_bounded(monkeypatch: pytest.MonkeyPatch):
    from agentgym.envs.alfworld.engine import game, places, text

    for module, name in (
        (places, "_MEMORY"),
        (places, "_PLACES"),
        (text, "_MEMORY"),
        (game, "_MEMORY"),
    ):
        monkeypatch.setattr(module, name, 2)
    small = Game.from_data(workshop())
    dice = random.Random(1)
    ours, peer = small.start(), GAME.start()
    for _ in range(300):
        command = dice.choice(peer.admissible)
        assert ours.step(command) == peer.step(command)
        assert ours.admissible == peer.admissible
        assert ours.state == peer.state


def test_what_left_its_place_lies_beside_it():
    # An object that moved to another place on the same spot lies beside the first one, as far as
    # TextWorld's record goes.
    play = Game.from_data(crowded(1)).start()
    play.step(next(command for command in play.admissible if command.startswith("go to")))
    for command in play.admissible:
        if command.startswith("open"):
            play.step(command)
    take = next(command for command in play.admissible if command.startswith("take"))
    thing, place = take.removeprefix("take ").split(" from ")
    play.step(take)
    play.step(
        next(
            command
            for command in play.admissible
            if command.startswith("move") and not command.endswith(place)
        )
    )
    assert play.step("look").endswith(f". Next to it, you see a {thing}.")


def test_a_real_game():
    game = Game.load(shared_game("tiny_apple"))
    play = game.start()
    assert game.task == "Your task is to: put a hot apple in fridge."
    said = [
        play.step(command)
        for command in (
            "go to countertop 1",
            "take apple 1 from countertop 1",
            "go to microwave 1",
            "heat apple 1 with microwave 1",
            "inventory",
            "examine apple 1",
            "go to fridge 1",
            "move apple 1 to fridge 1",
            "open fridge 1",
            "move apple 1 to fridge 1",
        )
    ]
    assert said == [
        "You arrive at countertop 1. On the countertop 1, you see a apple 1.",
        "You pick up the apple 1 from the countertop 1.",
        "You arrive at microwave 1. The microwave 1 is closed.",
        "You heat the apple 1 using the microwave 1.",
        "You are carrying: a apple 1.",
        "This is a hot apple 1.",
        "You arrive at fridge 1. The fridge 1 is closed.",
        "Nothing happens.",
        "You open the fridge 1. The fridge 1 is open. In it, you see a mug 1.",
        "You move the apple 1 to the fridge 1.",
    ]
    assert play.won
    assert play.done
