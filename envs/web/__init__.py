"""Environments in a web browser."""

from agentgym.envs.web.miniwob import MiniWoBEnv

__all__ = ["MiniWoBEnv"]
