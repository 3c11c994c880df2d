"""Named settings: each policy-gradient algorithm in terms of one loss and one baseline.

The settings are the papers', with two things of ours that matter only where something went wrong: a
lone valid member of a group teaches nothing, and the mismatch between sampler and learner is
corrected by truncated importance sampling. `as_published` takes both back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agentgym.config import merge
from agentgym.trainers.advantages import (
    AdvantageConfig,
    AdvantageEstimator,
    LoneMember,
    WhitenOver,
)
from agentgym.trainers.aggregation import Aggregation
from agentgym.trainers.losses import PolicyLossConfig, Surrogate
from agentgym.trainers.ratios import CorrectionConfig, CorrectionLevel, RatioLevel


@dataclass(frozen=True, slots=True)
class AlgorithmSettings:
    """One algorithm.

    Attributes:
        loss: Settings of `policy_loss`.
        advantage: Settings of `turn_advantages`; None where a critic estimates advantages
            (`gae.py`).
    """

    loss: PolicyLossConfig
    advantage: AdvantageConfig | None


_Z_SCORE = AdvantageConfig(estimator=AdvantageEstimator.GROUP_Z_SCORE)

ALGORITHMS: Mapping[str, AlgorithmSettings] = MappingProxyType(
    {
        # arXiv 2402.03300. The paper's coefficient is 0.04; later practice is 0.001 or none.
        "grpo": AlgorithmSettings(
            PolicyLossConfig(aggregation=Aggregation.SEQ_MEAN_TOKEN_MEAN, kl_coef=0.001),
            _Z_SCORE,
        ),
        # arXiv 2503.20783. `max_length` must be set.
        "dr_grpo": AlgorithmSettings(
            PolicyLossConfig(aggregation=Aggregation.SEQ_SUM_CONST),
            AdvantageConfig(estimator=AdvantageEstimator.GROUP_CENTRED),
        ),
        # arXiv 2503.14476, with `carries_signal` and `soft_overlong_penalty`.
        "dapo": AlgorithmSettings(
            PolicyLossConfig(clip_high=0.28, aggregation=Aggregation.TOKEN_MEAN), _Z_SCORE
        ),
        # arXiv 2507.18071; its ratios move in the fourth digit, and so do its clips.
        "gspo": AlgorithmSettings(
            PolicyLossConfig(
                ratio_level=RatioLevel.SEQUENCE,
                clip_low=3e-4,
                clip_high=4e-4,
                aggregation=Aggregation.SEQ_MEAN_TOKEN_MEAN,
            ),
            _Z_SCORE,
        ),
        # The same with a turn as the unit of the ratio, and of the mean.
        "gspo_turn": AlgorithmSettings(
            PolicyLossConfig(
                ratio_level=RatioLevel.TURN,
                clip_low=3e-4,
                clip_high=4e-4,
                aggregation=Aggregation.TURN_MEAN,
            ),
            _Z_SCORE,
        ),
        # arXiv 2402.14740; the divergence goes into the reward (`kl_penalty`).
        "rloo": AlgorithmSettings(
            PolicyLossConfig(
                ratio_level=RatioLevel.NONE, aggregation=Aggregation.SEQ_MEAN_TOKEN_SUM
            ),
            AdvantageConfig(estimator=AdvantageEstimator.LEAVE_ONE_OUT),
        ),
        # arXiv 2501.03262; the divergence goes into the reward.
        "reinforce_pp": AlgorithmSettings(
            PolicyLossConfig(), AdvantageConfig(estimator=AdvantageEstimator.BATCH_WHITENED)
        ),
        "reinforce_pp_baseline": AlgorithmSettings(
            PolicyLossConfig(),
            AdvantageConfig(estimator=AdvantageEstimator.BATCH_WHITENED_GROUP_CENTRED),
        ),
        # arXiv 1707.06347
        "ppo": AlgorithmSettings(PolicyLossConfig(), None),
        # arXiv 2505.16282. Called token-level there; the released code averages within
        # micro-batches of one sequence, which is a sequence mean.
        "arpo": AlgorithmSettings(
            PolicyLossConfig(
                clip_high=0.3, dual_clip=3.0, aggregation=Aggregation.SEQ_MEAN_TOKEN_MEAN
            ),
            _Z_SCORE,
        ),
        # arXiv 2506.13585: no lower clip; the weight is capped at 5.
        "cispo": AlgorithmSettings(
            PolicyLossConfig(surrogate=Surrogate.CISPO, clip_low=1.0, clip_high=4.0), _Z_SCORE
        ),
        # arXiv 2511.20347
        "sapo": AlgorithmSettings(
            PolicyLossConfig(surrogate=Surrogate.SAPO, aggregation=Aggregation.SEQ_MEAN_TOKEN_MEAN),
            _Z_SCORE,
        ),
    }
)


def as_published(settings: AlgorithmSettings) -> AlgorithmSettings:
    """Return the settings with the conventions of released code.

    No mismatch correction, the raw reward as a lone member's advantage, and whitening over tokens.
    """
    correction = CorrectionConfig(level=CorrectionLevel.NONE)
    advantage = settings.advantage
    return AlgorithmSettings(
        settings.loss.model_copy(update={"correction": correction}),
        advantage
        and advantage.model_copy(
            update={"lone_member": LoneMember.RAW, "whiten_over": WhitenOver.TOKENS}
        ),
    )


def published(name: str, **changes: Any) -> dict[str, Any]:
    """Return an algorithm's settings as released code has them, as values of a configuration.

    Args:
        name: The algorithm, as in `ALGORITHMS`.
        **changes: Further differences, by section: `loss={"kl_coef": 0.04}`.
    """
    settings = as_published(ALGORITHMS[name])
    values: dict[str, Any] = {"loss": settings.loss.model_dump()}
    if settings.advantage is not None:
        values["advantage"] = settings.advantage.model_dump()
    return merge(values, changes)
