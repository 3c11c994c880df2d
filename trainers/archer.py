"""ArCHer: a critic of whole turns over a policy gradient on tokens (arXiv 2402.19446).

    high level   s = all that was said, a = a whole answer; Q and V from replay (`double_critic.py`)
    low level    A = min_j Q_j(s, a~) - min_j V_j(s),  s ~ replay,  a~ ~ pi(.|s) sampled anew
                 loss = -mean A sum_t log pi(a~_t | s, a~_<t)

States may be of any age, answers never are, so the policy gradient needs no importance ratio
(section 3.4). A step of the run rolls out `tasks_per_step * group_size` episodes, puts their turns
into the replay buffer, updates the critic `critic.steps` times and, after `warmup_steps`, the actor
`actor.steps` times. `optimizer.…`, `update.…` and `loss.…` are the actor's.

Variants, which go together as one likes:

- `critic.backup=expectile`, `actor.objective=awr` and `data.runs`: offline ArCHer, which learns
  from a log and never acts (preset `offline`);
- `actor.objective=none` and `best_of=5`: CHAI, whose policy stays as it is and says what the critic
  likes best of several answers (preset `chai`);
- `loss.ratio_level=token`, `update.epochs=4`: the low level by PPO's clipped ratio;
- `actor.answers=4`: several answers at a state, each compared with the mean Q of the others instead
  of with V;
- `baseline.enabled`: a value per token, learnt from A, is taken off (section 3.4).

| | paper | released code | ours |
|---|---|---|---|
| a time limit | not said | a terminal state | bootstraps |
| the sampled stop token | an action | dropped before scoring | an action |
| state and answer | one text | tokenised apart, padded between | the ids that were sampled |
| answers for V | one per state | one per state and update | one per state and step of the run |
| clipping | not said | one norm over actor, critic and target | one per optimiser |
| gradients | not said | summed over accumulation | means; `summed` multiplies |
| AWR weight (offline) | exp(A / temperature) | the same, unbounded | at most `actor.max_weight` |

The `paper` preset sets what is a setting of these as the released code for Twenty Questions has it.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agentgym.metrics import rollout_metrics
from agentgym.policy import Completion, Policy, Request
from agentgym.run_dir import RunDir
from agentgym.seeding import stable_seed
from agentgym.stop_reason import StopReason
from agentgym.store import StoreWriter
from agentgym.trainers.advantages import whiten
from agentgym.trainers.archer_config import PRESETS, ActorObjective, ArCHerConfig, Draw
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.best_of import BestOf
from agentgym.trainers.critics import ActorCriticLearner
from agentgym.trainers.learner import Learner
from agentgym.trainers.logs import in_tokens_of, read_runs
from agentgym.trainers.policy_gradient import PolicyGradientTrainer
from agentgym.trainers.transitions import Transition, TransitionReplay, transitions
from agentgym.trainers.utterance_critic import Backup, UtteranceCritic
from agentgym.trajectory import Floats, Ids, Trajectory, Turn


class ArCHer(PolicyGradientTrainer):
    """Hierarchical actor-critic."""

    name = "archer"
    config_class = ArCHerConfig
    config: ArCHerConfig
    presets = PRESETS

    def __init__(self, config: ArCHerConfig, run: RunDir) -> None:
        super().__init__(config, run)
        self.critic = UtteranceCritic(config.critic, self.loaded, seed=config.seed)
        self.replay = TransitionReplay(config.replay_capacity)

    def make_learner(self) -> Learner:
        """Return the actor's learner, with a value head where there is a baseline."""
        config = self.config
        if not config.baseline.enabled:
            return super().make_learner()
        return ActorCriticLearner(
            self.loaded,
            config.optimizer,
            config.update,
            critic=config.baseline,
            **self.learner_options(),
        )

    def learner_options(self) -> dict[str, Any]:
        """Return the arguments that every learner of this run takes."""
        acting = max(self.config.steps - self.config.warmup_steps, 0)
        return super().learner_options() | {"total_updates": acting * self.config.actor.steps}

    def open(self, writer: StoreWriter) -> None:
        """Start the environments, or read the log."""
        super().open(writer)
        data = self.config.data
        if data.runs:
            template = self.config.template.template(self.loaded.tokenizer)
            self.remember(in_tokens_of(read_runs(data.runs, data.where), template))

    @property
    def acting(self) -> Policy:
        """Who plays: the policy, or the critic's choice among its answers."""
        if self.config.best_of == 1:
            return self.policy
        return BestOf(self.policy, self.critic.scores, self.config.best_of)

    def step(self) -> dict[str, float]:
        """Roll out, remember, update the critic, then the actor."""
        metrics, started = dict[str, float](), time.perf_counter()
        # A run that goes on from a checkpoint has none, also where no weights have changed since.
        self.policy.drop_prefixes()
        if not self.config.data.runs:
            fresh = self.roll_out()
            metrics |= rollout_metrics(fresh)
            self.remember(fresh)
        rolled = time.perf_counter()
        metrics |= {"time/rollout": rolled - started, "replay/size": float(len(self.replay))}
        if len(self.replay):
            with self.critic.remembering():
                metrics |= self.judge()
                judged = time.perf_counter()
                metrics["time/critic"] = judged - rolled
                if self.steps_done >= self.config.warmup_steps:
                    metrics |= self.act()
            metrics["time/actor"] = time.perf_counter() - judged
        return metrics

    def remember(self, trajectories: Sequence[Trajectory]) -> None:
        """Put the turns of episodes into the replay buffer, with their shaped rewards."""
        if trajectories:
            table = self.shape(TurnTable.of(trajectories), trajectories)
            self.replay.add(transitions(trajectories, table))

    def judge(self) -> dict[str, float]:
        """Update the critic."""
        config, rng = self.config.critic, np.random.default_rng([self.config.seed, self.steps_done])
        draw = self.replay.draw
        if self.config.draw is Draw.EPISODES:
            draw = self.replay.draw_episodes
        batches = [draw(config.batch_size, rng) for _ in range(config.steps)]
        answers: dict[Transition, Ids] = {}
        if config.backup is Backup.POLICY:
            # The policy stays the same meanwhile, so all of its answers are sampled at once.
            known = _episode_by_episode(t for batch in batches for t in batch)
            sampled = self.answer([t.state_ids for t in known], "critic")
            answers = dict(zip(known, (c.ids for c in sampled), strict=True))
        total = self.config.steps * config.steps
        metrics = [
            self.critic.update(
                batch,
                [answers[t] for t in batch] if answers else None,
                lr=config.optimizer.lr_at(self.critic.updates, total),
            )
            for batch in batches
        ]
        return _means(metrics)

    def act(self) -> dict[str, float]:
        """Update the actor."""
        config = self.config.actor
        if config.objective is ActorObjective.NONE:
            return {}
        rng = np.random.default_rng([self.config.seed, self.steps_done, 1])
        metrics: list[dict[str, float]] = []
        for update in range(config.steps):
            # Single turns: an answer is sampled at each, and those of one episode are much alike.
            drawn = self.replay.draw(config.batch_size, rng)
            states = [t.state_ids for t in drawn for _ in range(config.answers)]
            if config.objective is ActorObjective.AWR:
                said = [t.trajectory.turns[t.turn] for t in drawn]
                answers = [
                    (turn.completion_ids, turn.logprobs, turn.policy_version) for turn in said
                ]
            else:
                sampled = self.answer(states, f"actor {update}")
                answers = [(c.ids, c.logprobs, c.policy_version) for c in sampled]
            alone = [_alone(s, *answer) for s, answer in zip(states, answers, strict=True)]
            with self.policy.updating():
                metrics.append(self.learn(alone))
        return _means(metrics)

    def answer(self, states: Sequence[Ids], purpose: str) -> list[Completion]:
        """Return what the policy would answer at each of these states now.

        Args:
            states: Whole prompts.
            purpose: Tells the calls of one step apart, for the seeds.
        """
        sampling = self.config.sampling.sampling(self._stop)
        key = (self.config.seed, self.steps_done, purpose)
        requests = [
            Request(
                episode=f"{purpose} {i}",
                messages=(),
                prompt_ids=ids,
                sampling=replace(sampling, seed=stable_seed(*key, i)),
            )
            for i, ids in enumerate(states)
        ]

        async def sample() -> list[Completion]:
            try:
                return await self.policy.generate(requests)
            finally:
                for request in requests:
                    self.policy.release(request.episode)

        return self.collector.run(sample)

    def weigh(
        self, table: TurnTable, batch: TokenBatch, trajectories: Sequence[Trajectory]
    ) -> TokenBatch:
        """Return the batch with the critic's judgement on every token of each answer."""
        del table
        config = self.config.actor
        states = [t.turns[0].prompt_ids for t in trajectories]
        answers = [t.turns[0].completion_ids for t in trajectories]
        if config.answers > 1:
            advantages_N = self.critic.comparisons(states, answers, config.answers)
        else:
            advantages_N = self.critic.advantages(states, answers)
        if config.objective is ActorObjective.AWR:
            advantages_N = (advantages_N / config.temperature).exp().clamp(max=config.max_weight)
        elif config.whiten:
            advantages_N = whiten(advantages_N).float()
        advantages_BT = advantages_N[batch.trajectory_B][:, None] * batch.mask_BT
        if not isinstance(self.learner, ActorCriticLearner):
            return replace(batch, advantages_BT=config.summed * advantages_BT)
        values_BT = self.learner.values(batch, trajectories).values_BT
        return replace(
            batch,
            advantages_BT=config.summed * (advantages_BT - values_BT),
            returns_BT=advantages_BT,
            values_old_BT=values_BT,
        )

    @property
    def skips_idle_rows(self) -> bool:
        """Whether answers without advantage are left out, which a baseline learns from."""
        return super().skips_idle_rows and not self.config.baseline.enabled

    def extra_state(self) -> dict[str, Any]:
        """Return the sampler's state, the critic and the replay buffer, unless it is a log."""
        return super().extra_state() | {
            "critic": self.critic.state_dict(),
            "replay": None if self.config.data.runs else self.replay.state(),
        }

    def restore_extra(self, state: dict[str, Any]) -> None:
        """Continue from what `extra_state` gave."""
        super().restore_extra(state)
        self.critic.load_state_dict(state["critic"])
        if state["replay"] is not None:
            self.replay.restore(state["replay"])


def _alone(state: Ids, answer: Ids, logprobs: Floats, version: int) -> Trajectory:
    """Return one answer at one state as an episode of its own, which is how a loss takes it."""
    turn = Turn(
        observation="",
        action="",
        prompt_ids=state,
        completion_ids=answer,
        logprobs=logprobs,
        starts_sequence=True,
        policy_version=version,
    )
    return Trajectory("", "", StopReason.SUCCESS, [turn])


def _episode_by_episode(drawn: Iterable[Transition]) -> list[Transition]:
    """Return what was drawn, each once, an episode's last state first.

    Its earlier states begin it, unless the template rewrote them, so that a policy which keeps keys
    and values has read them.
    """
    episodes: dict[int, set[Transition]] = {}
    for transition in drawn:
        episodes.setdefault(id(transition.trajectory), set()).add(transition)
    return [
        transition
        for of_one in episodes.values()
        for transition in sorted(of_one, key=lambda t: t.turn, reverse=True)
    ]


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each figure's mean over the rows that have it."""
    means: dict[str, float] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        known = [row[name] for row in rows if name in row]
        if name == "optim/grad_norm":  # of steps that were taken; the others are counted
            known = [norm for norm in known if math.isfinite(norm)]
        means[name] = sum(known) / len(known) if known else math.nan
    return means
