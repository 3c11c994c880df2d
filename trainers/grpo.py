"""GRPO: group-relative policy optimisation (DeepSeekMath, arXiv 2402.03300).

    A_i    = (R_i - mean(R)) / (std(R) + eps)                    eq. 3, section 4.1.2; std with n -
    1 x_t    = pi(a_t) / pi_old(a_t)
    loss   = -1/N sum_i 1/|o_i| sum_t min(x_t A_i, clip(x_t, 1-0.2, 1+0.2) A_i) + beta k3(pi, ref)

A group is several episodes of one task from one initial state; a trajectory of many turns is one
output o_i, of which only sampled tokens count.

| | paper | ours |
|---|---|---|
| beta | 0.04 | 0.001, as in later practice; 0 saves the reference model |
| group with one valid member | raw reward (released code) | advantage 0 |
| sampler is not the learner | - | truncated importance sampling at 2 |

The `paper` preset takes the right column back.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.settings import ALGORITHMS, published


class GRPOConfig(PolicyGradientConfig):
    """Settings of GRPO."""

    loss: PolicyLossConfig = ALGORITHMS["grpo"].loss
    advantage: AdvantageConfig = ALGORITHMS["grpo"].advantage or AdvantageConfig()


class GRPO(PolicyGradientTrainer):
    """Group-relative policy optimisation."""

    name = "grpo"
    config_class = GRPOConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"paper": published("grpo", loss={"kl_coef": 0.04})}
    )
