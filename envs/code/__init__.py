"""Code interpreter: problems that code solves, and code that tests judge. Start at `env.py`."""

from agentgym.envs.code.code_math import CodeMathEnv
from agentgym.envs.code.code_tests import CodeTestsEnv
from agentgym.envs.code.env import CodeEnv

__all__ = ["CodeMathEnv", "CodeTestsEnv", "CodeEnv"]
