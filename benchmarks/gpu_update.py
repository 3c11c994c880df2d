"""What one update of a policy costs, beside TRL's `GRPOTrainer` on the same batch.

Models of Qwen3's shapes with random weights, one synthetic batch of multi-turn episodes (log-normal
lengths, heavy-tailed as agents' are), one optimiser step over all of it:

- ours: `Learner.update`: sequences packed end to end, the head on sampled tokens only.
- TRL (optional): `GRPOTrainer`'s own loop on padded micro-batches of as many tokens
  (`gpu_update_trl.py`).

Both start from the same weights, take the same clipped token-mean loss and checkpoint every layer;
that their gradients have the same norm is printed, and shows that they did the same work.

MFU counts what the update needs, whoever does it: neither recomputation nor padding,

    6 (body * tokens + head * sampled) + 6 layers * heads * head_dim * sum(length^2)

with the weights of the layers' matrices (`body`) and of the head. Nothing is downloaded.

Both sides hold weights, gradients and AdamW's states alike (`Precision` in `gpu_update_shapes.py`).
1.7b has fp32 weights to step, as training has by default. All of 8b would take 137 GiB so, and is
measured in bfloat16 alone, 61 GiB: that is what such an update costs, but at a learning rate of
1e-6 most of it rounds away. To train 8B on one card, use LoRA.

    python benchmarks/gpu_update.py [--shape 1.7b 8b]
    python benchmarks/gpu_update.py --shape tiny --device cpu
"""

import argparse
import gc
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
import torch
from gpu_update_shapes import SHAPES, Precision, Shape
from gpu_update_trl import NoPeerError, trl_updates
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from agentgym.stop_reason import StopReason
from agentgym.trainers.advantages import AdvantageConfig, spread_over_tokens, turn_advantages
from agentgym.trainers.attention import VARLEN, register_varlen, varlen_kernel
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.learner import Learner, UpdateConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.models import LoadedModel, checkpoint_activations
from agentgym.trainers.optimizer import OptimizerConfig
from agentgym.trainers.ratios import CorrectionConfig, CorrectionLevel
from agentgym.trajectory import Trajectory, Turn

# Dense bfloat16 TFLOP/s by the vendor's data sheets; the first name that is a word of the device's.
PEAKS = {
    "B200": 2250.0,
    "GH200": 989.0,
    "H200 NVL": 835.0,
    "H200": 989.0,
    "H100 NVL": 835.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
}

# What TRL calls loss_type "dapo": a clipped token mean. Sampler and learner are one here.
LOSS = PolicyLossConfig(correction=CorrectionConfig(level=CorrectionLevel.NONE))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        shape: The model and the batch's size.
        device: Where.
        precision: Of weights, gradients and optimiser states.
        attention: Ours; TRL has its own.
        group_size: Episodes of each task.
        micro_batch_tokens: Most tokens per forward pass.
        updates: How many are timed.
        warmup: How many go before them.
        seed: Of weights and lengths.
    """

    shape: Shape
    device: torch.device
    precision: Precision = Precision.MIXED
    attention: str = VARLEN
    group_size: int = 8
    micro_batch_tokens: int = 16384
    updates: int = 5
    warmup: int = 2
    seed: int = 0

    def build(self, attention: str) -> PreTrainedModel:
        """Return the model, the same in every call but for its attention."""
        register_varlen()
        torch.manual_seed(self.seed)
        with self.device:
            return AutoModelForCausalLM.from_config(
                self.shape.config(), dtype=self.precision.computed, attn_implementation=attention
            )

    def now(self) -> float:
        """Return the time in seconds, once the device has done what it was asked to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass(frozen=True, slots=True)
class Measured:
    """One side's figures.

    Attributes:
        name: Whose.
        rows: Forward passes, each one packed or padded micro-batch.
        positions: Tokens computed in them, padding included.
        seconds: Median of an update.
        peak_gib: Most memory allocated at a time; None on a CPU.
        norm: Of the first update's gradient, before it is clipped.
    """

    name: str
    rows: int
    positions: int
    seconds: float
    peak_gib: float | None
    norm: float

    def mfu(self, flops: float, peak: float) -> float:
        """Return useful FLOP/s as a share of the card's `peak`, in TFLOP/s."""
        return flops / self.seconds / (peak * 1e12)

    def line(self, tokens: int, flops: float, peak: float | None) -> str:
        """Return the table's row."""
        share = "-" if peak is None else f"{self.mfu(flops, peak):.1%}"
        memory = "-" if self.peak_gib is None else f"{self.peak_gib:.1f}"
        return (
            f"{self.name:<12}{self.rows:>6}{self.positions:>12,}{self.seconds:>11.3f}"
            f"{tokens / self.seconds:>11,.0f}{share:>8}{memory:>10}{self.norm:>15.4g}"
        )


def peak_tflops(device_name: str) -> float | None:
    """Return the card's dense bfloat16 TFLOP/s, or None where it isn't in the table."""
    found = (peak for name, peak in PEAKS.items() if re.search(rf"\b{name}\b", device_name))
    return next(found, None)


def episodes(shape: Shape, group_size: int, seed: int) -> list[Trajectory]:
    """Return the batch's episodes: each group has one first prompt and rewards of 0 and 1.

    Medians in tokens, for a context of 8,192: 512 of first prompt, 128 of observation, 96 of
    action; 8 turns. They shrink with the context.
    """
    rng, unit = np.random.default_rng(seed), shape.context / 8192

    def ids(size: int) -> npt.NDArray[np.int32]:
        return rng.integers(0, shape.vocabulary, size).astype(np.int32)

    def length(median: float, sigma: float) -> int:
        return max(1, round(median * float(rng.lognormal(0, sigma))))

    def episode(group: int, first: npt.NDArray[np.int32]) -> Trajectory:
        turns: list[Turn] = []
        prompt, left, wanted = first, shape.context, length(8, 0.6)
        while len(turns) < wanted and left > len(prompt):
            size = min(length(96 * unit, 0.8), left - len(prompt))
            # A model with random weights finds all tokens about equally likely.
            logprobs = np.full(size, -np.log(shape.vocabulary), np.float32)
            turns.append(Turn("", "", 0.0, None, prompt, ids(size), logprobs))
            left -= len(prompt) + size
            prompt = ids(length(128 * unit, 0.8))
        turns[-1].reward = float(rng.random() < 0.5)
        stop = StopReason.SUCCESS if turns[-1].reward else StopReason.FAILURE
        return Trajectory("bench", "task", stop, turns, group_id=str(group))

    firsts = [ids(min(length(512 * unit, 0.4), shape.context // 2)) for _ in range(shape.groups)]
    return [episode(g, first) for g, first in enumerate(firsts) for _ in range(group_size)]


def token_batch(trajectories: Sequence[Trajectory]) -> TokenBatch:
    """Return the episodes' batch with GRPO's advantages."""
    table, batch = TurnTable.of(trajectories), TokenBatch.of(trajectories)
    advantages_K = turn_advantages(table, AdvantageConfig())
    return replace(batch, advantages_BT=spread_over_tokens(advantages_K, table, batch))


def our_learner(plan: Plan) -> Learner:
    """Return a learner whose model is held as `load_model` holds one for long episodes."""
    model = plan.build(plan.attention)
    checkpoint_activations(model)
    optimizer = OptimizerConfig(master_weights=plan.precision is not Precision.HALF)
    update = UpdateConfig(micro_batch_tokens=plan.micro_batch_tokens)
    return Learner(LoadedModel(model, None, plan.device), optimizer, update)


def our_update(plan: Plan, batch: TokenBatch) -> Measured:
    """Return what an update of ours costs."""
    learner = our_learner(plan)
    seconds: list[float] = []
    norms: list[float] = []
    for _ in range(plan.warmup + plan.updates):
        start = plan.now()
        metrics = learner.update(batch, LOSS)
        seconds.append(plan.now() - start)
        norms.append(metrics["optim/grad_norm"])
    return Measured(
        name="agentgym",
        rows=len(learner.micro_batches(batch)),
        positions=int(batch.lengths_B.sum()),
        seconds=statistics.median(seconds[plan.warmup :]),
        peak_gib=peak_gib(plan.device),
        norm=norms[0],
    )


def trl_update(plan: Plan, batch: TokenBatch) -> Measured:
    """Return what an update of TRL's costs.

    Raises:
        NoPeerError: If TRL can't be measured here.
    """
    # flash_attention_2 leaves padding out of attention; where it is at hand, it is TRL's best.
    flash = plan.device.type == "cuda" and find_spec("flash_attn") is not None

    def build() -> PreTrainedModel:
        model = plan.build("flash_attention_2" if flash else "sdpa")
        return model if plan.precision is Precision.HALF else nn.Module.float(model)

    cost = trl_updates(
        build,
        batch,
        bf16=plan.precision.computed == torch.bfloat16,
        group_size=plan.group_size,
        micro_batch_tokens=plan.micro_batch_tokens,
        updates=plan.warmup + plan.updates,
        now=plan.now,
    )
    return Measured(
        name=f"TRL {cost.version}",
        rows=cost.micro_batches,
        positions=cost.positions,
        seconds=statistics.median(cost.seconds[plan.warmup :]),
        peak_gib=peak_gib(plan.device),
        norm=cost.norms[0],
    )


def peak_gib(device: torch.device) -> float | None:
    """Return the most memory that was allocated at a time."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / 2**30


def measure(
    side: Callable[[Plan, TokenBatch], Measured], plan: Plan, batch: TokenBatch
) -> Measured | str:
    """Return one side's figures, or why there are none; the device is empty before."""
    gc.collect()
    if plan.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(plan.device)
    try:
        return side(plan, batch)
    except NoPeerError as fault:
        return str(fault)
    except torch.OutOfMemoryError:
        return f"{side.__name__} ran out of memory; try a smaller --micro-batch-tokens"


def compare(plan: Plan, *, peak: float | None, peer: bool) -> None:
    """Measure both sides and print the table."""
    trajectories = episodes(plan.shape, plan.group_size, plan.seed)
    batch = token_batch(trajectories)
    tokens, sampled = int(batch.lengths_B.sum()), int(batch.mask_BT.sum())
    flops = plan.shape.useful_flops(batch.lengths_B.tolist(), sampled)
    print(
        f"{len(trajectories)} episodes: {tokens:,} tokens, {sampled:,} of them sampled, "
        f"longest {batch.shape[1]:,}; {flops / 1e12:,.4g} TFLOP an update"
        f"\n{'':<12}{'rows':>6}{'positions':>12}{'s/update':>11}{'tokens/s':>11}{'MFU':>8}"
        f"{'peak GiB':>10}{'gradient norm':>15}"
    )
    found: list[Measured] = []
    for side in (our_update, trl_update) if peer else (our_update,):
        result = measure(side, plan, batch)
        if isinstance(result, Measured):
            found.append(result)
        print(result if isinstance(result, str) else result.line(tokens, flops, peak), flush=True)
    if len(found) == 2:
        print(verdict(*found))


def verdict(ours: Measured, theirs: Measured) -> str:
    """Return how the two compare."""
    line = f"ratio: {theirs.seconds / ours.seconds:.2f} times the tokens/s of {theirs.name}"
    if ours.peak_gib is not None and theirs.peak_gib is not None:
        line += f", {ours.peak_gib / theirs.peak_gib:.2f} of its memory"
    if abs(ours.norm / theirs.norm - 1) > 0.05:
        line += "\nTHE GRADIENTS DIFFER: the two did not do the same work"
    return line


def default_attention(device: torch.device) -> str:
    """Return the fastest attention that can take packed rows here."""
    if device.type == "cuda" and varlen_kernel() is None and find_spec("flash_attn") is not None:
        return "flash_attention_2"
    return VARLEN


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=["1.7b", "8b"])
    parser.add_argument("--device", help="cuda where there is one, else cpu")
    parser.add_argument("--precision", type=Precision, choices=list(Precision), help="by shape")
    parser.add_argument("--attention", help="agentgym_varlen, flash_attention_2 or sdpa")
    parser.add_argument("--groups", type=int, help="tasks of the batch: 8, 2 for tiny")
    parser.add_argument("--group-size", type=int, default=8, help="episodes of a task")
    parser.add_argument("--micro-batch-tokens", type=int, help="twice the longest episode")
    parser.add_argument("--updates", type=int, default=5, help="the median of these is shown")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--peak-tflops", type=float, help="the card's, dense bfloat16")
    parser.add_argument("--no-trl", action="store_true", help="ours only")
    given = parser.parse_args(arguments)
    device = torch.device(given.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    peak = given.peak_tflops or peak_tflops(card)
    attention = given.attention or default_attention(device)
    rated = "peak unknown (--peak-tflops)" if peak is None else f"peak {peak:,.4g} TFLOP/s"
    print(f"{card}, {rated}; torch {torch.__version__}, {attention}")
    for name in given.shape:
        shape = replace(SHAPES[name], groups=given.groups or SHAPES[name].groups)
        plan = Plan(
            shape,
            device,
            precision=given.precision or shape.precision,
            attention=attention,
            group_size=given.group_size,
            micro_batch_tokens=given.micro_batch_tokens or 2 * shape.context,
            updates=given.updates,
            warmup=given.warmup,
        )
        print(f"\n{name}: {shape.parameters():,} parameters, {plan.precision.stated}")
        compare(plan, peak=peak, peer=not given.no_trl)


if __name__ == "__main__":
    main()
