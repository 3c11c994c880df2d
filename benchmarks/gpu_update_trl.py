"""TRL's side of `gpu_update.py`: updates of its `GRPOTrainer` on a batch that is given.

The loop is `GRPOTrainer.train`'s own, with TRL's loss, its cut into micro-batches and its fused
AdamW. Only the method that would sample is replaced, by one that hands over the batch. That method
is private to TRL, so what is not as it was in 1.16 is reported and not guessed at.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from agentgym.models.tiny import tiny_tokenizer
from agentgym.trainers.batch import TokenBatch

WRITTEN_FOR = "1.16"
HOOK = "_generate_and_score_completions"


class NoPeerError(Exception):
    """TRL can't be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class TrlUpdates:
    """What TRL's updates cost.

    Attributes:
        version: TRL's.
        micro_batches: Forward passes of an update.
        positions: Tokens computed in them, padding included.
        seconds: Of each update: forward, backward, clipping, optimiser.
        norms: Of each update's gradient, before it is clipped.
    """

    version: str
    micro_batches: int
    positions: int
    seconds: list[float]
    norms: list[float]


def padded_inputs(batch: TokenBatch) -> dict[str, Tensor]:
    """Return the batch as `GRPOTrainer` holds one: prompts padded left, the rest padded right.

    TRL takes what follows the first prompt for one completion, in which `tool_mask` is 0 on what
    the environment wrote. Keys are TRL's; (B, P), (B, C) and (B,).
    """
    prompt_B = batch.mask_BT.int().argmax(1)
    rest_B = batch.lengths_B - prompt_B
    prompt_P, rest_C = torch.arange(int(prompt_B.max())), torch.arange(int(rest_B.max()))
    column_BP = prompt_P - (len(prompt_P) - prompt_B)[:, None]
    column_BC = (rest_C + prompt_B[:, None]).clamp(max=batch.shape[1] - 1)
    prompt_mask_BP, rest_mask_BC = column_BP >= 0, rest_C < rest_B[:, None]
    prompt_BP = batch.input_ids_BT.gather(1, column_BP.clamp(min=0))
    return {
        "prompt_ids": prompt_BP.masked_fill(~prompt_mask_BP, 0),
        "prompt_mask": prompt_mask_BP.long(),
        "completion_ids": batch.input_ids_BT.gather(1, column_BC).masked_fill(~rest_mask_BC, 0),
        "completion_mask": rest_mask_BC.long(),
        "tool_mask": (batch.mask_BT.gather(1, column_BC) & rest_mask_BC).long(),
        "advantages": batch.need("advantages_BT").gather(1, prompt_B[:, None]).squeeze(1),
        "num_items_in_batch": batch.mask_BT.sum(),
    }


def trl_updates(
    build: Callable[[], PreTrainedModel],
    batch: TokenBatch,
    *,
    bf16: bool,
    group_size: int,
    micro_batch_tokens: int,
    updates: int,
    now: Callable[[], float],
) -> TrlUpdates:
    """Return what TRL's updates cost.

    Args:
        build: Makes the model.
        batch: One row per episode, with advantages; on the CPU.
        bf16: Whether it computes in bfloat16, under autocast.
        group_size: Episodes of a task.
        micro_batch_tokens: Most tokens of a micro-batch, padding included, if a row fits into it.
        updates: How many to take.
        now: The time in seconds, once the device has done what it was asked to.

    Raises:
        NoPeerError: If TRL is not installed, or doesn't work as it did when this was written.
    """
    try:
        import trl
    except ImportError as fault:
        raise NoPeerError(f"TRL is not installed (pip install 'trl~={WRITTEN_FOR}.0')") from fault
    if not hasattr(trl.GRPOTrainer, HOOK):
        raise NoPeerError(
            f"TRL {trl.__version__} has no GRPOTrainer.{HOOK}, through which the batch is handed "
            f"over; this was written for {WRITTEN_FOR}"
        )
    inputs = padded_inputs(batch)
    width = inputs["prompt_ids"].shape[1] + inputs["completion_ids"].shape[1]
    fitting = min(max(micro_batch_tokens // width, 1), len(batch))
    rows = max(n for n in range(1, fitting + 1) if len(batch) % n == 0)
    model = build()
    try:
        seconds, norms = _train(trl, model, inputs, bf16, rows, group_size, updates, now)
    except (NoPeerError, torch.OutOfMemoryError):
        raise
    except Exception as fault:  # whatever another version's internals may raise
        raise NoPeerError(
            f"TRL {trl.__version__} could not be driven, this was written for {WRITTEN_FOR}: "
            f"{type(fault).__name__}: {fault}"
        ) from fault
    return TrlUpdates(trl.__version__, len(batch) // rows, len(batch) * width, seconds, norms)


def _train(
    trl: Any,
    model: PreTrainedModel,
    inputs: dict[str, Tensor],
    bf16: bool,
    rows: int,
    group_size: int,
    updates: int,
    now: Callable[[], float],
) -> tuple[list[float], list[float]]:
    """Return the seconds and the gradient norm of each update."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback

    size, device = len(inputs["advantages"]), model.device
    handed: list[int] = []
    seconds: list[float] = []

    class FixedBatch(trl.GRPOTrainer):
        """Trains on this batch in every update."""

        def _generate_and_score_completions(self, prompts: Sequence[Any]) -> dict[str, Tensor]:
            handed.append(len(prompts))
            return {name: tensor.to(device) for name, tensor in inputs.items()}

    class Stopwatch(TrainerCallback):
        """Times each update."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Start."""
            seconds.append(-now())

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Stop."""
            seconds[-1] += now()

    with tempfile.TemporaryDirectory(prefix="agentgym-trl-") as folder:
        trainer = FixedBatch(
            model=model,
            reward_funcs=lambda **_: [0.0],  # never called: the batch has its advantages
            args=trl.GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=rows,
                gradient_accumulation_steps=size // rows,
                num_generations=group_size,
                max_steps=updates,
                loss_type="dapo",
                lr_scheduler_type="constant",
                gradient_checkpointing=True,
                gradient_checkpointing_kwargs={"use_reentrant": False},
                bf16=bf16,
                use_cpu=device.type == "cpu",
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["task"] * (size // group_size)}),
            processing_class=tiny_tokenizer(["task"]),
            callbacks=[Stopwatch()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    if handed != [size] * updates:
        raise NoPeerError(
            f"TRL {trl.__version__} asked for batches of {handed} rows and not for {updates} of "
            f"{size}; this was written for {WRITTEN_FOR}"
        )
    logged = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
    return seconds, [float(norm) for norm in logged]
