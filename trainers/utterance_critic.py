"""`UtteranceCritic`: a double critic of turns with its target copy, its optimiser and its updates.

It is the critic's half of ArCHer: `update` takes one temporal-difference step on transitions of any
age, `advantages` judges answers for the policy gradient, `scores` for best-of-n. Its optimiser and
its clipping are its own, and no gradient of its reaches the policy.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from agentgym.config import Config
from agentgym.errors import ConfigError
from agentgym.trainers.double_critic import (
    DoubleCritic,
    bootstrapped,
    expectile_regression,
    regression,
    soft_update,
)
from agentgym.trainers.encoders import Encoder, EncoderConfig, make_encoder
from agentgym.trainers.models import LoadedModel
from agentgym.trainers.optimizer import Optimizer, OptimizerConfig
from agentgym.trainers.transitions import Transition
from agentgym.trajectory import Ids


class Backup(StrEnum):
    """What V is the value of."""

    POLICY = "policy"
    """The policy as it is now: V regresses on Qbar of an answer that is sampled anew."""
    EXPECTILE = "expectile"
    """The best that the data shows: V regresses on a high expectile of Qbar of stored answers."""


class UtteranceCriticConfig(Config):
    """Settings of the critic."""

    encoder: EncoderConfig = EncoderConfig()
    hidden: int = Field(default=128, ge=1, description="width of the heads")
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-4)
    steps: int = Field(default=50, ge=0, description="critic updates per step of the run")
    batch_size: int = Field(default=128, ge=1, description="transitions per update")
    micro_batch_size: int = Field(
        default=128, ge=1, description="transitions per forward pass; changes memory alone"
    )
    gamma: float = Field(default=0.95, ge=0, le=1, description="discount per turn")
    tau: float = Field(default=0.1, ge=0, le=1, description="how far the target copy moves")
    backup: Backup = Backup.POLICY
    expectile: float = Field(default=0.9, gt=0, lt=1, description="for backup=expectile")
    summed: int = Field(
        default=1,
        ge=1,
        description="multiplies the loss, as where the mean gradients of so many micro-batches are "
        "summed; changes what grad_clip clips",
    )

    @model_validator(mode="after")
    def _has_no_muon(self) -> Self:
        if self.optimizer.name == "muon":
            raise ValueError("optimizer.name=muon is for policies; the critic's is adamw")
        return self


class UtteranceCritic:
    """Learns Q(s, a) and V(s) of turns.

    Args:
        config: Settings.
        policy: The model that acts: the encoder reads its ids.
        seed: Seeds the weights.

    Raises:
        ConfigError: If the model reads images, which the critic would not see.
    """

    def __init__(
        self, config: UtteranceCriticConfig, policy: LoadedModel, *, seed: int = 0
    ) -> None:
        if policy.image_processor is not None:
            raise ConfigError(
                "model.path: ArCHer's critics read ids and no images; train a model that sees with "
                "another algorithm."
            )
        self.config = config
        self.device = policy.device
        encoder = make_encoder(config.encoder, policy, seed=seed)
        self.critic = _make(encoder, config, seed).to(policy.device)
        if list(encoder.parameters()):  # one that learns has a target copy of its own
            encoder = make_encoder(config.encoder, policy, seed=seed)
        self.target = _make(encoder, config, seed).to(policy.device).requires_grad_(False)
        self.target.load_state_dict(self.critic.state_dict())
        self.optimizer = Optimizer(list(self.critic.parameters()), config.optimizer)
        self.updates = 0

    def remembering(self) -> AbstractContextManager[None]:
        """Return a context that keeps what an encoder which doesn't learn has made of a text."""
        return self.critic.encoder.remembering()

    def update(
        self, drawn: Sequence[Transition], fresh: Sequence[Ids] | None, *, lr: float
    ) -> dict[str, float]:
        """Take one step on both losses, and move the target copy.

        A gradient that isn't finite moves neither, and is counted in `critic/skipped_steps`.

        Args:
            drawn: Transitions of any age.
            fresh: For each of them an answer that the policy would give at its state now; None for
                `Backup.EXPECTILE`, which reads the stored ones.
            lr: The learning rate.
        """
        figures = defaultdict[str, float](float)
        with self.optimizer.accumulation():
            for rows in self._parts(len(drawn)):
                part, answers = drawn[rows], None if fresh is None else fresh[rows]
                told = self._accumulate(part, answers, len(part) / len(drawn))
                for name, value in told.items():
                    figures[name] += value
        norm = self.optimizer.step(lr)
        self.updates += 1
        skipped = not math.isfinite(norm)
        if not skipped:
            figures["critic/grad_norm"] = norm
            soft_update(self.target, self.critic, self.config.tau)
        return figures | {"critic/skipped_steps": float(skipped)}

    def advantages(self, states: Sequence[Ids], actions: Sequence[Ids]) -> Tensor:
        """Return min_j Q_j(s, a) - min_j V_j(s), (N,), on the CPU: the current critic's."""
        q_N, v_N = self._values(states, actions)
        return q_N - v_N

    def comparisons(self, states: Sequence[Ids], actions: Sequence[Ids], count: int) -> Tensor:
        """Return how much better each answer is than the mean of the others at its state, (N,).

        The mean of the others' Q is an estimate of V that needs no second network: where all
        answers are the same it is off by nothing, and no answer is pushed.

        Args:
            states: Each state `count` times in a row.
            actions: The answers.
            count: How many answers there are at each state; at least 2.
        """
        q_SC = self._values(states, actions)[0].view(-1, count)
        others_SC = (q_SC.sum(1, keepdim=True) - q_SC) / (count - 1)
        return (q_SC - others_SC).flatten()

    @torch.no_grad()
    def scores(self, state: Ids, actions: Sequence[Ids]) -> Tensor:
        """Return min_j Qbar_j(s, a) of several answers at one state, (N,), on the CPU."""
        state_1H, actions_NH = self.target.encode([state], actions)
        return self.target.q(state_1H.expand(len(actions), -1), actions_NH).amin(0).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Return critic, target copy, optimiser and count."""
        return {
            "critic": self.critic.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        self.critic.load_state_dict(state["critic"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]

    @torch.no_grad()
    def _values(self, states: Sequence[Ids], actions: Sequence[Ids]) -> tuple[Tensor, Tensor]:
        """Return the lesser head's Q(s, a) and V(s), each (N,), on the CPU."""
        q_parts, v_parts = list[Tensor](), list[Tensor]()
        for rows in self._parts(len(states)):
            states_NH, actions_NH = self.critic.encode(states[rows], actions[rows])
            q_parts.append(self.critic.q(states_NH, actions_NH).amin(0))
            v_parts.append(self.critic.v(states_NH).amin(0))
        return torch.cat(q_parts).cpu(), torch.cat(v_parts).cpu()

    def _accumulate(
        self, part: Sequence[Transition], fresh: Sequence[Ids] | None, share: float
    ) -> dict[str, float]:
        """Add the gradient of a part of a batch, and return its share of the batch's figures."""
        states = [transition.state_ids for transition in part]
        actions = [transition.action_ids for transition in part]
        wanted_q_2N, wanted_v_2N = self._wanted(part, states, actions if fresh is None else fresh)
        states_NH, actions_NH = self.critic.encode(states, actions)
        q_2N, v_2N = self.critic.q(states_NH, actions_NH), self.critic.v(states_NH)
        q_loss = regression(q_2N, wanted_q_2N)
        if self.config.backup is Backup.EXPECTILE:
            v_loss = expectile_regression(v_2N, wanted_v_2N, self.config.expectile)
        else:
            v_loss = regression(v_2N, wanted_v_2N)
        ((q_loss + v_loss) * share * self.config.summed).backward()
        told = {"q_loss": q_loss, "v_loss": v_loss, "q": q_2N.mean(), "v": v_2N.mean()}
        return {f"critic/{name}": share * float(value.detach()) for name, value in told.items()}

    @torch.no_grad()
    def _wanted(
        self, part: Sequence[Transition], states: Sequence[Ids], judged: Sequence[Ids]
    ) -> tuple[Tensor, Tensor]:
        """Return y_Q and Qbar of the judged answers, each (2, N), from the target copy."""
        rewards_N = torch.tensor([t.reward for t in part], dtype=torch.float32, device=self.device)
        following = [(i, ids) for i, t in enumerate(part) if (ids := t.next_ids) is not None]
        # One group: what comes next begins with the state, and a decoder reads both at once.
        encoded_NH, judged_NH = self.target.encode(
            [*states, *(ids for _, ids in following)], judged
        )
        states_NH, next_NH = encoded_NH[: len(part)], encoded_NH[len(part) :]
        next_2N = torch.zeros(2, len(part), device=self.device)
        if following:
            next_2N[:, [i for i, _ in following]] = self.target.v(next_NH)
        wanted_q_2N = bootstrapped(rewards_N, next_2N, self.config.gamma)
        return wanted_q_2N, self.target.q(states_NH, judged_NH)

    def _parts(self, count: int) -> list[slice]:
        size = self.config.micro_batch_size
        return [slice(start, start + size) for start in range(0, count, size)]


def _make(encoder: Encoder, config: UtteranceCriticConfig, seed: int) -> DoubleCritic:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DoubleCritic(encoder, config.hidden)
