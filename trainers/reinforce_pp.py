"""REINFORCE++: PPO's clipped loss with a batch-wide baseline (arXiv 2501.03262).

    G_k = sum_{l >= k} gamma^(l-k) r_l          the return of each turn, divergence penalty included
    A_k = (G_k - mean) / (std + eps)            over the batch, not the group

With `advantage.estimator=batch_whitened_group_centred` it is the `-baseline` variant: the group's
mean is taken off first, then the batch is whitened.

| | released code | ours |
|---|---|---|
| whitening | over tokens: long trajectories set the mean | over trajectories |
| return across a tool's answer | reset in some releases (verl pull request 6376) | carried |
"""

from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.reference_reward import ReferenceRewardConfig, ReferenceRewardTrainer
from agentgym.trainers.settings import ALGORITHMS


class ReinforcePPConfig(ReferenceRewardConfig):
    """Settings of REINFORCE++."""

    loss: PolicyLossConfig = ALGORITHMS["reinforce_pp"].loss
    advantage: AdvantageConfig = ALGORITHMS["reinforce_pp"].advantage or AdvantageConfig()


class ReinforcePP(ReferenceRewardTrainer):
    """REINFORCE++."""

    name = "reinforce_pp"
    config_class = ReinforcePPConfig
