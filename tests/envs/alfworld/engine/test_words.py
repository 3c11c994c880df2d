import pytest
from alfworld_games import workshop
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine import Game
from agentgym.envs.alfworld.engine.text import (
    Choice,
    Items,
    Saying,
    Tree,
    Unsayable,
    looks_at,
    say,
    sequence,
)
from agentgym.errors import DataError


def game_that_looks(rules: str) -> Game:
    grammar = workshop()["grammar"]
    start, end = grammar.index('{"look.feedback": ['), grammar.index("action inspect")
    return Game.from_data(
        workshop(grammar=f'{grammar[:start]}{{{rules}}}""";\n}}\n{grammar[end:]}')
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("[{l.name | lit(l:lamp)}]", "lamp 1"),
        ("[{o.name | mixed(o:colour)}]", "blue 1, green 1and red 1"),
        ("{o.name | mixed(o:colour)}", "blue 1green 1red 1"),
        ("[{r.name | hidden(r:thing)}]", "nothing at all"),
        # Sorted by identifier within a type, types in TextWorld's order: crates come up twice.
        (
            "{t.name | at(t:thing, p:room)};",
            "stool box 1crate 3crate 2crate 1lamp 2lamp 1crate 3crate 2crate 1",
        ),
        # Two variables never stand for the same object.
        ("[{x.name | in(x:robot, p:room) & in(y:robot, q:room)}]", "ann 1and bob 1"),
        ("[{x.name | in(x:robot, p:room) & in(y:robot, p:room)}]", "nothing at all"),
        (
            "{x.name | at(x:lamp, p:room) & lit(x:lamp)}{y.type | in(y:robot, q:room)}",
            "lamp 1robotrobot",
        ),
    ],
)
def test_queries_are_answered_in_textworlds_order(rule: str, said: str):
    game = game_that_looks(f'"look.feedback": [{{"rhs": "{rule}"}}]')
    assert game.introduction.partition("\n")[2].partition("\n\n")[0] == said


def test_the_first_rule_that_applies_is_taken():
    game = game_that_looks(
        '"look.feedback": [{"condition": "hidden(t:thing)", "rhs": "{oops.name}"},'
        ' {"condition": "at(t:lamp, p:room)", "rhs": "#lamp#"}, {"rhs": "#nowhere#"}],'
        ' "lamp": [{"condition": "holding(x:robot, t:lamp)", "rhs": "{oops.name}"},'
        ' {"rhs": "a lamp"}]'
    )
    assert game.introduction.startswith("Hello.\na lamp")
    play = game.start()
    assert play.step("ann 1: look") == "a lamp"
    play.step("bob 1: grab lamp 1")
    with pytest.raises(DataError, match="unbound 'oops'"):
        play.step("ann 1: look")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ('"look.feedback": [{"rhs": "#nowhere#"}]', "calls symbol 'nowhere'"),
        (
            '"look.feedback": [{"condition": "hidden(t:thing)", "rhs": ""}]',
            "no rule for 'look.feedback'",
        ),
        ('"look.feedback": [{"rhs": "{x | hidden(x:hat)}"}]', "type 'hat'"),
        ('"look.feedback": [{"rhs": "{oops}"}]', "unbound 'oops'"),
    ],
)
def test_a_grammar_with_nothing_to_say(rules: str, message: str):
    with pytest.raises(DataError, match=message):
        game_that_looks(rules)


def test_a_symbol_that_calls_itself():
    game = game_that_looks(
        '"look.feedback": [{"condition": "in(r:robot, p:room)", "rhs": "here"},'
        ' {"rhs": "#look.feedback#"}]'
    )
    with pytest.raises(DataError, match="calls itself"):
        game.start()


def test_what_is_seen_does_not_depend_on_where_one_came_from():
    game = Game.from_data(workshop())
    feedback = {
        id(game._phrases(operator.action)[1].saying(operator.args))
        for operator in game.operators
        if operator.action == "grab" and operator.args[1] == "stool"
    }
    assert len(feedback) == 2  # one for each robot, whatever the room


trees = st.recursive(
    st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.builds(
            Items,
            st.lists(st.tuples(st.integers(0, 7), inner), max_size=3).map(tuple),
            st.none() | st.tuples(inner, inner, inner),
        )
        | st.builds(
            lambda options, last: Choice((*options, ((0,), last)), "x"),
            st.lists(
                st.tuples(st.lists(st.integers(0, 7), max_size=2).map(tuple), inner), max_size=2
            ),
            inner,
        )
        | st.lists(inner, max_size=3).map(sequence)
    ),
    max_leaves=8,
)


@given(trees, st.integers(0, 15), st.integers(0, 15))
def test_a_text_depends_on_what_it_looks_at(tree: Tree, one: int, other: int):
    mask = looks_at(tree)
    if one & mask == other & mask:
        assert say(tree, one) == say(tree, other)
    saying = Saying(tree, mask)
    assert [saying.text(state) for state in (one, other, one)] == [
        say(tree, state) for state in (one, other, one)
    ]


def test_what_can_not_be_said_fails_when_it_is():
    tree = Choice((((1,), Unsayable("oops")), ((0,), "fine")), "x")
    assert say(tree, 0) == "fine"
    with pytest.raises(DataError, match="oops"):
        say(tree, 1)
