"""ArCHer's invariants (AR1 to AR7), its buffer, and its variants."""

import asyncio
import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_envs
from tiny_runs import ON_POLICY, make_trainer, tiny_folder
from torch import Tensor
from training_cases import VOCABULARY, tiny_model, trajectory
from transformers import AutoTokenizer, BertConfig, BertModel

from agentgym.cli import ExitCode, main
from agentgym.config import load
from agentgym.errors import ConfigError, DataError, UsageError
from agentgym.metrics import read_metrics
from agentgym.policies.transformers import TransformersPolicy
from agentgym.stop_reason import StopReason
from agentgym.store import Store
from agentgym.trainers.archer_config import PRESETS, ActorObjective, ArCHerConfig
from agentgym.trainers.batch import TurnTable
from agentgym.trainers.chai import Chai
from agentgym.trainers.double_critic import (
    DoubleCritic,
    bootstrapped,
    expectile_regression,
    regression,
    soft_update,
)
from agentgym.trainers.encoders import DecoderEncoder, Encoder, EncoderConfig, make_encoder
from agentgym.trainers.models import LoadedModel
from agentgym.trainers.optimizer import Optimizer
from agentgym.trainers.transitions import Transition, TransitionReplay, transitions
from agentgym.trainers.utterance_critic import Backup, UtteranceCritic, UtteranceCriticConfig
from agentgym.trajectory import Ids, Trajectory, Turn


class OneHot(Encoder):
    """A table: the vector of a text is one-hot in its last id."""

    size = VOCABULARY

    def forward(self, texts: Sequence[Ids]) -> Tensor:
        return torch.eye(VOCABULARY)[[int(ids[-1]) for ids in texts]]


class Table(DoubleCritic):
    """A double critic with a number of its own for every state, and for every state and action."""

    def __init__(self) -> None:
        super().__init__(OneHot(), 4)
        self.q_table = torch.nn.Parameter(torch.zeros(2, VOCABULARY, VOCABULARY))
        self.v_table = torch.nn.Parameter(torch.zeros(2, VOCABULARY))

    def q(self, states_NH: Tensor, actions_NH: Tensor) -> Tensor:
        return self.q_table[:, states_NH.argmax(-1), actions_NH.argmax(-1)]

    def v(self, states_NH: Tensor) -> Tensor:
        return self.v_table[:, states_NH.argmax(-1)]


def policy() -> LoadedModel:
    return LoadedModel(tiny_model(dtype=torch.float32), None, torch.device("cpu"))


def critic(**settings: Any) -> UtteranceCritic:
    return UtteranceCritic(UtteranceCriticConfig.model_validate(settings), policy())


def tabular(**settings: Any) -> UtteranceCritic:
    """Return a critic over tables, which can represent any values."""
    made = critic(**settings)
    made.critic, made.target = Table(), Table().requires_grad_(False)
    made.optimizer = Optimizer(list(made.critic.parameters()), made.config.optimizer)
    return made


def episode(
    states: Sequence[int],
    actions: Sequence[int],
    rewards: Sequence[float],
    stop: StopReason = StopReason.SUCCESS,
    final: int | None = None,
) -> Trajectory:
    """Return an episode whose states and actions are one id each."""
    turns = [
        Turn(
            "o",
            "a",
            reward,
            prompt_ids=np.array([state], np.int32),
            completion_ids=np.array([action], np.int32),
            logprobs=np.zeros(1, np.float32),
            starts_sequence=k == 0,
        )
        for k, (state, action, reward) in enumerate(zip(states, actions, rewards, strict=True))
    ]
    ids = np.array([] if final is None else [final], np.int32)
    return Trajectory("toy", "t", stop, turns, final_ids=ids)


def of(*episodes: Trajectory) -> list[Transition]:
    return transitions(episodes, TurnTable.of(episodes))


def flat(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


# The buffer.


def test_a_transition_is_what_was_read_and_what_was_sampled() -> None:
    first, second = of(trajectory([0.0, 1.0], actions=[2, 3]))
    turns = first.trajectory.turns
    so_far = [turns[0].prompt_ids, turns[0].completion_ids, turns[1].prompt_ids]
    assert first.state_ids.tolist() == turns[0].prompt_ids.tolist()
    assert first.action_ids.tolist() == turns[0].completion_ids.tolist()
    assert first.next_ids is not None
    assert first.next_ids.tolist() == second.state_ids.tolist() == np.concatenate(so_far).tolist()
    assert (first.reward, second.reward) == (0.0, 1.0)
    assert second.next_ids is None


def test_a_turn_that_starts_a_sequence_has_its_own_prompt_as_state() -> None:
    _, second = of(trajectory([0.0, 1.0], split=True))
    assert second.state_ids.tolist() == second.trajectory.turns[1].prompt_ids.tolist()


def test_a_time_limit_has_a_next_state_and_the_end_has_none() -> None:
    cut, over = (
        of(episode([1, 2], [5, 5], [0.0, 0.0], stop, final=3))
        for stop in (StopReason.TURN_LIMIT, StopReason.FAILURE)
    )
    assert cut[1].next_ids is not None
    assert cut[1].next_ids.tolist() == [1, 5, 2, 5, 3]
    assert over[1].next_ids is None


def test_what_the_world_failed_at_has_no_transitions() -> None:
    assert of(trajectory([1.0], stop=StopReason.INFRA_ERROR)) == []


def test_the_oldest_transitions_make_way() -> None:
    replay = TransitionReplay(3)
    replay.add(of(episode([1, 2], [5, 5], [0.0, 0.0]), episode([3, 4], [5, 5], [0.0, 1.0])))
    drawn = replay.draw(200, np.random.default_rng(0))
    assert len(replay) == 3
    assert {int(t.state_ids[-1]) for t in drawn} == {2, 3, 4}


def test_whole_episodes_are_as_likely_as_single_turns() -> None:
    replay = TransitionReplay(10)
    replay.add(of(episode([1], [5], [0.0]), episode([2, 3, 4], [5] * 3, [0.0] * 3)))
    drawn = replay.draw_episodes(8000, np.random.default_rng(0))
    counts = np.bincount([int(t.state_ids[-1]) for t in drawn], minlength=5)[1:]
    assert counts.sum() == pytest.approx(8000, abs=3)
    assert counts == pytest.approx([2000] * 4, rel=0.05)
    runs = [int(t.state_ids[-1]) for t in drawn]
    assert all(runs[i + 1] == 3 for i, s in enumerate(runs) if s == 2)


def test_an_empty_buffer_says_so() -> None:
    for draw in (TransitionReplay(3).draw, TransitionReplay(3).draw_episodes):
        with pytest.raises(UsageError, match="add transitions first"):
            draw(1, np.random.default_rng(0))


def test_a_buffer_goes_on_where_it_stopped() -> None:
    replay, other = TransitionReplay(3), TransitionReplay(3)
    replay.add(of(episode([1, 2, 3, 4], [5] * 4, [0.0] * 4)))
    other.restore(replay.state())
    more = of(episode([6], [5], [0.0]))
    replay.add(more)
    other.add(more)
    draws = [r.draw(9, np.random.default_rng(1)) for r in (replay, other)]
    assert [t.state_ids.tolist() for t in draws[0]] == [t.state_ids.tolist() for t in draws[1]]


# Encoders.


def test_a_text_that_begins_another_is_encoded_as_if_alone() -> None:
    encoder = DecoderEncoder(tiny_model(dtype=torch.float32).model, 12)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 40).astype(np.int32)
    texts = [ids[:3], ids[:9], ids[:20], ids[:9], ids[20:23]]
    alone = torch.cat([encoder([text]) for text in texts])
    torch.testing.assert_close(encoder(texts), alone, atol=1e-5, rtol=1e-5)


def test_a_long_text_loses_its_beginning() -> None:
    encoder = DecoderEncoder(tiny_model(dtype=torch.float32).model, 4)
    ids = np.arange(10, dtype=np.int32)
    torch.testing.assert_close(encoder([ids]), encoder([ids[-4:]]))


def test_the_policys_own_hidden_states_train_nothing_but_the_heads() -> None:
    acting = policy()
    encoder = make_encoder(EncoderConfig.model_validate({"kind": "policy"}), acting)
    assert not list(encoder.parameters())
    assert not encoder([np.arange(3, dtype=np.int32)]).requires_grad


@pytest.mark.parametrize("given", [{"kind": "pretrained"}, {"path": "roberta-base"}])
def test_a_path_and_a_pretrained_encoder_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"encoder\.path"):
        EncoderConfig.model_validate(given)


# Losses.


def test_losses_are_what_their_equations_say() -> None:
    predicted = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    wanted = torch.tensor([[3.0, 1.0], [1.0, 0.0]])
    assert float(regression(predicted, wanted)) == pytest.approx((4 + 1) / 2 + (1 + 0) / 2)
    expected = (0.9 * 4 + 0.1 * 1) / 2 + (0.9 * 1) / 2
    assert float(expectile_regression(predicted, wanted, 0.9)) == pytest.approx(expected)
    y = bootstrapped(torch.tensor([1.0, 2.0]), torch.tensor([[10.0, 0.0], [20.0, 0.0]]), 0.5)
    assert y.tolist() == [[6.0, 2.0], [11.0, 2.0]]


def test_ar1_without_discount_q_is_the_mean_reward() -> None:
    made = tabular(gamma=0.0, optimizer={"lr": 0.05})
    batch = of(*(episode([1], [5], [reward]) for reward in (0.0, 1.0, 1.0, 2.0, 1.0)))
    for _ in range(300):
        made.update(batch, [t.action_ids for t in batch], lr=0.05)
    states, actions = [batch[0].state_ids], [batch[0].action_ids]
    q_2N = made.critic.q(*made.critic.encode(states, actions))
    assert q_2N.squeeze(1).tolist() == pytest.approx([1.0, 1.0], abs=0.02)


def test_ar1_the_end_ignores_what_follows() -> None:
    losses: list[dict[str, float]] = []
    for final in (3, 9):
        made = critic(encoder={"hidden": 16})
        torch.nn.init.normal_(made.target.v_heads.heads[0][-1].weight)
        batch = of(episode([1, 2], [5, 6], [0.0, 1.0], StopReason.FAILURE, final=final))
        losses.append(made.update(batch, [t.action_ids for t in batch], lr=1e-3))
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("tau", "same"), [(1.0, "critic"), (0.0, "target")])
def test_ar2_a_soft_update_copies_or_leaves(tau: float, same: str) -> None:
    made = critic(tau=tau, encoder={"hidden": 16})
    before = flat(made.target).clone()
    batch = of(episode([1, 2], [5, 6], [0.0, 1.0]))
    made.update(batch, [t.action_ids for t in batch], lr=1e-2)
    assert not torch.equal(flat(made.critic), before)
    assert torch.equal(flat(made.target), flat(made.critic) if same == "critic" else before)


def test_ar2_in_between_it_moves_by_tau() -> None:
    target, source = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = 0.9 * flat(target) + 0.1 * flat(source)
    soft_update(target, source, 0.1)
    torch.testing.assert_close(flat(target), wanted)


def test_ar3_nothing_but_the_critic_gets_a_gradient() -> None:
    acting = policy()
    made = UtteranceCritic(UtteranceCriticConfig(), acting)
    batch = of(trajectory([0.0, 1.0], actions=[2, 3]))
    kept = copy.deepcopy(acting.model.state_dict())
    made.update(batch, [t.action_ids for t in batch], lr=1e-2)
    assert all(p.grad is None for p in acting.model.parameters())
    assert all(p.grad is None and not p.requires_grad for p in made.target.parameters())
    assert all(torch.equal(kept[n], p) for n, p in acting.model.state_dict().items())
    advantages = made.advantages([t.state_ids for t in batch], [t.action_ids for t in batch])
    assert not advantages.requires_grad


def test_micro_batches_change_nothing() -> None:
    weights: list[Tensor] = []
    for size in (128, 2):
        made = critic(micro_batch_size=size, encoder={"hidden": 16})
        batch = of(trajectory([0.0, 1.0, 0.5], actions=[2, 3, 1], seed=3))
        for _ in range(3):
            made.update(batch, [t.action_ids for t in batch], lr=1e-3)
        weights.append(flat(made.critic))
    torch.testing.assert_close(weights[0], weights[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stop", [StopReason.SUCCESS, StopReason.TURN_LIMIT])
def test_ar6_values_of_a_chain_are_the_discounted_ones(stop: StopReason) -> None:
    """State 1 leads to state 2, which pays 1; cut short there, it goes on in state 1."""
    made = tabular(gamma=0.9, tau=0.5, optimizer={"lr": 0.05})
    # The state after the cut is known by its last id alone: a table has no history.
    batch = of(episode([1, 2], [5, 6], [0.0, 1.0], stop, final=1))
    fresh = [t.action_ids for t in batch]
    for step in range(1500):
        made.update(batch, fresh, lr=0.05 if step < 1000 else 0.002)
    second = 1.0 if stop is StopReason.SUCCESS else 1 / (1 - 0.9**2)
    states_NH, answers_NH = made.critic.encode([t.state_ids for t in batch], fresh)
    q_2N, v_2N = made.critic.q(states_NH, answers_NH), made.critic.v(states_NH)
    for values_2N in (q_2N, v_2N):
        for head in values_2N.tolist():
            assert head == pytest.approx([0.9 * second, second], rel=0.02)


def test_an_expectile_looks_for_the_best_that_was_done() -> None:
    made = tabular(gamma=0.0, tau=0.5, backup="expectile", expectile=0.95, optimizer={"lr": 0.05})
    batch = of(episode([1], [5], [0.0]), episode([1], [6], [1.0]))
    for _ in range(600):
        made.update(batch, None, lr=0.05)
    v_2N = made.critic.v(*made.critic.encode([batch[0].state_ids]))
    assert v_2N.flatten().tolist() == pytest.approx([0.95, 0.95], abs=0.03)


def test_advantages_take_the_lesser_head_of_each() -> None:
    made = tabular()
    with torch.no_grad():
        made.critic.q_table[:, 1, 5] = torch.tensor([3.0, 2.0])
        made.critic.v_table[:, 1] = torch.tensor([0.5, 1.0])
        made.target.q_table[:, 1, 6] = torch.tensor([9.0, 4.0])
    one = [np.array([1], np.int32)]
    assert made.advantages(one, [np.array([5], np.int32)]).tolist() == [1.5]
    answers = [np.array([5], np.int32), np.array([6], np.int32)]
    assert made.scores(one[0], answers).tolist() == [0.0, 4.0]


def test_answers_at_one_state_are_compared_with_each_other() -> None:
    made = tabular()
    with torch.no_grad():
        made.critic.q_table[0, 2, 5:8] = torch.tensor([3.0, 1.0, 2.0])
        made.critic.q_table[1, 2, 5:8] = torch.tensor([4.0, 1.0, 9.0])
        made.critic.v_table[:] = 100.0  # is not asked
    ids = {n: np.array([n], np.int32) for n in range(VOCABULARY)}
    states = [ids[2]] * 3 + [ids[3]] * 3
    compared = made.comparisons(states, [ids[a] for a in (5, 6, 7, 5, 5, 5)], 3)
    torch.testing.assert_close(compared, torch.tensor([1.5, -1.5, 0.0, 0.0, 0.0, 0.0]))


def test_a_restored_critic_goes_on_bit_for_bit() -> None:
    batch = of(trajectory([0.0, 1.0], actions=[2, 3]))
    fresh = [t.action_ids for t in batch]
    one, other = critic(), critic()
    one.update(batch, fresh, lr=1e-3)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert one.update(batch, fresh, lr=1e-3) == other.update(batch, fresh, lr=1e-3)
    assert torch.equal(flat(one.critic), flat(other.critic))
    assert torch.equal(flat(one.target), flat(other.target))


# The trainer.

GIVEN = ("critic.steps=2", "critic.batch_size=6", "actor.batch_size=6", "actor.steps=2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def archer(model: Path, run: Path, *given: str) -> Any:
    return make_trainer("archer", model, run, ON_POLICY, *GIVEN, *given)


def actor(trainer: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.learner.parameters])


@pytest.mark.integration
@pytest.mark.parametrize("architecture", ["decoder", "encoder with a pooler"])
def test_any_hugging_face_model_may_be_the_encoder(
    architecture: str, model: Path, tmp_path: Path
) -> None:
    path = model
    if "pooler" in architecture:
        path = tmp_path / "bert"
        tokenizer = AutoTokenizer.from_pretrained(model)
        shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
        shape |= {"vocab_size": len(tokenizer), "num_hidden_layers": 1}
        BertModel(BertConfig(**shape)).save_pretrained(path)
        tokenizer.save_pretrained(path)
    given = ("critic.encoder.kind=pretrained", f"critic.encoder.path={path}")
    trainer = archer(model, tmp_path / "run", "format_penalty=0.5", "steps=1", *given)
    before = flat(trainer.critic.critic.encoder).clone()
    trainer.train()
    assert not torch.equal(flat(trainer.critic.critic.encoder), before)
    texts = [np.arange(5, 9, dtype=np.int32), np.arange(5, 7, dtype=np.int32)]
    encoder = trainer.critic.critic.encoder
    alone = torch.cat([encoder([text]) for text in texts])  # padding changes nothing
    torch.testing.assert_close(encoder(texts), alone, atol=1e-5, rtol=1e-4)


def test_an_encoder_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = {"kind": "pretrained", "path": str(tmp_path / "nothing")}
    with pytest.raises(DataError, match="nothing is no encoder"):
        make_encoder(EncoderConfig.model_validate(given), policy())


def test_the_presets_are_the_released_settings() -> None:
    def preset(name: str) -> ArCHerConfig:
        return load(ArCHerConfig, [], ["model.path=m", "env.id=e"], dict(PRESETS[name]))

    paper = preset("paper")
    assert (paper.tasks_per_step, paper.warmup_steps, paper.replay_capacity) == (128, 20, 100_000)
    assert (paper.critic.steps, paper.critic.batch_size, paper.actor.steps) == (50, 256, 3)
    assert (paper.critic.gamma, paper.critic.tau) == (0.95, 0.1)
    assert (paper.critic.optimizer.lr, paper.optimizer.lr) == (2e-5, 1e-6)
    assert paper.critic.encoder.path == "roberta-base"
    offline = preset("offline")
    assert (offline.critic.backup, offline.critic.expectile) == (Backup.EXPECTILE, 0.9)
    assert (offline.critic.gamma, offline.critic.tau) == (0.99, 0.05)
    assert (offline.actor.objective, offline.actor.temperature) == (ActorObjective.AWR, 1.0)
    chai = preset("chai")
    assert (chai.actor.objective, chai.best_of) == (ActorObjective.NONE, 5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("update.minibatches=2",), "loss.ratio_level=token"),
        (("actor.objective=awr", "actor.whiten=true"), "actor.whiten"),
        (("data.where=[reward>0]",), "data.runs"),
        (("critic.optimizer.name=muon",), "muon is for policies"),
        (("best_of=2", "critic.encoder.kind=policy", "model.lora.rank=2"), "another encoder"),
    ],
)
def test_settings_that_do_not_go_together(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(ArCHerConfig, [], ["model.path=m", "env.id=e", *settings])


def test_a_frozen_encoder_reads_a_text_once_and_does_not_follow_the_policy() -> None:
    acting = policy()
    encoder = make_encoder(EncoderConfig.model_validate({"kind": "policy"}), acting)
    texts = [np.array(ids, np.int32) for ids in ([5, 6, 7], [5, 6], [9])]
    before_NH = encoder(texts)
    read: list[int] = []
    encoder._decoder[0].register_forward_hook(lambda *_: read.append(1))
    with encoder.remembering():
        assert torch.equal(encoder(texts), before_NH)
        assert torch.equal(encoder(texts[::-1]), before_NH.flip(0))
    assert len(read) == 1
    with torch.no_grad():
        for weight in acting.model.parameters():
            weight.zero_()
    assert torch.equal(encoder(texts), before_NH)


def test_a_critic_step_that_cannot_be_taken_moves_nothing() -> None:
    made = critic()
    drawn = of(episode([5, 6], [7, 8], [1.0, math.inf]))
    before, target = flat(made.critic).clone(), flat(made.target).clone()
    told = made.update(drawn, [t.action_ids for t in drawn], lr=0.1)
    assert told["critic/skipped_steps"] == 1
    assert "critic/grad_norm" not in told
    assert torch.equal(flat(made.critic), before)
    assert torch.equal(flat(made.target), target)


VARIANTS = {
    "plain": (),
    "whole episodes": ("draw=episodes", "actor.whiten=true"),
    "token baseline": ("baseline.enabled=true",),
    "ppo": ("loss.ratio_level=token", "update.epochs=2", "update.minibatches=2"),
    "policy's states": ("critic.encoder.kind=policy",),
    "adapters": ("model.lora.rank=4", "critic.encoder.kind=policy"),
    "divergence": ("loss.kl_coef=0.1",),
    "several answers": ("actor.answers=3",),
}


@pytest.mark.integration
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_trains_critic_and_actor(name: str, model: Path, tmp_path: Path) -> None:
    trainer = archer(model, tmp_path / "run", "format_penalty=0.5", *VARIANTS[name])
    before, judged = actor(trainer), flat(trainer.critic.critic).clone()
    trainer.train()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["replay/size"] for row in rows] == [24, 48]
    assert all(math.isfinite(row["critic/q_loss"]) for row in rows)
    assert not torch.equal(actor(trainer), before)
    assert not torch.equal(flat(trainer.critic.critic), judged)
    assert trainer.policy.policy_version == 4


@pytest.mark.integration
def test_ar4_with_a_constant_advantage_it_is_imitation(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = archer(model, tmp_path / "run", "steps=1", "optimizer.grad_clip=1e9")
    monkeypatch.setattr(
        trainer.critic, "advantages", lambda states, actions: torch.full((len(states),), 2.0)
    )
    gradients: list[Tensor] = []
    monkeypatch.setattr(
        trainer.learner.optimizer,
        "step",
        lambda lr: (
            gradients.append(torch.cat([p.grad.flatten() for p in trainer.learner.parameters]))
            or 1.0
        ),
    )
    alone = [replace(t, turns=t.turns[:1]) for t in (trajectory([0.0], seed=s) for s in range(3))]
    trainer.learn(alone)
    logprobs = trainer.learner.forward(trainer_batch(alone)).tokens.logprobs_BT
    imitation = -logprobs.sum() / len(alone)
    wanted = torch.autograd.grad(imitation, trainer.learner.parameters)
    torch.testing.assert_close(
        gradients[0], 2 * torch.cat([g.flatten() for g in wanted]), atol=1e-6, rtol=1e-4
    )


def trainer_batch(trajectories: Sequence[Trajectory]) -> Any:
    from agentgym.trainers.batch import TokenBatch

    return TokenBatch.of(trajectories)


@pytest.mark.integration
def test_ar5_the_actor_looks_at_stored_states_and_at_no_stored_answer(
    model: Path, tmp_path: Path
) -> None:
    after: list[Tensor] = []
    for answer in (5, 9):
        trainer = archer(model, tmp_path / f"run-{answer}", "steps=1")
        before = actor(trainer)
        torch.nn.init.ones_(trainer.critic.critic.q_heads.heads[0][-1].weight)
        torch.nn.init.ones_(trainer.critic.critic.q_heads.heads[1][-1].weight)
        trainer.open(None)
        try:
            trainer.remember([episode([7], [answer], [1.0]), episode([8], [answer], [1.0])])
            trainer.act()
        finally:
            trainer.close()
        after.append(actor(trainer))
        assert not torch.equal(after[-1], before)
    assert torch.equal(after[0], after[1])


@pytest.mark.integration
def test_ar7_a_warm_up_leaves_the_policy_as_it_is(model: Path, tmp_path: Path) -> None:
    trainer = archer(model, tmp_path / "run", "warmup_steps=2", "format_penalty=0.5")
    before, judged = actor(trainer), flat(trainer.critic.critic).clone()
    trainer.train()
    assert torch.equal(actor(trainer), before)
    assert trainer.policy.policy_version == 0
    assert not torch.equal(flat(trainer.critic.critic), judged)


@pytest.mark.integration
def test_chai_changes_no_weight_and_says_what_the_critic_likes(model: Path, tmp_path: Path) -> None:
    trainer = archer(model, tmp_path / "run", "actor.objective=none", "best_of=3", "steps=1")
    liked: list[tuple[int, ...]] = []

    def scores(state: Ids, answers: Sequence[Ids]) -> Tensor:
        assert len(answers) == 3
        lengths = [len(ids) for ids in answers]
        liked.append(tuple(answers[int(np.argmax(lengths))].tolist()))
        return torch.tensor(lengths)

    trainer.critic.scores = scores
    before = actor(trainer)
    trainer.train()
    said = {tuple(t.action_ids.tolist()) for t in trainer.replay.draw(500, np.random.default_rng())}
    assert said <= set(liked)
    assert torch.equal(actor(trainer), before)


@pytest.mark.integration
def test_a_finished_run_is_played_with_its_critics_choice(model: Path, tmp_path: Path) -> None:
    trainer = archer(model, tmp_path / "run", "steps=1", "format_penalty=0.5")
    trainer.train()
    played = tmp_path / "eval"
    words = ["--policy", f"chai:{tmp_path / 'run'}", "--episodes", "2", "--out", str(played)]
    assert main(["eval", toy_envs.COUNTER, *words, "max_turns=2"]) is ExitCode.OK
    turns = [turn for trajectory in Store.open(played) for turn in trajectory.turns]
    assert turns
    assert all(len(turn.completion_ids) for turn in turns)


@pytest.mark.integration
@pytest.mark.parametrize("kind", [("model.lora.rank=2",), ("critic.encoder.kind=policy",)])
def test_a_finished_runs_weights_and_critic_come_back_whole(
    kind: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    trainer = archer(model, tmp_path / "run", "steps=1", "format_penalty=0.5", *kind)
    trainer.train()
    policy = Chai(tmp_path / "run", count=2)
    assert isinstance(policy.policy, TransformersPolicy)
    weights = dict(policy.policy.model.named_parameters())
    assert all(torch.equal(weights[n], w) for n, w in trainer.loaded.model.named_parameters())
    state, answers = np.array([5, 6], np.int32), [np.array([a], np.int32) for a in (7, 8)]
    wanted = trainer.critic.scores(state, answers)
    assert wanted.abs().sum() > 0
    assert torch.equal(policy.score(state, answers), wanted)
    assert policy.count == 2
    asyncio.run(policy.close())


@pytest.mark.parametrize(
    ("algorithm", "trained", "message"),
    [("grpo", True, "needs the critic"), ("archer", False, "no checkpoint yet")],
)
@pytest.mark.integration
def test_a_run_without_a_critic_can_not_be_played_by_it(
    algorithm: str, trained: bool, message: str, model: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(algorithm, model, tmp_path / "run", ON_POLICY, "steps=1")
    if trained:
        trainer.train()
    with pytest.raises((UsageError, DataError), match=message):
        Chai(tmp_path / "run")


@pytest.mark.integration
def test_offline_it_learns_from_a_log_and_never_acts(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    make_trainer("grpo", model, log, ON_POLICY).train()
    trainer = archer(
        model, tmp_path / "run", "actor.objective=awr", "critic.backup=expectile",
        f"data.runs=[{log}]",
    )  # fmt: skip
    before = actor(trainer)
    trainer.train()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert all("rollout/success" not in row for row in rows)
    assert not (tmp_path / "run" / "trajectories").exists() or not any(
        (tmp_path / "run" / "trajectories").iterdir()
    )
    assert not torch.equal(actor(trainer), before)


@pytest.mark.integration
def test_awr_weighs_stored_answers_within_bounds(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = archer(
        model,
        tmp_path / "run",
        "actor.objective=awr",
        "actor.temperature=0.5",
        "actor.max_weight=3",
    )
    monkeypatch.setattr(
        trainer.critic, "advantages", lambda states, actions: torch.tensor([-1.0, 0.0, 5.0])
    )
    alone = [trajectory([0.0], seed=s) for s in range(3)]
    batch = trainer.weigh(TurnTable.of(alone), trainer_batch(alone), alone)
    weights = [
        float(row[mask][0]) for row, mask in zip(batch.advantages_BT, batch.mask_BT, strict=True)
    ]
    assert weights == pytest.approx([math.exp(-2), 1.0, 3.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("advantage.lone_member=raw",), "critic judges"),
        (("data.runs=[x]", "best_of=2"), "there are none"),
        (("actor.objective=awr", "actor.answers=2"), "samples answers"),
        (("actor.objective=awr", "baseline.enabled=true"), "no ratio and no baseline"),
        (("actor.objective=awr", "loss.ratio_level=token"), "no ratio and no baseline"),
    ],
)
def test_what_does_not_go_together_is_refused(
    given: Sequence[str], message: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        archer(model, tmp_path / "run", *given)
