import pytest

from agentgym.envs.alfworld.generator import DIFFICULTIES, LEVELS, Difficulty
from agentgym.errors import UnknownNameError, UsageError


def test_levels_and_names_are_the_same_thing():
    assert [Difficulty.of(level) for level in range(1, 6)] == [Difficulty.of(n) for n in LEVELS]
    assert Difficulty.of("tiny") == Difficulty(receptacles=5, objects=4)
    assert Difficulty.of(Difficulty(7, 7)) == Difficulty(7, 7)


def test_levels_grow():
    *bounded, full = DIFFICULTIES.values()
    assert full == Difficulty(None, None)
    for name in ("receptacles", "objects"):
        sizes = [getattr(level, name) for level in bounded]
        assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("value", [0, 6, -1, "tyni", "", "7"])
def test_an_unknown_level_is_refused(value: int | str):
    with pytest.raises(UnknownNameError, match="difficulty"):
        Difficulty.of(value)


@pytest.mark.parametrize("sizes", [(3, 10), (5, 2), (0, 0)])
def test_a_room_too_small_for_a_goal_is_refused(sizes: tuple[int, int]):
    with pytest.raises(UsageError, match="too few"):
        Difficulty(*sizes)
