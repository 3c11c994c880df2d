"""How many useful tokens per second `TransformersPolicy` samples, beside Hugging Face's `generate`.

Same weights, same prompts, same lengths of answer, same threads, in one run:

- one-shot: 64 prompts of 32 to 200 ids, answers of 16 to 256 (log-uniform), 32 at a time, a model
  of 5 M parameters. `generate` pads each batch to its longest prompt and runs it to its longest
  answer.
- episodes: 64 episodes of 12 turns (a first observation of 100 ids, then 15; answers of 4 to 8),
  the tiny model. `generate` reads the whole history again in every turn, and waits for every
  episode.

A token is useful if a request asked for it. The best of several rounds counts, peers taking turns.
The log-probabilities that came with the tokens are compared with a plain forward pass.

    python benchmarks/generation.py [--rounds 3] [--threads 2] [--device cpu]
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from agentgym.conversation import Conversation
from agentgym.models.tiny import tiny_tokenizer
from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Completion, Request, Sampling

Ids = npt.NDArray[np.int32]
GOAL = 1.5


@dataclass(frozen=True)
class Result:
    """Useful tokens, seconds, and the largest error of a log-probability."""

    tokens: int
    seconds: float
    error: float = 0.0

    @property
    def rate(self) -> float:
        """Useful tokens per second."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class OneShot:
    """A prompt and how long its answer is."""

    prompt: Ids
    answer: int


TOKENIZER = tiny_tokenizer([f"w{k}" for k in range(250)] + ["You see a desk 1. go to take it"])
FIRST_ORDINARY = len(TOKENIZER.all_special_tokens)


def model(hidden: int, layers: int, vocab: int, device: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval().to(device)  # type: ignore[arg-type]


def hf_batch(net: PreTrainedModel, prompts: list[Ids], answer: int) -> Ids:
    """Pad to the longest, run to the longest; return what was sampled, (B, answer)."""
    longest = max(len(prompt) for prompt in prompts)
    ids_BT = np.zeros((len(prompts), longest), np.int64)
    mask_BT = np.zeros_like(ids_BT)
    for row, prompt in enumerate(prompts):
        ids_BT[row, longest - len(prompt) :] = prompt
        mask_BT[row, longest - len(prompt) :] = 1
    with torch.inference_mode():
        out_BT = net.generate(
            torch.from_numpy(ids_BT).to(net.device),
            attention_mask=torch.from_numpy(mask_BT).to(net.device),
            do_sample=True,
            top_k=0,
            max_new_tokens=answer,
            pad_token_id=0,
            eos_token_id=None,
        )
    return out_BT[:, longest:].cpu().numpy().astype(np.int32)


def error_of(net: PreTrainedModel, prompt: Ids, completion: Completion) -> float:
    ids = torch.from_numpy(np.concatenate([prompt, completion.ids]).astype(np.int64)).to(net.device)
    with torch.inference_mode():
        logprobs_TV = net(ids[None]).logits[0].float().log_softmax(-1)
    expected = logprobs_TV[:-1].gather(-1, ids[1:, None])[len(prompt) - 1 :, 0].cpu().numpy()
    return float(np.abs(expected - completion.logprobs).max())


def one_shot_requests(vocab: int) -> list[OneShot]:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(16), np.log(256), 64)).astype(int)
    return [
        OneShot(rng.integers(FIRST_ORDINARY, vocab, rng.integers(32, 201)).astype(np.int32), int(n))
        for n in lengths
    ]


def hf_one_shot(net: PreTrainedModel, work: list[OneShot]) -> Result:
    start = time.perf_counter()
    for low in range(0, len(work), 32):
        batch = work[low : low + 32]
        hf_batch(net, [item.prompt for item in batch], max(item.answer for item in batch))
    return Result(sum(item.answer for item in work), time.perf_counter() - start)


def our_one_shot(net: PreTrainedModel, work: list[OneShot]) -> Result:
    policy = TransformersPolicy(net, TOKENIZER, slots=32)
    requests = [
        Request(str(k), [], item.prompt, Sampling(max_tokens=item.answer))
        for k, item in enumerate(work)
    ]

    async def run() -> list[Completion]:
        try:
            return await asyncio.wait_for(policy.generate(requests), 600)
        finally:
            await policy.close()

    start = time.perf_counter()
    answers = asyncio.run(run())
    seconds = time.perf_counter() - start
    error = max(error_of(net, work[k].prompt, answers[k]) for k in range(8))
    return Result(sum(len(answer.ids) for answer in answers), seconds, error)


@dataclass(frozen=True)
class Script:
    """What the world says in one episode, and how long each answer is."""

    observations: list[str]
    answers: list[int]


def scripts(episodes: int, turns: int) -> list[Script]:
    rng = np.random.default_rng(1)

    def words(n: int) -> str:
        return " ".join(f"w{k}" for k in rng.integers(0, 250, n // 2))  # " w" and its number

    return [
        Script(
            [words(100 if k == 0 else 15) for k in range(turns)],
            [int(n) for n in rng.integers(4, 9, turns)],
        )
        for _ in range(episodes)
    ]


def hf_episodes(net: PreTrainedModel, work: list[Script]) -> Result:
    template = TransformersPolicy(net, TOKENIZER, slots=1).template
    talks = [Conversation(template) for _ in work]
    tokens = 0
    start = time.perf_counter()
    for turn in range(len(work[0].observations)):
        prompts = [
            talk.observe(item.observations[turn]).ids
            for talk, item in zip(talks, work, strict=True)
        ]
        sampled = hf_batch(
            net,
            [prompt for prompt in prompts if prompt is not None],
            max(item.answers[turn] for item in work),
        )
        for talk, item, row in zip(talks, work, sampled, strict=True):
            ids = row[: item.answers[turn]]
            talk.complete(Completion(template.decode(ids), ids, np.zeros(len(ids), np.float32)))
            tokens += len(ids)
    return Result(tokens, time.perf_counter() - start)


def our_episodes(net: PreTrainedModel, work: list[Script]) -> Result:
    policy = TransformersPolicy(net, TOKENIZER, slots=len(work))

    async def episode(k: int, item: Script) -> int:
        talk, tokens = Conversation(policy.template), 0
        for observation, answer in zip(item.observations, item.answers, strict=True):
            prompt = talk.observe(observation)
            asked = Request(str(k), talk.messages, prompt.ids, Sampling(max_tokens=answer))
            [completion] = await policy.generate([asked])
            talk.complete(completion)
            tokens += len(completion.ids)
        if k < 8 and prompt.ids is not None:
            last[k] = prompt.ids, completion
        policy.release(str(k))
        return tokens

    async def run() -> int:
        try:
            episodes = (episode(k, item) for k, item in enumerate(work))
            return sum(await asyncio.wait_for(asyncio.gather(*episodes), 600))
        finally:
            await policy.close()

    last: dict[int, tuple[Ids, Completion]] = {}
    start = time.perf_counter()
    tokens = asyncio.run(run())
    seconds = time.perf_counter() - start
    error = max(error_of(net, prompt, completion) for prompt, completion in last.values())
    return Result(tokens, seconds, error)


def compare(
    name: str, rounds: int, theirs: Callable[[], Result], ours: Callable[[], Result]
) -> float:
    pairs = [(theirs(), ours()) for _ in range(rounds)]
    best_theirs = max((pair[0] for pair in pairs), key=lambda result: result.rate)
    best_ours = max((pair[1] for pair in pairs), key=lambda result: result.rate)
    error = max(pair[1].error for pair in pairs)
    ratio = best_ours.rate / best_theirs.rate
    print(
        f"{name:<10} generate {best_theirs.rate:8,.0f} tok/s   ours {best_ours.rate:8,.0f} tok/s   "
        f"ratio {ratio:5.2f}   log-probability error {error:.1e}",
        flush=True,
    )
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    large, tiny = model(256, 5, 4096, options.device), model(128, 4, len(TOKENIZER), options.device)
    work, talks = one_shot_requests(4096), scripts(64, 12)
    print(f"{options.device}, {options.threads} threads, best of {options.rounds} rounds")
    one = compare(
        "one-shot",
        options.rounds,
        lambda: hf_one_shot(large, work),
        lambda: our_one_shot(large, work),
    )
    compare(
        "episodes",
        options.rounds,
        lambda: hf_episodes(tiny, talks),
        lambda: our_episodes(tiny, talks),
    )
    print(f"goal: one-shot ratio at least {GOAL}: {'met' if one >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
