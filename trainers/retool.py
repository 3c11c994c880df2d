"""ReTool: reasoning with a code interpreter inside the answer, by RL (arXiv 2504.11536).

    prompt -> … <code>…</code>  [<interpreter>…</interpreter>]  … <answer>…</answer>
    reward  = +1 if the answer is right, -1 otherwise; code earns nothing by itself
    update  = PPO on the sampled tokens; what the interpreter wrote is context and nothing else

The environment runs the code (`agentgym/CodeMath-v0`): sampling pauses at the closing tag, the
episode waits in the sandbox while others go on, and it resumes on the keys and values that it has
(`template.observation_role=assistant`, the default here). Interpreter tokens are never sampled, so
they are in no loss, divergence or entropy, and the GAE recursion steps over them. A sandbox that
failed is `infra_error`: the episode is retried, and never trained on.

`baseline=group` judges an answer by the others to its problem instead of by a critic, as the public
recipe does with its DAPO-like settings; set `group_size` with it.

| | paper, or verl's recipe (the paper's own RL code is not public) | ours |
|---|---|---|
| format | tags in one answer; the recipe: tool calls in a chat | either, the environment's |
| a wrong answer earns | -1; the recipe: 0.1 more for each call, at most -0.6 | `effort_bonus` |
| an episode that a limit cut short | a wrong answer | the same, or `cut_short_reward` |
| optimiser | lr 1e-6, critic 2e-6 with 20 warm-up steps | one rate; `critic.warmup_updates` |

Metrics beside PPO's, from the environment's own figures: `tools/calls` per episode, `tools/used`
(fraction of episodes that ran code), `tools/passed` (fraction of runs without an error),
`tools/corrected` (of the episodes with an error in their code, the fraction in which code ran after
it) and `tools/code_length` (characters per run).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator

from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.learner import Learner
from agentgym.trainers.models import TemplateConfig
from agentgym.trainers.penalties import add_outcome
from agentgym.trainers.policy_gradient import PolicyGradientTrainer
from agentgym.trainers.ppo import PPO, GAEConfig, PPOConfig
from agentgym.trainers.settings import published
from agentgym.trajectory import Trajectory

_MOST_EFFORTS = 4


class Baseline(StrEnum):
    """What a trajectory's return is compared with."""

    CRITIC = "critic"
    """A value head's estimate, as PPO does."""
    GROUP = "group"
    """The other episodes of its task; needs `group_size` of 2 or more."""


class ReToolConfig(PPOConfig):
    """Settings of ReTool."""

    baseline: Baseline = Baseline.CRITIC
    gae: GAEConfig = GAEConfig(lam=1.0)
    template: TemplateConfig = TemplateConfig(observation_role="assistant")
    cut_short_reward: float | None = Field(
        default=-1.0,
        description="what an episode that a limit cut short earns in all, as a wrong answer does; "
        "null: what it has earned, and its value bootstraps",
    )
    effort_bonus: float = Field(
        default=0.0,
        ge=0,
        description="added to a failed episode's reward for each turn after its first, up to four",
    )

    @model_validator(mode="after")
    def _has_a_critic(self) -> Self:
        if self.baseline is Baseline.CRITIC:
            if self.advantage != AdvantageConfig():
                raise ValueError("advantage.… does nothing with baseline=critic; set gae.…")
        elif self.group_size < 2:
            raise ValueError("baseline=group compares the episodes of a task; set group_size >= 2")
        elif self.gae != type(self).model_fields["gae"].default:
            raise ValueError("gae.… does nothing with baseline=group; set advantage.…")
        return self


class ReTool(PPO):
    """PPO, or a group's baseline, over answers that run code."""

    name = "retool"
    config_class = ReToolConfig
    config: ReToolConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # verl-recipe's retool with DAPO's settings; a batch there is 512 problems.
            "recipe": published("dapo", loss={"dual_clip": 10.0})
            | {
                "baseline": "group",
                "group_size": 16,
                "effort_bonus": 0.1,
                "optimizer": {"lr": 1e-6},
                "template": {"observation_role": "user"},
            }
        }
    )

    def make_learner(self) -> Learner:
        """Return a learner, with a value head where a critic judges."""
        if self.config.baseline is Baseline.GROUP:
            return PolicyGradientTrainer.make_learner(self)
        return super().make_learner()

    @property
    def skips_idle_rows(self) -> bool:
        """Whether trajectories without advantage are left out, which a critic learns from."""
        if self.config.baseline is Baseline.GROUP:
            loss = self.config.loss
            return loss.kl_coef == 0 and loss.entropy_coef == 0
        return False

    def choose(self, fresh: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """Return all that is fresh, and what was done with the tool."""
        return fresh, tool_metrics(fresh)

    def shape(self, table: TurnTable, trajectories: Sequence[Trajectory]) -> TurnTable:
        """Return the table with what a limit cut short as failed, and efforts as less bad."""
        config = self.config
        if config.cut_short_reward is not None:
            cut_N = table.truncated_N & table.valid_N
            missing_N = config.cut_short_reward - table.sum_N(table.reward_K)
            table = replace(
                add_outcome(table, missing_N * cut_N), truncated_N=table.truncated_N & ~cut_N
            )
        table = super().shape(table, trajectories)
        if config.effort_bonus == 0:
            return table
        failed_N = torch.tensor([not trajectory.success for trajectory in trajectories])
        efforts_N = (table.turns_N - 1).clamp(0, _MOST_EFFORTS)
        return add_outcome(table, config.effort_bonus * efforts_N * failed_N)

    def weigh(
        self, table: TurnTable, batch: TokenBatch, trajectories: Sequence[Trajectory]
    ) -> TokenBatch:
        """Return the batch with advantages."""
        if self.config.baseline is Baseline.GROUP:
            return PolicyGradientTrainer.weigh(self, table, batch, trajectories)
        return super().weigh(table, batch, trajectories)


def tool_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return what was done with the interpreter; nothing where the environment has none.

    Args:
        trajectories: Episodes; those that say nothing about the model are left out.
    """
    counted = [
        trajectory.metrics
        for trajectory in trajectories
        if trajectory.stop_reason.trainable and "code_calls" in trajectory.metrics
    ]
    if not counted:
        return {}
    sums = {
        name: sum(metrics.get(name, 0.0) for metrics in counted)
        for name in ("code_calls", "code_passed", "code_chars", "code_mended")
    }
    erred = sum(metrics["code_passed"] < metrics["code_calls"] for metrics in counted)
    figures = {
        "tools/calls": sums["code_calls"] / len(counted),
        "tools/used": sum(metrics["code_calls"] > 0 for metrics in counted) / len(counted),
    }
    if sums["code_calls"]:
        figures["tools/passed"] = sums["code_passed"] / sums["code_calls"]
        figures["tools/code_length"] = sums["code_chars"] / sums["code_calls"]
    if erred:
        figures["tools/corrected"] = sums["code_mended"] / erred
    return figures
