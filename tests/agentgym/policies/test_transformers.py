"""Generation agrees with a plain forward pass, whatever was batched, kept, evicted or cut."""

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessorList,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from agentgym.conversation import Conversation
from agentgym.errors import DataError, InfraError, PolicyError, UsageError
from agentgym.models.tiny import tiny_tokenizer
from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Completion, FinishReason, Request, Sampling
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn

TOKENIZER = tiny_tokenizer(["You see a desk 1 and a mug 2. go to take from ten green bottles"])
SIZES: dict[str, Any] = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,  # unequal probabilities, or agreement would prove little
}
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=True)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "sliding window": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=11)),
    "capped scores": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, sliding_window=11)),
    "attention sinks": lambda: GptOssForCausalLM(
        GptOssConfig(**SIZES, num_local_experts=2, num_experts_per_tok=1)
    ),
    "learned positions": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(TOKENIZER),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=512,
            bos_token_id=0,
            eos_token_id=0,
        )
    ),
}


@pytest.fixture(autouse=True)
def _one_thread():
    """Matrices this small gain nothing from threads, and a loaded machine stalls on them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(name: str = "qwen3", **options: Any) -> TransformersPolicy:
    torch.manual_seed(0)
    return TransformersPolicy(MODELS[name](), TOKENIZER, **options)


def ask(policy: TransformersPolicy, *requests: Request) -> list[Completion]:
    async def run() -> list[Completion]:
        return await asyncio.wait_for(policy.generate(requests), 60)

    return asyncio.run(run())


def request(length: int, episode: str = "e", seed: int = 0, **sampling: Any) -> Request:
    """A prompt of random ids."""
    ids = np.random.default_rng(seed).integers(5, len(TOKENIZER), length).astype(np.int32)
    return Request(episode, [], ids, Sampling(**{"max_tokens": 8, "seed": seed, **sampling}))


def recomputed(model: PreTrainedModel, ids: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Log-probabilities of ids[1:] by one plain forward pass and Hugging Face's own warpers."""
    with torch.no_grad():
        logits = model.eval()(torch.tensor(ids, dtype=torch.long)[None]).logits[0].float()
    warpers = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    scores = warpers(torch.zeros(len(ids), 1, dtype=torch.long), logits)
    following = torch.tensor(ids[1:], dtype=torch.long)[:, None]
    return scores.log_softmax(-1)[:-1].gather(-1, following)[:, 0].numpy()


SAMPLINGS = [
    Sampling(max_tokens=7),
    Sampling(max_tokens=3, temperature=0.7),
    Sampling(max_tokens=11, temperature=1.3, top_k=9),
    Sampling(max_tokens=9, top_p=0.8),
    Sampling(max_tokens=5, temperature=0.9, top_k=20, top_p=0.9, stop=("e",)),
]


async def episode(policy: TransformersPolicy, k: int, turns: int) -> list[Turn]:
    rng = np.random.default_rng(k)
    conversation = Conversation(policy.template, "Find the mug.")
    played: list[Turn] = []
    sampling = SAMPLINGS[k % len(SAMPLINGS)]
    for _ in range(turns):
        words = rng.choice(["desk", "mug", "1", "You see", "green bottles."], rng.integers(1, 30))
        prompt = conversation.observe(" ".join(words))
        asked = Request(str(k), conversation.messages, prompt.ids, sampling)
        [completion] = await policy.generate([asked])
        played.append(conversation.complete(completion))
        if rng.random() < 0.5:
            await asyncio.sleep(0.002 * rng.random())
    policy.release(str(k))
    return played


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qwen3", {"slots": 16}),
        ("qwen3", {"slots": 3}),
        ("qwen3", {"slots": 5, "prefill_ids": 7}),
        *((name, {"slots": 4, "prefill_ids": 64}) for name in MODELS if name != "qwen3"),
    ],
)
def test_logprobs_agree_with_a_plain_forward_pass(name: str, options: dict[str, int]):
    policy = build(name, **options)

    async def run() -> list[list[Turn]]:
        episodes = [episode(policy, k, turns=3) for k in range(8)]
        played = await asyncio.wait_for(asyncio.gather(*episodes), 120)
        await policy.close()
        return played

    for k, turns in enumerate(asyncio.run(run())):
        [sequence] = Trajectory("e", "t", StopReason.FAILURE, turns).sequences()
        expected = recomputed(policy.model, sequence.ids, SAMPLINGS[k % len(SAMPLINGS)])
        mask = sequence.mask[1:]
        np.testing.assert_allclose(sequence.logprobs[1:][mask], expected[mask], atol=1e-4)
    if options["slots"] < 8:
        assert policy.stats.evictions > 0


def test_a_turn_reads_only_what_is_new():
    policy = build(slots=4)
    first = request(40)
    [answer] = ask(policy, first)
    assert policy.stats.read_ids == 40 + len(answer.ids) - 1
    assert first.prompt_ids is not None
    longer = np.concatenate([first.prompt_ids, answer.ids, np.arange(5, 15, dtype=np.int32)])
    before = policy.stats
    [second] = ask(policy, replace(first, prompt_ids=longer))
    # The answer's last id was sampled but never read.
    assert policy.stats.read_ids - before.read_ids == 1 + 10 + len(second.ids) - 1
    assert policy.stats.reused_ids == 40 + len(answer.ids) - 1


def test_a_group_reads_its_common_prompt_once():
    policy = build(slots=8)
    ask(policy, *(replace(request(100, seed=1), episode=f"{k}") for k in range(8)))
    assert policy.stats.reused_ids == 7 * 99
    assert policy.stats.read_ids < 100 + 8 * 8


def test_what_is_drawn_does_not_depend_on_the_batch():
    alone = {k: ask(build(slots=1), request(10 + k, str(k), seed=k))[0] for k in range(6)}
    together = ask(build(slots=4), *(request(10 + k, str(k), seed=k) for k in range(6)))
    for k, completion in enumerate(together):
        np.testing.assert_array_equal(completion.ids, alone[k].ids)


def test_greedy_takes_the_best_and_says_it_was_certain():
    policy = build()
    [completion] = ask(policy, request(12, temperature=0.0))
    prompt = request(12).prompt_ids
    assert prompt is not None
    ids = np.concatenate([prompt, completion.ids])
    with torch.no_grad():
        best = policy.model(torch.tensor(ids, dtype=torch.long)[None]).logits[0].argmax(-1).numpy()
    np.testing.assert_array_equal(completion.ids, best[len(prompt) - 1 : -1])
    assert (completion.logprobs == 0).all()


def test_a_stop_string_keeps_the_ids_that_complete_it_and_cuts_the_text_behind_it():
    policy = build(slots=8)
    seen = 0
    for seed in range(8):
        free, cut = ask(
            policy,
            request(9, "a", seed=seed, max_tokens=25),
            request(9, "b", seed=seed, max_tokens=25, stop=("e", "tt")),
        )
        ends = [free.text.find(stop) + len(stop) for stop in ("e", "tt") if stop in free.text]
        if not ends:
            np.testing.assert_array_equal(cut.ids, free.ids)
            continue
        seen += 1
        assert cut.text == free.text[: min(ends)]
        assert cut.finish is FinishReason.STOP
        np.testing.assert_array_equal(cut.ids, free.ids[: len(cut.ids)])
        assert policy.template.decode(cut.ids).startswith(cut.text)
        assert not policy.template.decode(cut.ids[:-1]).startswith(cut.text)
    assert seen >= 3


def test_the_end_of_turn_is_kept_in_the_ids_and_left_out_of_the_text():
    policy = build(slots=32)
    end = policy.template.end_of_turn
    answers = ask(policy, *(request(5, str(k), seed=k, max_tokens=100) for k in range(32)))
    ended = [answer for answer in answers if answer.finish is FinishReason.STOP]
    assert ended
    for answer in ended:
        assert answer.ids[-1] == end
        assert end not in answer.ids[:-1]
        assert "<|end|>" not in answer.text
    for answer in answers:
        assert len(answer.logprobs) == len(answer.ids) <= 100


def test_a_completion_ends_where_the_context_does():
    policy = build(max_length=32)
    assert policy.context_length == 32
    [answer] = ask(policy, request(30, max_tokens=50))
    assert len(answer.ids) <= 2
    with pytest.raises(PolicyError, match="leaves no room"):
        ask(policy, request(32))


def test_new_weights_are_sampled_from_at_once():
    policy = build(slots=2)
    first = request(20)
    [old] = ask(policy, first)
    with policy.updating(), torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    assert policy.policy_version == 1
    assert first.prompt_ids is not None
    prompt = np.concatenate([first.prompt_ids, old.ids])
    [new] = ask(policy, replace(first, prompt_ids=prompt))
    assert (old.policy_version, new.policy_version) == (0, 1)
    expected = recomputed(policy.model, np.concatenate([prompt, new.ids]), first.sampling)
    np.testing.assert_allclose(new.logprobs, expected[len(prompt) - 1 :], atol=1e-4)


def test_nothing_is_sampled_while_weights_change():
    policy = build(slots=2)

    async def run() -> None:
        answer = asyncio.create_task(policy.generate([request(20, max_tokens=100)]))
        await asyncio.sleep(0.02)
        with policy.updating():
            before = policy.stats.forward_passes
            await asyncio.sleep(0.05)
            assert policy.stats.forward_passes == before
        await asyncio.wait_for(answer, 30)
        await policy.close()

    asyncio.run(run())


def test_the_trainers_module_is_left_as_it_was():
    torch.manual_seed(0)
    model = MODELS["llama"]()
    model.train()
    attention = model.config._attn_implementation
    policy = TransformersPolicy(model, TOKENIZER)
    ask(policy, request(10))
    assert model.training
    assert model.config._attn_implementation == attention
    assert all(weight.requires_grad for weight in model.parameters())
    model(torch.arange(5)[None]).logits.sum().backward()


def test_threads_are_the_callers_unless_given():
    seen: list[int] = []
    for threads in (None, 3):
        policy = build(threads=threads)
        step = policy._decoder.step

        def watched(version: int, step: Any = step) -> Any:
            seen.append(torch.get_num_threads())
            return step(version)

        policy._decoder.step = watched
        ask(policy, request(5, max_tokens=1))
        assert torch.get_num_threads() == 1
    assert seen == [1, 3]


def test_a_cancelled_call_gives_its_slot_back():
    policy = build(slots=1)

    async def run() -> Completion:
        long = asyncio.create_task(policy.generate([request(10, "a", max_tokens=250)]))
        await asyncio.sleep(0.02)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        [answer] = await asyncio.wait_for(policy.generate([request(10, "b")]), 10)
        await policy.close()
        return answer

    assert len(asyncio.run(run()).ids) > 0


def test_a_model_that_fails_is_an_infra_error_and_the_next_request_works():
    policy = build(slots=2)
    forward = policy._decoder._forward

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("device lost")

    policy._decoder._forward = broken
    with pytest.raises(InfraError, match="device lost"):
        ask(policy, request(10, "a"), request(11, "b"))
    policy._decoder._forward = forward
    assert len(ask(policy, request(10))[0].ids) > 0


def test_a_fault_takes_every_slot_from_its_episode():
    policy = build(slots=2)
    ask(policy, request(40, "idle", seed=1))
    forward = policy._decoder._forward

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("device lost")

    policy._decoder._forward = broken
    with pytest.raises(InfraError, match="device lost"):
        ask(policy, request(40, "a", seed=2))
    policy._decoder._forward = forward
    # What the slots held is gone: nobody is pushed out of them, and nothing is taken from them.
    before = policy.stats
    again = ask(policy, request(40, "a", seed=2), request(40, "b", seed=3))
    after = policy.stats
    assert (after.evictions, after.reused_ids) == (before.evictions, before.reused_ids)
    fresh = ask(build(slots=2), request(40, "a", seed=2), request(40, "b", seed=3))
    for found, expected in zip(again, fresh, strict=True):
        np.testing.assert_array_equal(found.ids, expected.ids)


@pytest.mark.parametrize("place", ["copy", "cut"])
def test_a_fault_between_two_passes_fails_every_call_and_loses_none(
    place: str, monkeypatch: pytest.MonkeyPatch
):
    policy = build(slots=8)
    decoder = policy._decoder

    def broken(*_: Any) -> Any:
        raise RuntimeError("device lost")

    async def run() -> list[Any]:
        # Prompts of their own end in one pass: the first has its answer when the second's fails.
        calls = [
            policy.generate([request(40, name, 0 if place == "copy" else k, max_tokens=1, stop=s)])
            for k, (name, s) in enumerate([("a", ()), ("b", ("x",))])
        ]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)

    with monkeypatch.context() as patch:
        if place == "copy":  # one reads the common prompt, and the other is to copy it
            patch.setattr(decoder._kv, "copy", broken)
        else:
            patch.setattr(decoder._stops, "may_complete", lambda _, stops: stops and broken())
        found = asyncio.run(run())
    assert any(isinstance(one, InfraError) for one in found)
    assert all(isinstance(one, InfraError | list) for one in found)
    assert decoder.idle
    assert len(ask(policy, request(10))[0].ids) > 0


def test_a_closed_policy_refuses():
    policy = build()

    async def run() -> None:
        waiting = asyncio.create_task(policy.generate([request(10, max_tokens=250)]))
        await asyncio.sleep(0.02)
        await policy.close()
        await policy.close()
        with pytest.raises(PolicyError, match="closed"):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(PolicyError, match="closed"):
            await policy.generate([request(10)])

    asyncio.run(run())


def test_a_closed_policy_and_its_weights_can_be_collected():
    policy = build()
    ask(policy, request(10))
    asyncio.run(policy.close())
    kept = weakref.ref(policy)
    del policy
    gc.collect()
    assert kept() is None


LEAVES = """
import asyncio, sys, threading, time
import numpy as np
from transformers import Qwen3Config, Qwen3ForCausalLM
from agentgym.models.tiny import tiny_tokenizer
from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Request, Sampling

sizes = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16, max_position_embeddings=4096)
tokenizer = tiny_tokenizer(["You see a desk 1 and a mug 2."])
model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **sizes))
policy = TransformersPolicy(model, tokenizer)

def answer(length):
    prompt = np.arange(5, 25, dtype=np.int32)
    requests = [Request(str(k), [], prompt, Sampling(max_tokens=length, seed=k)) for k in range(8)]
    asyncio.run(policy.generate(requests))

if sys.argv[1] == "answered":
    answer(3)
else:
    threading.Thread(target=answer, args=[4000], daemon=True).start()
    while policy.stats.forward_passes < 20:
        time.sleep(0.01)
print("leaving")
"""


@pytest.mark.integration
@pytest.mark.parametrize("when", ["answered", "in the midst"])
def test_a_program_may_end_without_closing_its_policy(when: str):
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, when],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


@pytest.mark.parametrize(
    "sampling", [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_sampling_that_makes_no_sense_is_refused(sampling: dict[str, Any]):
    with pytest.raises(UsageError, match="max_tokens"):
        ask(build(), request(5, **sampling))


def test_architectures_with_another_state_are_refused():
    config = MambaConfig(vocab_size=len(TOKENIZER), hidden_size=16, num_hidden_layers=1)
    with pytest.raises(UsageError, match="vLLM"):
        TransformersPolicy(MambaForCausalLM(config), TOKENIZER)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Any):
    with pytest.raises(DataError, match="no Hugging Face model"):
        TransformersPolicy(tmp_path)
