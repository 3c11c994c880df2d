"""RLOO: REINFORCE with a leave-one-out baseline (arXiv 2402.14740, section 3.3; Kool et al. 2019).

    A_i  = R_i - mean of the other members' R
    loss = -1/N sum_i A_i log pi(o_i)

A trajectory is one action: its log-probability is a sum over its tokens, without a ratio or a clip,
so one update per rollout. The divergence from the reference goes into the reward (`kl_reward_coef`;
the paper's is 0.03 to 0.1, ours 0 unless asked for).

| | paper | ours |
|---|---|---|
| baseline | other members of the group | the same, over valid members only |
| group of one | undefined | advantage 0 |
"""

from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.reference_reward import ReferenceRewardConfig, ReferenceRewardTrainer
from agentgym.trainers.settings import ALGORITHMS


class RLOOConfig(ReferenceRewardConfig):
    """Settings of RLOO."""

    loss: PolicyLossConfig = ALGORITHMS["rloo"].loss
    advantage: AdvantageConfig = ALGORITHMS["rloo"].advantage or AdvantageConfig()


class RLOO(ReferenceRewardTrainer):
    """REINFORCE leave-one-out."""

    name = "rloo"
    config_class = RLOOConfig
