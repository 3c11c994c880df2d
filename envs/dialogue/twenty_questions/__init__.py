"""Twenty Questions over a table of everyday objects. Start reading at `env.py`."""

from agentgym.envs.dialogue.twenty_questions.env import TwentyQuestionsEnv

__all__ = ["TwentyQuestionsEnv"]
