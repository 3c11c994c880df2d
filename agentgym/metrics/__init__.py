"""Figures of a run: `metrics.jsonl` always, TensorBoard, wandb and trackio when asked.

`MetricsLog` writes them, `rollout_metrics` makes them from a list of trajectories, `read_metrics`
reads them back. Names have slashes: `rollout/…`, `group/…`, `stop/…`, `infra/…`, `env/…` come from
here, `loss/…`, `drift/…` and so on from the trainers. What is wall-clock time stands under `time/`;
everything else is equal, bit for bit, in a resumed run and in an unbroken one.
"""

from agentgym.metrics.log import MetricsLog, read_metrics
from agentgym.metrics.rollout import rollout_metrics
from agentgym.metrics.trackers import Tracker, TrackerKind, open_tracker

__all__ = [
    "MetricsLog",
    "read_metrics",
    "rollout_metrics",
    "Tracker",
    "TrackerKind",
    "open_tracker",
]
