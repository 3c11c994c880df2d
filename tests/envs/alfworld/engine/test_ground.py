import random

import pytest
from alfworld_games import workshop
from naive_pddl import NaiveWorld

from agentgym.envs.alfworld.engine import Game, compile_domain
from agentgym.envs.alfworld.engine.ground import ground
from agentgym.envs.alfworld.engine.pddl import read_domain, read_problem
from agentgym.errors import DataError


@pytest.fixture(scope="module")
def game() -> Game:
    return Game.from_data(workshop())


@pytest.fixture(scope="module")
def naive() -> NaiveWorld:
    data = workshop()
    domain = read_domain(data["pddl_domain"])
    return NaiveWorld(domain, read_problem(data["pddl_problem"], domain))


@pytest.mark.parametrize("seed", range(4))
def test_operators_do_what_pddl_says(game: Game, naive: NaiveWorld, seed: int):
    dice = random.Random(seed)
    state, facts = game.initial, naive.initial
    for _ in range(25):
        expected = {
            key: after for key, after in naive.successors(facts).items() if key[0] != "stay"
        }
        ours = {
            (game.operators[number].action, game.operators[number].args): number
            for number in game.applicable(state)
        }
        assert ours.keys() == expected.keys()
        for key, number in ours.items():
            physical = {
                fact
                for fact in game.facts(game.apply(state, number))
                if fact[0] in game.grounding.ids
            }
            known = {fact for fact in expected[key] if game.fact_id(fact[0], *fact[1]) is not None}
            assert physical == known
        assert game.is_goal(state) == naive.holds(naive.problem.goal, facts, {})
        key = dice.choice(sorted(ours))
        state, facts = game.apply(state, ours[key]), expected[key]


def test_what_can_not_change_anything_is_no_operator(game: Game):
    assert "stay" not in {operator.action for operator in game.operators}


def test_what_nothing_reads_is_no_fact(game: Game):
    predicates = {predicate for predicate, _ in game.grounding.facts[: game.grounding.plain]}
    assert "seen" not in predicates
    assert {"in", "holding", "open", "lit"} <= predicates
    assert "linked" not in predicates  # it never changes
    assert ("yard_bar_1", "hall_bar_1") not in game.static_facts("linked")
    assert ("hall_bar_1", "yard_bar_1") in game.static_facts("linked")


def test_only_what_can_be_reached_is_grounded():
    problem = workshop()["pddl_problem"].replace("(linked Hall_bar_1 Yard_bar_1)", "")
    game = Game.from_data(workshop(pddl_problem=problem))
    assert game.fact_id("in", "ann_bar_1", "yard_bar_1") is None
    assert game.fact_id("in", "ann_bar_1", "cellar_bar_1") is not None
    assert game.fact_id("at", "crate_bar_10", "cellar_bar_1") is None


def test_physical_facts_decide_what_applies(game: Game):
    dice = random.Random(0)
    seen: dict[int, tuple[dict[str, int], bool]] = {}
    twice = 0
    state = game.initial
    for step in range(2000):
        if step % 50 == 0:
            state = game.initial
        found = (game.moves(state), game.is_goal(state))
        key = state & game.physical
        twice += key in seen
        assert seen.setdefault(key, found) == found
        state = game.apply(state, dice.choice(game.applicable(state)))
    assert twice > 50


def test_the_goal_is_data(game: Game):
    assert "bright" not in str(game.goal)  # derived predicates are written out
    assert "lit" in str(game.goal)


def test_numbers_are_the_same_in_every_grounding(game: Game):
    data = workshop()
    domain = compile_domain(data["pddl_domain"], data["grammar"])
    again = ground(domain, read_problem(data["pddl_problem"], domain.rules.pddl))
    assert again.facts == game.grounding.facts
    assert again.operators == game.operators
    assert again.initial == game.initial


def test_a_goal_out_of_reach_is_never_won():
    problem = workshop()["pddl_problem"]
    goal = problem.index("(:goal")
    game = Game.from_data(workshop(pddl_problem=f"{problem[:goal]}(:goal (lit lantern)))"))
    assert game.grounding.goal[0].alternatives == ()
    assert not game.is_goal(game.initial)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "(:derived (tidy ?p - room)",
            "(:derived (tidy ?p - room) (tidy ?p))(:derived (bright ?p - room)",
            "itself",
        ),
        (":effect (seen ?p)", ":effect (tidy ?p)", "changes derived predicate"),
        (
            ":effect (seen ?p)",
            ":effect (when (forall (?t - thing) (hidden ?t)) (seen ?p))",
            "universal condition",
        ),
    ],
)
def test_what_is_not_supported_says_so(old: str, new: str, message: str):
    domain = workshop()["pddl_domain"].replace(old, new, 1)
    with pytest.raises(DataError, match=message):
        Game.from_data(workshop(pddl_domain=domain))
