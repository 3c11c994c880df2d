"""`evaluate`: what it refuses."""

import pytest
import toy_envs

from agentgym.errors import UsageError
from agentgym.evaluation import evaluate
from agentgym.policies import make_policy


@pytest.mark.parametrize("episodes", [0, -1])
def test_an_evaluation_of_nothing_is_refused(episodes: int) -> None:
    with pytest.raises(UsageError, match=f"takes 1 episode or more, got {episodes}"):
        evaluate(toy_envs.COUNTER, make_policy("random"), episodes)
