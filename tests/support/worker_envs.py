"""Environments that try what a worker process has to cope with, importable by name."""

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from toy_envs import Moody

from agentgym.env import Frame
from agentgym.task import Task


class Spawning(Moody):
    """Starts a process of its own, which inherits what it can."""

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
        return replace(super()._begin(task, options), info={"child": child.pid})


class Unsendable(Moody):
    """Its `info` holds what can't be pickled."""

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        return replace(super()._begin(task, options), info={"function": lambda: None})
