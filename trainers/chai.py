"""`Chai`: the policy of a finished ArCHer run whose critic chooses among its answers.

What `agentgym eval ID --policy chai:RUN` plays (arXiv 2204.08426): the model samples several
answers, and the one with the highest Qbar is said. Any finished run of ArCHer can be played so, not
those of the preset `chai` alone.
"""

from pathlib import Path

from agentgym.config import load
from agentgym.errors import DataError, UsageError
from agentgym.run_dir import RunDir
from agentgym.trainers.archer_config import PRESETS, ArCHerConfig
from agentgym.trainers.best_of import BestOf
from agentgym.trainers.checkpoint import checkpoints
from agentgym.trainers.encoders import EncoderKind
from agentgym.trainers.models import load_model
from agentgym.trainers.policy_gradient import serve
from agentgym.trainers.utterance_critic import UtteranceCritic

_COUNT = int(PRESETS["chai"]["best_of"])


class Chai(BestOf):
    """Says what the critic of a run's last checkpoint likes best.

    Args:
        run: The run's folder.
        count: How many answers it chooses from; None: the run's own `best_of`, or 5 if that is 1.

    Raises:
        UsageError: If the run is none of ArCHer's, or `count` is below 1.
        DataError: If there is no run, no checkpoint yet, or it can't be read.
        ConfigError: If the run's configuration can't be read.
        UnknownNameError: If its `policy.kind` isn't installed here.
    """

    def __init__(self, run: str | Path, *, count: int | None = None) -> None:
        directory = RunDir.open(run)
        if directory.info.command != "train archer":
            raise UsageError(
                f"{run} is a run of `{directory.info.command}`, and chai needs the critic of "
                "`train archer`."
            )
        if count is not None and count < 1:
            raise UsageError(f"count is at least 1, got {count}")
        config = load(ArCHerConfig, [directory.config_file])
        found = checkpoints(directory.checkpoints)
        if not found:
            raise DataError(f"{run} has no checkpoint yet; train for checkpoint.every steps first")
        loaded = load_model(config.model, seed=config.seed)
        if config.model.lora and config.critic.encoder.kind is EncoderKind.POLICY:
            raise UsageError(
                f"{run} has adapters, and a critic that would switch them off while answers are "
                "sampled (critic.encoder.kind=policy)."
            )
        # First the critic, which may read the model as it was before it learnt.
        critic = UtteranceCritic(config.critic, loaded, seed=config.seed)
        found[-1].load_weights(loaded.model)
        critic.load_state_dict(found[-1].state()["extra"]["critic"])
        if count is None:
            count = config.best_of if config.best_of > 1 else _COUNT
        super().__init__(serve(loaded, config), critic.scores, count)

    async def close(self) -> None:
        """Close the policy, which nobody else has."""
        await self.policy.close()
