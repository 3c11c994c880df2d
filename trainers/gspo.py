"""GSPO: group sequence policy optimisation (arXiv 2507.18071).

    s_i    = (pi(o_i) / pi_old(o_i))^(1/|o_i|)                              eq. 7
    loss   = -1/N sum_i min(s_i A_i, clip(s_i, 1 - 3e-4, 1 + 4e-4) A_i)      eq. 5

The ratio is that of a whole trajectory, so a clip removes whole trajectories, and its ranges are a
thousand times narrower than PPO's. With `loss.ratio_level=turn` the unit is a turn;
`loss.aggregation= turn_mean` then goes with it. Several updates per rollout (`update.minibatches`,
4 in the paper) are the point of a ratio at all.

No deviations but those of `grpo.py`.
"""

from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.learner import UpdateConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.settings import ALGORITHMS


class GSPOConfig(PolicyGradientConfig):
    """Settings of GSPO."""

    loss: PolicyLossConfig = ALGORITHMS["gspo"].loss
    advantage: AdvantageConfig = ALGORITHMS["gspo"].advantage or AdvantageConfig()
    update: UpdateConfig = UpdateConfig(minibatches=4)


class GSPO(PolicyGradientTrainer):
    """Group sequence policy optimisation."""

    name = "gspo"
    config_class = GSPOConfig
