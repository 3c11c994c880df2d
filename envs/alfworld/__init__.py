"""ALFWorld: household tasks in text, on a native engine. Start reading at `env.py`."""

from agentgym.envs.alfworld.env import ALFWorldEnv

__all__ = ["ALFWorldEnv"]
