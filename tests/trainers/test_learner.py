"""The learner: micro-batches, minibatches, schedules, and steps that are not finite."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agentgym.stop_reason import StopReason
from agentgym.trainers.aggregation import Aggregation, LossCounts
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.critics import ActorCriticLearner, CriticConfig
from agentgym.trainers.learner import Learner, UpdateConfig
from agentgym.trainers.losses import PolicyLossConfig, RatioAnchor
from agentgym.trainers.models import (
    LoadedModel,
    LoraConfig,
    Reference,
    checkpoint_activations,
    with_adapters,
)
from agentgym.trainers.optimizer import OptimizerConfig
from agentgym.trainers.ratios import CorrectionConfig, CorrectionLevel
from tests.support.training_cases import mixed_trajectories, tiny_model, trajectory


def learner(optimizer: OptimizerConfig | None = None, **update: Any) -> Learner:
    loaded = LoadedModel(tiny_model(), None, torch.device("cpu"))
    return Learner(
        loaded, optimizer or OptimizerConfig(lr=1e-2), UpdateConfig(**update), total_updates=10
    )


def batch(advantage: float = 1.0) -> TokenBatch:
    made = TokenBatch.of(mixed_trajectories())
    signs = torch.tensor([advantage, -advantage] * len(made))[: len(made), None]
    return replace(made, advantages_BT=signs * made.mask_BT)


def weights(subject: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in subject.parameters])


def test_the_size_of_a_micro_batch_changes_nothing_but_memory() -> None:
    whole, cut = learner(micro_batch_tokens=10_000), learner(micro_batch_tokens=1)
    loss = PolicyLossConfig()
    one, many = whole.update(batch(), loss), cut.update(batch(), loss)
    assert torch.allclose(weights(whole), weights(cut), atol=1e-12)
    assert one["loss/policy"] == pytest.approx(many["loss/policy"])
    assert one["optim/grad_norm"] == pytest.approx(many["optim/grad_norm"])


def test_recomputed_activations_change_nothing_but_memory() -> None:
    kept, recomputed = learner(), learner()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        checkpoint_activations(recomputed.model)
    calls: list[str] = []
    for subject, name in ((kept, "kept"), (recomputed, "recomputed")):
        layer = subject.model.get_submodule("model.layers.0.self_attn")
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
        subject.update(batch(), PolicyLossConfig())
    assert calls.count("recomputed") == 2 * calls.count("kept")
    assert torch.equal(weights(kept), weights(recomputed))


def test_an_update_of_one_step_needs_no_old_logprobs() -> None:
    lazy, eager = learner(), learner()
    given = batch()
    lazy.update(given, PolicyLossConfig())
    eager.update(replace(given, logprobs_old_BT=eager.logprobs(given)), PolicyLossConfig())
    assert torch.allclose(weights(lazy), weights(eager), atol=1e-12)


def test_minibatches_are_optimiser_steps_over_whole_trajectories() -> None:
    subject = learner(minibatches=2, epochs=3)
    given = batch()
    given = replace(given, logprobs_old_BT=subject.logprobs(given))
    subject.update(given, PolicyLossConfig())
    assert subject.optimizer.adamw.state[subject.parameters[0]]["step"] == 6


def test_a_step_that_is_not_finite_is_skipped_and_counted() -> None:
    subject = learner()
    before = weights(subject)
    metrics = subject.update(batch(float("inf")), PolicyLossConfig())
    assert metrics["optim/skipped_steps"] == 1
    assert torch.equal(weights(subject), before)
    assert subject.update(batch(), PolicyLossConfig())["optim/skipped_steps"] == 0
    assert not torch.equal(weights(subject), before)


@pytest.mark.parametrize(
    ("schedule", "half_way"), [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)]
)
def test_the_learning_rate_warms_up_and_then_follows_its_schedule(
    schedule: str, half_way: float
) -> None:
    settings = {"lr": 1.0, "warmup_steps": 2, "schedule": schedule}
    subject = learner(OptimizerConfig.model_validate(settings))  # ten updates in all
    rates: list[float] = []
    for updates in (0, 1, 2, 6, 10):
        subject.updates = updates
        rates.append(subject.lr())
    end = 1.0 if schedule == "constant" else 0.0
    assert rates == pytest.approx([0.5, 1.0, 1.0, half_way, end])


def test_a_skipped_update_counts_for_the_schedule() -> None:
    subject = learner(OptimizerConfig(lr=1.0, schedule="linear"))  # ten updates in all
    subject.update(batch(), PolicyLossConfig())
    subject.skip()
    assert subject.lr() == pytest.approx(0.8)
    restored = learner(OptimizerConfig(lr=1.0, schedule="linear"))
    restored.load_state_dict(copy.deepcopy(subject.state_dict()))
    assert restored.lr() == pytest.approx(0.8)


def test_the_entropy_is_a_mean_over_tokens_whatever_the_loss_averages_over() -> None:
    given = batch()
    few = given.select([0, 1])
    whole = LossCounts.of(given)  # as where rows without advantage are left out
    figures = [
        learner().update(few, PolicyLossConfig(aggregation=mode), counts=c)
        for mode, c in [
            (Aggregation.TOKEN_MEAN, None),
            (Aggregation.TOKEN_MEAN, whole),
            (Aggregation.SEQ_MEAN_TOKEN_SUM, None),
        ]
    ]
    subject = learner()
    forward = subject.forward(few, entropy=True)
    assert forward.tokens.entropy_BT is not None
    expected = float(forward.tokens.entropy_BT[few.mask_BT].mean().detach())
    assert [f["loss/entropy"] for f in figures] == pytest.approx([expected] * 3)


def test_what_is_not_measured_is_not_logged() -> None:
    mu = PolicyLossConfig(
        ratio_anchor=RatioAnchor.MU, correction=CorrectionConfig(level=CorrectionLevel.NONE)
    )
    told = learner(log_entropy=False).update(batch(), mu)
    assert not [name for name in told if name.startswith("drift/")]
    assert "loss/entropy" not in told
    told = learner().update(batch(), PolicyLossConfig())
    assert {"drift/kl", "loss/entropy"} <= set(told)


def test_a_turn_level_critics_figures_are_means_over_turns() -> None:
    subject = ActorCriticLearner(
        LoadedModel(tiny_model(), None, torch.device("cpu")),
        OptimizerConfig(),
        UpdateConfig(),
        critic=CriticConfig(clip=None),
        per_turn=True,
    )
    given = batch()
    # The value head starts at 0 everywhere, and every return is 2.
    given = replace(given, returns_BT=torch.full(given.shape, 2.0))
    told = subject.update(given, PolicyLossConfig())
    assert told["critic/error"] == pytest.approx(-2.0)
    assert told["critic/squared_error"] == pytest.approx(4.0)


def half_learner(dtype: torch.dtype = torch.bfloat16) -> Learner:
    """Return a learner at RL's learning rate, of a model whose weights bfloat16 holds exactly."""
    model = tiny_model(dtype=torch.bfloat16)
    loaded = LoadedModel(nn.Module.to(model, dtype), None, torch.device("cpu"))
    return Learner(loaded, OptimizerConfig(lr=1e-6), UpdateConfig(micro_batch_tokens=8))


def adapter_learner() -> Learner:
    model = with_adapters(tiny_model(dtype=torch.bfloat16), LoraConfig(rank=2))
    loaded = LoadedModel(model, None, torch.device("cpu"))
    return Learner(loaded, OptimizerConfig(lr=1e-3), UpdateConfig())


def critic_learner() -> Learner:
    loaded = LoadedModel(tiny_model(dtype=torch.bfloat16), None, torch.device("cpu"))
    config = OptimizerConfig(lr=1e-6)
    return ActorCriticLearner(loaded, config, UpdateConfig(), critic=CriticConfig())


def judged_batch() -> TokenBatch:
    given = batch()
    zero_BT = torch.zeros(given.shape)
    return replace(given, returns_BT=given.mask_BT.float(), values_old_BT=zero_BT)


def stepped(subject: Learner) -> torch.Tensor:
    """Return what AdamW steps: the weights, or their masters."""
    groups = subject.optimizer.adamw.param_groups
    return torch.cat([p.detach().flatten() for group in groups for p in group["params"]])


@pytest.mark.parametrize("make", [learner, half_learner, critic_learner, adapter_learner])
def test_a_restored_learner_goes_on_bit_for_bit(make: Callable[[], Learner]) -> None:
    unbroken, resumed = make(), make()
    for _ in range(2):
        unbroken.update(judged_batch(), PolicyLossConfig())
    resumed.model.load_state_dict(unbroken.model.state_dict())
    resumed.load_state_dict(copy.deepcopy(unbroken.state_dict()))  # as a file would
    for _ in range(2):
        unbroken.update(judged_batch(), PolicyLossConfig())
        resumed.update(judged_batch(), PolicyLossConfig())
    assert torch.equal(weights(unbroken), weights(resumed))
    assert torch.equal(stepped(unbroken), stepped(resumed))


def test_a_model_in_half_precision_learns_as_one_in_fp32() -> None:
    half, full = half_learner(), half_learner(torch.float32)
    start = weights(full)
    for _ in range(5):
        half.update(batch(), PolicyLossConfig())
        full.update(batch(), PolicyLossConfig())
    assert torch.equal(weights(half), stepped(half).bfloat16())
    ours, expected = stepped(half) - start, weights(full) - start
    # A gradient too small for half a precision to tell from 0 moves nothing there.
    moved, expected_moved = (float((d != 0).float().mean()) for d in (ours, expected))
    assert moved == pytest.approx(expected_moved, abs=0.01)
    assert float(ours.norm() / expected.norm()) == pytest.approx(1, abs=0.05)
    assert float(torch.nn.functional.cosine_similarity(ours, expected, dim=0)) > 0.95


def test_the_reference_stays_where_it_was() -> None:
    subject = learner()
    reference = Reference(tiny_model(), adapters=False)
    given = batch()
    before = subject.logprobs(given, reference)
    assert torch.allclose(before, subject.logprobs(given), atol=1e-6)
    subject.update(given, PolicyLossConfig())
    assert torch.equal(subject.logprobs(given, reference), before)
    assert not torch.allclose(subject.logprobs(given), before, atol=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_critics_warm_up_moves_the_value_head_alone(optimizer: str) -> None:
    subject = ActorCriticLearner(
        LoadedModel(tiny_model(), None, torch.device("cpu")),
        OptimizerConfig.model_validate({"name": optimizer, "lr": 1e-2, "weight_decay": 0.1}),
        UpdateConfig(),
        critic=CriticConfig(warmup_updates=2),
    )
    given = batch()
    zeros_BT = torch.zeros(given.shape)
    given = replace(given, returns_BT=zeros_BT + 1, values_old_BT=zeros_BT)

    def policy() -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in subject.model.parameters()])

    before, head = policy(), subject.value_head.linear.weight.detach().clone()
    for _ in range(2):
        subject.update(given, PolicyLossConfig())
    assert torch.equal(policy(), before)
    assert not torch.equal(subject.value_head.linear.weight, head)
    subject.update(given, PolicyLossConfig())
    assert not torch.equal(policy(), before)


@pytest.mark.parametrize("starts", [False, True])
def test_a_cut_trajectory_is_worth_what_its_next_prompt_is(starts: bool) -> None:
    subject = ActorCriticLearner(
        LoadedModel(tiny_model(), None, torch.device("cpu")),
        OptimizerConfig(),
        UpdateConfig(),
        critic=CriticConfig(),
    )
    nn.init.normal_(subject.value_head.linear.weight)
    cut = trajectory([0.0, 0.0], stop=StopReason.TURN_LIMIT)
    context = cut.sequences()[-1].ids
    added = np.array([5, 6, 7], np.int32)
    following = np.concatenate([context, added])
    # A template that isn't append-only writes the whole prompt again.
    cut.final_ids, cut.final_starts_sequence = (following if starts else added), starts
    given = TokenBatch.of([cut])
    value = float(subject.values(given, [cut]).final_values_N)
    ids_1T = torch.from_numpy(following).long()[None]
    hidden = subject.model.get_submodule("model")(ids_1T).last_hidden_state
    assert value == pytest.approx(float(subject.value_head(hidden)[0, -1].detach()), abs=1e-5)


def test_adapters_follow_the_seed_and_leave_the_callers_generator_alone() -> None:
    plain = [tiny_model() for _ in range(3)]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (
        with_adapters(model, LoraConfig(rank=2), seed=seed)
        for model, seed in zip(plain, (1, 1, 2), strict=True)
    )
    assert torch.equal(torch.rand(1), expected)
    drawn = [
        torch.cat([p.flatten() for n, p in model.named_parameters() if "lora_A" in n])
        for model in (one, same, other)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
