"""Dr. GRPO: GRPO without its two biases (arXiv 2503.20783, section 3.2).

    A_i  = R_i - mean(R)                          no std: easy and hard tasks weigh the same
    loss = -1/(N L) sum_i sum_t min(…)            a constant L for 1/|o_i|: long failures don't get
    cheaper

L is the most tokens that a trajectory may sample (`loss.max_length`); where it is not set it is
`policy.max_length`, the longest episode.

No deviations but those of `grpo.py`.
"""

from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.settings import ALGORITHMS


class DrGRPOConfig(PolicyGradientConfig):
    """Settings of Dr. GRPO."""

    loss: PolicyLossConfig = ALGORITHMS["dr_grpo"].loss
    advantage: AdvantageConfig = ALGORITHMS["dr_grpo"].advantage or AdvantageConfig()


class DrGRPO(PolicyGradientTrainer):
    """GRPO done right."""

    name = "dr_grpo"
    config_class = DrGRPOConfig
