"""Guess My City over a table of cities. Start reading at `env.py`."""

from agentgym.envs.dialogue.guess_my_city.env import GuessMyCityEnv

__all__ = ["GuessMyCityEnv"]
