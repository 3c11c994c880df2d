"""A model that sees samples what its own forward pass says, whatever was kept, shared or split."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from vision_cases import MODELS, PROCESSOR, TOKENIZER, screen, tiny_model

from agentgym.conversation import Conversation
from agentgym.env import Image
from agentgym.errors import DataError, UsageError
from agentgym.images import patches_of
from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Completion, Request, Sampling
from agentgym.trajectory import Turn

LOOKS = [screen(0, 64, 96), None, screen(1, 64, 64)]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_policy(name: str = "qwen3", **options: Any) -> TransformersPolicy:
    arguments: dict[str, Any] = {"slots": 4, "max_length": 256, **options}
    return TransformersPolicy(tiny_model(name), TOKENIZER, image_processor=PROCESSOR, **arguments)


def ask(name: str, conversation: Conversation, prompt: Any, seed: int = 0) -> Request:
    sampling = Sampling(max_tokens=6, seed=seed)
    return Request(name, conversation.messages, prompt.ids, sampling, images=prompt.images)


async def episode(
    policy: TransformersPolicy, name: str, looks: Sequence[Image | None], seed: int
) -> tuple[Conversation, list[Turn]]:
    conversation = Conversation(policy.template, "You see.")
    turns: list[Turn] = []
    for image in looks:
        prompt = conversation.observe("a desk 1", image)
        (completion,) = await policy.generate([ask(name, conversation, prompt, seed)])
        turns.append(conversation.complete(completion))
    return conversation, turns


def play(policy: TransformersPolicy, *looks: Sequence[Image | None]) -> list[Any]:
    async def run() -> list[Any]:
        try:
            played = [episode(policy, f"e{k}", seen, k) for k, seen in enumerate(looks)]
            return await asyncio.gather(*played)
        finally:
            await policy.close()

    return asyncio.run(run())


def expected(model: Any, ids: np.ndarray[Any, Any], images: list[Image]) -> torch.Tensor:
    """Return the log-probabilities (T, V) that transformers' own forward pass gives."""
    ids_1T = torch.tensor(ids, dtype=torch.int64)[None]
    seen: dict[str, Any] = {}
    if images:
        patches = patches_of(PROCESSOR, images)
        seen = {
            "pixel_values": torch.tensor(patches.values_LD),
            "image_grid_thw": torch.tensor(patches.grids_N3),
            "mm_token_type_ids": (ids_1T == model.config.image_token_id).int(),
        }
    with torch.inference_mode():
        return model(input_ids=ids_1T, use_cache=False, **seen).logits[0].log_softmax(-1)


def drift(policy: TransformersPolicy, turns: list[Turn]) -> float:
    """Return how far the turns' log-probabilities are from the model's own."""
    ids = np.concatenate([part for t in turns for part in (t.prompt_ids, t.completion_ids)])
    images = [turn.image for turn in turns if turn.image is not None]
    logprobs_TV = expected(policy.model, ids, images)
    at, worst = 0, 0.0
    for turn in turns:
        at += len(turn.prompt_ids)
        for id, logprob in zip(turn.completion_ids, turn.logprobs, strict=True):
            worst = max(worst, abs(float(logprobs_TV[at - 1, id]) - float(logprob)))
            at += 1
    return worst


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "options",
    [{}, {"slots": 1}, {"prefill_ids": 5}],
    ids=["kept", "evicted", "images read over several passes"],
)
def test_logprobs_agree_with_transformers_own_pass(name: str, options: dict[str, int]):
    policy = make_policy(name, **options)
    played = play(policy, LOOKS, LOOKS[::-1], [None, None])
    for conversation, turns in played:
        ids = np.concatenate([p for t in turns for p in (t.prompt_ids, t.completion_ids)])
        assert np.array_equal(ids, conversation.ids)
        # transformers takes a placeholder that was sampled for an image's; ours is tested beside
        # the trainers' pass.
        pads = sum(np.count_nonzero(t.completion_ids == policy.template.image_pad) for t in turns)
        assert pads or drift(policy, turns) < 1e-4


def test_a_turn_reads_only_what_is_new_and_an_image_once():
    policy = make_policy()
    ((conversation, turns),) = play(policy, LOOKS)
    stats = policy.stats
    # Of each answer the last id is read with the next prompt, and that of the last one never.
    assert stats.read_ids == len(conversation.ids) - 1
    assert stats.evictions == 0
    assert sum(len(turn.prompt_ids) for turn in turns) + stats.sampled_ids == len(conversation.ids)


def test_prompts_share_what_shows_the_same_image_and_nothing_else():
    same, other = screen(0, 128, 128), screen(1, 128, 128)
    policy = make_policy()
    played = play(policy, [same], [same.copy()], [other])
    prompts = [turns[0].prompt_ids for _, turns in played]
    assert np.array_equal(prompts[0], prompts[2])  # the ids can't tell them apart
    assert len(prompts[0]) > policy.stats.reused_ids >= 16
    for _, turns in played:
        assert drift(policy, turns) < 1e-4


def test_new_weights_of_the_vision_tower_are_seen_with_at_once():
    policy = make_policy()

    async def run() -> list[Turn]:
        conversation = Conversation(policy.template)
        turns: list[Turn] = []
        for k in range(2):
            prompt = conversation.observe("a desk 1", LOOKS[0])
            (completion,) = await policy.generate([ask("e", conversation, prompt, k)])
            turns.append(conversation.complete(completion))
            if k == 0:
                with policy.updating(), torch.no_grad():
                    policy.model.model.visual.merger.linear_fc2.weight.neg_()
        await policy.close()
        return turns

    turns = asyncio.run(run())
    ids = np.concatenate([p for t in turns for p in (t.prompt_ids, t.completion_ids)])
    logprobs_TV = expected(policy.model, ids, [LOOKS[0]] * 2)
    last, at = turns[1], len(ids) - len(turns[1].completion_ids)
    picked = logprobs_TV[np.arange(at, len(ids)) - 1, last.completion_ids].numpy()
    np.testing.assert_allclose(last.logprobs, picked, atol=1e-4)


def test_images_that_do_not_belong_to_the_prompt_are_refused_and_others_go_on():
    policy = make_policy()
    conversation = Conversation(policy.template)
    prompt = conversation.observe("a desk 1", screen(0, 64, 96))
    right = ask("e", conversation, prompt)
    (image,) = prompt.images
    wrong = {
        "the request has none": [],
        "takes 4 placeholder": [replace(image, pixels=screen(0, 64, 64))],
        "has 5 there": [replace(image, start=image.start + 1)],
    }

    async def run() -> Completion:
        good = asyncio.create_task(policy.generate([right]))
        for message, images in wrong.items():
            with pytest.raises(DataError, match=message):
                await policy.generate([replace(right, episode=message, images=images)])
        (completion,) = await good
        await policy.close()
        return completion

    assert len(asyncio.run(run()).ids)


def test_a_model_and_an_image_processor_go_together_or_not_at_all():
    with pytest.raises(UsageError, match="pass its image processor"):
        TransformersPolicy(tiny_model("qwen3"), TOKENIZER)
    other = type(PROCESSOR)(patch_size=16, merge_size=1)
    with pytest.raises(UsageError, match="merges 1 patches"):
        TransformersPolicy(tiny_model("qwen3"), TOKENIZER, image_processor=other)
