"""`RolloutConfig`: how many episodes at once, how long each stage may take, what is tried again."""

from typing import Self

from pydantic import Field, model_validator

from agentgym.backoff import Backoff
from agentgym.config import Config
from agentgym.env import WorkerKind


class RolloutConfig(Config):
    """How episodes are run.

    Attributes:
        concurrency: Episodes at a time, and so environments; None for what suits where they live
            (256 on the shared thread, 64 on threads of their own, one process per core), and no
            more than the policy serves well (`Policy.episodes_at_once`).
        reset_concurrency: Most resets at a time (starting a browser is dear); None for no limit
            beyond `concurrency`.
        generate_concurrency: Most requests to the policy at a time.
        step_concurrency: Most steps at a time.
        score_concurrency: Most trajectories being scored at a time.
        deterministic: Ask the policy in rounds, once every running episode waits (`Lockstep`):
            results then repeat to the last bit on one machine, at the price of lock-step.
        worker: Where environments live; None for where they ask to.
        max_turns: Turns after which an episode is cut, whatever its environment allows.
        max_tokens: Ids that a conversation may grow to; an episode whose next prompt leaves no room
            for an answer ends before sampling. The policy's context is a limit besides.
        reset_seconds: Longest reset, making the environment included.
        step_seconds: Longest step.
        generate_seconds: Longest answer, queueing in the policy included.
        score_seconds: Longest scoring.
        close_seconds: Longest time that closing an environment, or winding up, may take.
        retries: How often an episode that met an `InfraError` is started again, on a fresh worker.
        backoff: The delays before these.
    """

    concurrency: int | None = Field(default=None, ge=1)
    reset_concurrency: int | None = Field(default=None, ge=1)
    generate_concurrency: int | None = Field(default=None, ge=1)
    step_concurrency: int | None = Field(default=None, ge=1)
    score_concurrency: int | None = Field(default=None, ge=1)
    deterministic: bool = False
    worker: WorkerKind | None = None
    max_turns: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    reset_seconds: float = Field(default=300.0, gt=0)
    step_seconds: float = Field(default=120.0, gt=0)
    generate_seconds: float = Field(default=600.0, gt=0)
    score_seconds: float = Field(default=600.0, gt=0)
    close_seconds: float = Field(default=10.0, gt=0)
    retries: int = Field(default=2, ge=0)
    backoff: Backoff = Backoff()

    @model_validator(mode="after")
    def _rounds_need_everybody(self) -> Self:
        if self.deterministic and self.generate_concurrency is not None:
            raise ValueError(
                "deterministic asks all running episodes' requests at once, so generate_concurrency"
                " must be left out; lower concurrency instead"
            )
        return self
