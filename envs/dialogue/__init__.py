"""Games in which one side asks and the other answers. Start reading at `env.py`."""

from agentgym.envs.dialogue.guess_my_city import GuessMyCityEnv
from agentgym.envs.dialogue.twenty_questions import TwentyQuestionsEnv

__all__ = ["GuessMyCityEnv", "TwentyQuestionsEnv"]
