"""Critics that share the policy's trunk: a value head, and the learner that trains both.

The value at a sampled token is that of the state it was sampled in, read off the hidden state one
position earlier. A trajectory that a limit cut short has a state after its last turn as well;
`final_values` reads its value off the last token of what the policy would have answered next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from agentgym.config import Config
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.forward import ForwardPass
from agentgym.trainers.learner import Learner, MicroLoss, UpdateConfig, with_old
from agentgym.trainers.losses import PolicyLossConfig, policy_loss
from agentgym.trainers.models import LoadedModel
from agentgym.trainers.optimizer import OptimizerConfig
from agentgym.trainers.segments import Segments
from agentgym.trainers.value_loss import value_loss
from agentgym.trajectory import TokenSequence, Trajectory


class CriticConfig(Config):
    """Settings of the value head and its loss."""

    coef: float = Field(default=0.5, ge=0, description="weight of the value loss")
    clip: float | None = Field(
        default=0.2, gt=0, description="how far a value may move; None: no limit"
    )
    warmup_updates: int = Field(
        default=0, ge=0, description="updates that train the value head alone, before the policy"
    )
    detached: bool = Field(
        default=False, description="keep the value loss's gradient out of the policy"
    )


class ValueHead(nn.Module):
    """A linear value on the trunk's hidden states, in fp32; it starts at 0 everywhere."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (…) values of (…, H) hidden states."""
        return self.linear(hidden.to(self.linear.weight.dtype)).squeeze(-1)


@dataclass(frozen=True, slots=True)
class BatchValues:
    """What the critic says before an update.

    Attributes:
        values_BT: Value of the state that each sampled token was sampled in; 0 elsewhere.
        final_values_N: Value of the state after each trajectory's last turn, where a limit cut it
            short; 0 elsewhere.
    """

    values_BT: Tensor
    final_values_N: Tensor


class ActorCriticLearner(Learner):
    """A learner that trains the policy and a value head in one pass.

    Args:
        loaded: See `Learner`, as what follows.
        optimizer: Settings of the optimiser.
        update: Settings of the update.
        critic: Settings of the value head.
        per_turn: Whether there is one value per turn, that of the state before its first token.
        **options: What else `Learner` takes.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        optimizer: OptimizerConfig,
        update: UpdateConfig,
        *,
        critic: CriticConfig,
        per_turn: bool = False,
        **options: Any,
    ) -> None:
        head = ValueHead(loaded.model.config.get_text_config().hidden_size)
        self.critic, self.per_turn = critic, per_turn
        self.value_head = head.to(loaded.device)
        super().__init__(loaded, optimizer, update, extra=self.value_head, **options)

    @torch.no_grad()
    def values(self, batch: TokenBatch, trajectories: Sequence[Trajectory]) -> BatchValues:
        """Return the critic's values of a batch, on the CPU."""
        values_BT = torch.zeros(batch.shape)
        for rows in self.micro_batches(batch):
            part = batch.select(rows).to(self.loaded.device)
            values = self._values(self.forward(part), part)
            values_BT[rows, : part.shape[1]] = values.float().cpu()
        return BatchValues(values_BT, self._final_values(trajectories))

    def loss_of(self, part: TokenBatch, loss: PolicyLossConfig) -> MicroLoss:
        """Return the policy's and the critic's loss of a micro-batch."""
        warming = self.updates < self.critic.warmup_updates
        forward = self.forward(part, entropy=self.wants_entropy(loss))
        # No gradient, not even one of 0, reaches the trunk in a warm-up: an optimiser that divides
        # by a gradient's size would take full steps on whatever is left of it.
        held = warming or self.critic.detached
        values_BT = self._values(_held(forward) if held else forward, part)
        part = with_old(part, forward)
        judged = _turn_starts(part) if self.per_turn else part
        values = value_loss(judged, values_BT, clip=self.critic.clip)
        policy = policy_loss(
            loss, part, forward.tokens.logprobs_BT, entropy_BT=forward.tokens.entropy_BT
        )
        total = self.critic.coef * values.loss
        if not warming:
            total = total + policy.loss
        sums = {
            "critic/error": (values.error, values.tokens),
            "critic/squared_error": (values.squared_error, values.tokens),
            "critic/clip_fraction": (values.clipped, values.tokens),
        }
        return MicroLoss(total, policy.metrics, sums)

    def _values(self, forward: ForwardPass, part: TokenBatch) -> Tensor:
        values_1P = self.value_head(forward.hidden_1PH)
        # One position later: the value of a state stands at the token that is sampled in it.
        shifted_1P = nn.functional.pad(values_1P[:, :-1], (1, 0))
        return forward.packed.unpack(shifted_1P) * part.mask_BT

    def _final_values(self, trajectories: Sequence[Trajectory]) -> Tensor:
        """Value of each truncated trajectory's last state, from the prompt that would come next."""
        values_N = torch.zeros(len(trajectories))
        cut = [
            i
            for i, t in enumerate(trajectories)
            if t.trainable and t.stop_reason.truncates and len(t.final_ids)
        ]
        if not cut:
            return values_N
        batch = TokenBatch.collate([_with_final(trajectories[i]) for i in cut], cut)
        for rows in self.micro_batches(batch):
            part = batch.select(rows).to(self.loaded.device)
            values_BT = self._values(self.forward(part), part)
            last_B = part.lengths_B - 1
            picked_B = values_BT.gather(1, last_B[:, None]).squeeze(1)
            values_N[batch.trajectory_B[rows]] = picked_B.float().cpu()
        return values_N


def _held(forward: ForwardPass) -> ForwardPass:
    """Return the pass with hidden states that pass no gradient on."""
    return replace(forward, hidden_1PH=forward.hidden_1PH.detach())


def _turn_starts(part: TokenBatch) -> TokenBatch:
    """Return the batch with each turn's first token alone, which weighs what the turn weighed."""
    turns = Segments.turns(part)
    weights_BT = part.need("weights_BT") * turns.spread(turns.counts())
    return replace(part.at_turn_starts(), weights_BT=weights_BT)


def _with_final(trajectory: Trajectory) -> TokenSequence:
    """Return the context of the state after the last turn, and one token to hang its value on."""
    context = trajectory.context_ids(len(trajectory.turns))
    ids = np.append(context, context[-1])
    mask = np.zeros(len(ids), np.bool_)
    mask[-1] = True
    nothing = np.full(len(ids), -1, np.int32)
    turns = nothing.copy()
    turns[-1] = len(trajectory.turns)
    versions = np.where(mask, 0, nothing)
    logprobs = np.zeros(len(ids), np.float32)
    images = trajectory.context_images(len(trajectory.turns))
    return TokenSequence(ids, mask, logprobs, turns, versions, images)
