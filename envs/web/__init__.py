"""Environments in a web browser."""

from agentgym.envs.web.browsing import BrowserEnv
from agentgym.envs.web.judges import Visit
from agentgym.envs.web.miniwob import MiniWoBEnv
from agentgym.envs.web.web_tasks import WebTask

__all__ = ["BrowserEnv", "MiniWoBEnv", "Visit", "WebTask"]
