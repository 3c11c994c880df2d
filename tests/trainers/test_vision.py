"""A model that sees learns from what it saw: the trainers' pass is the sampler's, with images."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import visual_envs
from tiny_runs import make_trainer
from transformers import AutoImageProcessor
from vision_cases import MODELS, PROCESSOR, TOKENIZER, screen, tiny_model

from agentgym.conversation import Conversation
from agentgym.errors import ConfigError, DataError, UsageError
from agentgym.metrics import read_metrics
from agentgym.models.texts import expert_texts
from agentgym.models.tiny import build_tiny
from agentgym.policies.scripted import ExpertPolicy
from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Request, Sampling
from agentgym.rollout import collect
from agentgym.stop_reason import StopReason
from agentgym.store import Store
from agentgym.trainers.attention import VARLEN, register_varlen
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.checkpoint import save
from agentgym.trainers.forward import batch_logprobs
from agentgym.trainers.models import LoadedModel, LoraConfig, disable_dropout, with_adapters
from agentgym.trainers.sft import with_observations
from agentgym.trajectory import Trajectory

LOOKS = [
    [screen(0, 64, 96), None, screen(1, 64, 64)],
    [None, None],
    [screen(2, 32, 160), screen(2, 32, 160), screen(3, 96, 96)],
]


def sampled(model: Any, *, writes_pads: bool = True) -> list[Trajectory]:
    """Return episodes that the model sampled; it also writes placeholders, as any id."""
    policy = TransformersPolicy(
        model, TOKENIZER, image_processor=PROCESSOR, slots=2, max_length=256
    )
    pad = policy.template.image_pad
    assert pad is not None

    async def play(k: int, looks: list[Any]) -> Trajectory:
        conversation = Conversation(policy.template, "You see.")
        turns: list[Any] = []
        for image in looks:
            prompt = conversation.observe("a desk 1", image)
            sampling = Sampling(max_tokens=6, seed=k)
            request = Request(f"e{k}", (), prompt.ids, sampling, images=prompt.images)
            (completion,) = await policy.generate([request])
            if writes_pads:
                # As if drawn: a turn later it is read again, and its own figures are dropped.
                ids = np.where(np.arange(len(completion.ids)) == 1, pad, completion.ids)
                nan = np.where(ids == pad, np.nan, completion.logprobs)
                nan[2:] = np.nan
                completion = replace(completion, ids=ids.astype(np.int32), logprobs=nan)
            turns.append(conversation.complete(completion))
        return Trajectory("toy", "task", StopReason.SUCCESS, turns)

    async def run() -> list[Trajectory]:
        played = await asyncio.gather(*(play(k, looks) for k, looks in enumerate(LOOKS)))
        await policy.close()
        return list(played)

    return asyncio.run(run())


@pytest.mark.parametrize("attention", [VARLEN, "sdpa"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("writes_pads", [False, True])
def test_the_trainers_pass_agrees_with_the_sampler(name: str, attention: str, writes_pads: bool):
    register_varlen()
    model = tiny_model(name)
    model.set_attn_implementation(attention)
    batch = TokenBatch.of(sampled(model, writes_pads=writes_pads))
    with torch.no_grad():
        forward = batch_logprobs(model, batch, image_processor=PROCESSOR)
    mu_M = batch.logprobs_mu_BT[batch.mask_BT]
    known = ~mu_M.isnan()
    assert known.sum() >= 8
    gap_M = (forward.tokens.logprobs_BT[batch.mask_BT] - mu_M)[known].abs()
    assert float(gap_M.max()) < 1e-4


def test_a_micro_batch_sees_its_own_images_and_the_tower_has_a_gradient():
    model = tiny_model("qwen3")
    batch = TokenBatch.of(sampled(model, writes_pads=False))
    whole_BT = batch_logprobs(model, batch, image_processor=PROCESSOR).tokens.logprobs_BT
    for row in range(len(batch)):
        part = batch.select([row])
        assert part.images_B == (batch.images_B[row],)
        alone_1T = batch_logprobs(model, part, image_processor=PROCESSOR).tokens.logprobs_BT
        torch.testing.assert_close(alone_1T[0], whole_BT[row, : part.shape[1]], atol=1e-4, rtol=0)
    whole_BT.sum().backward()
    assert all(float(w.grad.norm()) > 0 for w in model.model.visual.blocks.parameters())


def test_other_pixels_are_another_prompt():
    model = tiny_model("qwen3")
    batch = TokenBatch.of(sampled(model, writes_pads=False))
    dark = tuple(tuple(image // 2 for image in row) for row in batch.images_B)
    with torch.no_grad():
        seen, other = (
            batch_logprobs(model, b, image_processor=PROCESSOR).tokens.logprobs_BT
            for b in (batch, replace(batch, images_B=dark))
        )
    assert not torch.allclose(seen[0], other[0], atol=1e-3)
    torch.testing.assert_close(seen[1], other[1])  # it saw nothing


def test_images_that_are_missing_or_of_another_size_are_refused():
    model = tiny_model("qwen3")
    batch = TokenBatch.of(sampled(model, writes_pads=False))
    none = replace(batch, images_B=((),) * len(batch))
    with pytest.raises(DataError, match="10 placeholder ids stand for 0 images"):
        batch_logprobs(model, none, image_processor=PROCESSOR)
    cropped = tuple(tuple(image[:32] for image in row) for row in batch.images_B)
    with pytest.raises(DataError, match="which take 5"):
        batch_logprobs(model, replace(batch, images_B=cropped), image_processor=PROCESSOR)
    with pytest.raises(UsageError, match="image processor"):
        batch_logprobs(model, batch)


def test_placeholders_are_not_learned_with_the_observations():
    batch = TokenBatch.of(sampled(tiny_model("qwen3"), writes_pads=False))
    pad = int(TOKENIZER.get_vocab()["<|image_pad|>"])
    learnt = with_observations(batch, pad)
    shown = batch.input_ids_BT == pad
    assert shown.any()
    assert not (learnt.mask_BT & shown).any()
    assert (learnt.mask_BT | shown).sum() == int(batch.lengths_B.sum()) - len(batch)


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_comes_back_to_the_last_bit(name: str, tmp_path: Path):
    model = tiny_model(name)
    loaded = LoadedModel(model, TOKENIZER, torch.device("cpu"), PROCESSOR)
    written = save(tmp_path, 1, loaded, {}, keep=1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    written.load_weights(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    processor = AutoImageProcessor.from_pretrained(written.model_folder, backend="pil")
    assert processor.size == PROCESSOR.size


def test_adapters_learn_from_images():
    register_varlen()
    model = tiny_model("qwen3")
    batch = TokenBatch.of(sampled(model, writes_pads=False))
    adapted = with_adapters(model, LoraConfig(rank=2))
    disable_dropout(adapted)
    forward = batch_logprobs(adapted, batch, image_processor=PROCESSOR)
    forward.tokens.logprobs_BT.sum().backward()
    learnt = [n for n, w in adapted.named_parameters() if w.grad is not None and w.grad.any()]
    assert any("visual" in name for name in learnt)
    assert any("language_model" in name for name in learnt)


# Whole runs.

RUN: dict[str, Any] = {
    "seed": 3,
    "env": {"id": visual_envs.COLOURS, "kwargs": {"instructions": ""}},
    "optimizer": {"lr": 1e-3},
    "checkpoint": {"every": 100},
}
ON_POLICY = RUN | {
    "sampling": {"max_tokens": 4},
    "policy": {"slots": 32, "max_length": 128},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = expert_texts(visual_envs.COLOURS, 20)
    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden": 32, "layers": 2, "heads": 2, "kv_heads": 1, "vocab": 320}
    return build_tiny(folder, texts, vision=True, **sizes).folder


def success(model: Path) -> float:
    policy = TransformersPolicy(model, slots=32, max_length=128, threads=1)
    greedy = Sampling(temperature=0, max_tokens=4)
    env_kwargs = RUN["env"]["kwargs"]
    played = collect(
        visual_envs.COLOURS, policy, 64, env_kwargs=env_kwargs, sampling=greedy, seed=10_000
    )
    return sum(trajectory.success for trajectory in played) / len(played)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_learns_what_can_only_be_seen(tiny: Path, tmp_path: Path) -> None:
    """Imitation of stored episodes, then GRPO in worker processes; who sees nothing has 1 in 9."""
    shown, imitated, rewarded = (tmp_path / name for name in ("shown", "sft", "grpo"))
    with Store.writer(shown) as writer:
        expert, env_kwargs = ExpertPolicy(None), RUN["env"]["kwargs"]
        collect(visual_envs.COLOURS, expert, 512, env_kwargs=env_kwargs, seed=7, writer=writer)
    given = {"steps": 250, "batch_size": 16, "demonstrations": {"runs": [str(shown)]}}
    make_trainer("sft", tiny, imitated, RUN | given, "optimizer.lr=4e-3").train()
    model = imitated / "checkpoints" / "step-000250" / "model"
    assert success(model) > 0.8

    base = ON_POLICY | {"steps": 3, "tasks_per_step": 4, "group_size": 8}
    make_trainer("grpo", model, rewarded, base, "rollout.worker=process").train()
    rows = read_metrics(rewarded / "metrics.jsonl")
    assert rows[-1]["rollout/success"] > 0.8
    assert all(row["drift/kl"] < 1e-4 for row in rows)
    for trajectory in Store.open(rewarded):
        assert all(turn.image is not None for turn in trajectory.turns)


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_screenshots_of_a_page_are_trained_on(tmp_path: Path) -> None:
    """Imitation, then a step of GRPO, on one of MiniWoB's pages with numbers drawn on it."""
    env_kwargs = {"instructions": "", "screenshot": True, "marks": True, "actions": ["elements"]}
    env = {"id": "agentgym/MiniWoB-ClickTest-v0", "kwargs": env_kwargs}
    texts = expert_texts(env["id"], 4, **env_kwargs)
    sizes = {"hidden": 32, "layers": 2, "heads": 2, "kv_heads": 1, "vocab": 512}
    tiny = build_tiny(tmp_path / "model", texts, vision=True, **sizes).folder

    shared = RUN | {"env": env}
    shown = {"steps": 24, "batch_size": 4, "demonstrations": {"episodes": 16}}
    make_trainer("sft", tiny, tmp_path / "sft", shared | shown, "optimizer.lr=8e-3").train()
    losses = [row["loss/policy"] for row in read_metrics(tmp_path / "sft" / "metrics.jsonl")]
    assert losses[-1] < 0.5 * losses[0]

    model = tmp_path / "sft" / "checkpoints" / "step-000024" / "model"
    drawn = ON_POLICY | {"env": env, "policy": {"slots": 8, "max_length": 512}}
    drawn |= {"steps": 1, "tasks_per_step": 1, "group_size": 4}
    make_trainer("grpo", model, tmp_path / "grpo", drawn, "env.kwargs.max_turns=2").train()
    (row,) = read_metrics(tmp_path / "grpo" / "metrics.jsonl")
    assert row["drift/kl"] < 1e-4
    turns = [turn for trajectory in Store.open(tmp_path / "grpo") for turn in trajectory.turns]
    assert {None if turn.image is None else turn.image.shape for turn in turns} == {(214, 332, 3)}


@pytest.mark.integration
def test_a_value_of_the_state_behind_a_limit_sees_its_image(tiny: Path, tmp_path: Path) -> None:
    base = ON_POLICY | {"steps": 1, "tasks_per_step": 2, "group_size": 2}
    make_trainer("ppo", tiny, tmp_path / "run", base, "env.kwargs.max_turns=1").train()
    for trajectory in Store.open(tmp_path / "run"):
        assert trajectory.final_image is not None
        assert len(trajectory.context_images(1)) == 2


@pytest.mark.integration
def test_critics_that_read_ids_alone_refuse_a_model_that_sees(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        make_trainer("archer", tiny, tmp_path / "run", ON_POLICY)
