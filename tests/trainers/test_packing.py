"""Packed rows give what each sequence gives alone: values, gradients, in any order."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from training_cases import VOCABULARY, mixed_trajectories, tiny_model
from transformers import PreTrainedModel

from agentgym.errors import ConfigError
from agentgym.trainers.attention import VARLEN, Attention, varlen_attention, varlen_kernel
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.forward import batch_logprobs, split_head
from agentgym.trainers.packing import Packed, plan_micro_batches

ATTENTIONS = ["sdpa", VARLEN]


@given(
    st.lists(st.integers(1, 50), max_size=40),
    st.integers(1, 120),
    st.integers(1, 5),
    st.booleans(),
)
def test_plans_hold_everything_once_within_the_budget(
    lengths: list[int], budget: int, at_least: int, together: bool
) -> None:
    labels = [i // 3 for i in range(len(lengths))] if together else None
    plan = plan_micro_batches(lengths, budget=budget, keep_together=labels, at_least=at_least)
    assert sorted(i for rows in plan for i in rows) == list(range(len(lengths)))
    atoms = len(set(labels)) if labels else len(lengths)
    assert len(plan) >= min(at_least, atoms)
    for rows in plan:
        units = {labels[i] if labels else i for i in rows}
        assert sum(lengths[i] for i in rows) <= budget or len(units) == 1
        if labels:
            assert all(labels[i] not in units for other in plan if other != rows for i in other)


def test_plans_are_balanced() -> None:
    lengths = [100, 1, 1, 1, 97, 50, 50, 3, 47, 50]
    loads = [sum(lengths[i] for i in rows) for rows in plan_micro_batches(lengths, budget=104)]
    assert sum(loads) == 400
    assert len(loads) == 4
    assert max(loads) - min(loads) <= 3


def packed_logprobs(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    return batch_logprobs(model, batch).tokens.logprobs_BT


def padded_logprobs(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """The textbook way: padding, a 2-D attention mask, all logits."""
    width = batch.shape[1]
    attention_mask = torch.arange(width)[None] < batch.lengths_B[:, None]
    outputs = model(
        input_ids=batch.input_ids_BT, attention_mask=attention_mask.long(), use_cache=False
    )
    logprobs_BT = outputs.logits[:, :-1].log_softmax(-1)
    picked_BT = logprobs_BT.gather(-1, batch.input_ids_BT[:, 1:, None]).squeeze(-1)
    return torch.nn.functional.pad(picked_BT, (1, 0)).masked_fill(~batch.mask_BT, 0.0)


def gradient(model: PreTrainedModel, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_packed_equals_padded(attention: str) -> None:
    model = tiny_model(dtype=torch.float32, attention=attention)
    batch = TokenBatch.of(mixed_trajectories())
    packed_BT, padded_BT = packed_logprobs(model, batch), padded_logprobs(model, batch)
    assert padded_BT[batch.mask_BT].std() > 1
    torch.testing.assert_close(packed_BT, padded_BT, atol=1e-5, rtol=0)
    weights_BT = torch.randn(batch.shape)
    expected = gradient(model, (weights_BT * padded_BT).sum())
    torch.testing.assert_close(
        gradient(model, (weights_BT * packed_BT).sum()), expected, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("attention", ATTENTIONS)
@given(st.permutations(range(7)))
@settings(max_examples=5)
def test_the_order_in_a_row_does_not_matter(attention: str, order: list[int]) -> None:
    model = tiny_model(attention=attention)
    batch = TokenBatch.of(mixed_trajectories())
    shuffled_BT = packed_logprobs(model, batch.select(order))
    torch.testing.assert_close(shuffled_BT, packed_logprobs(model, batch)[order])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_no_sequence_sees_another(attention: str) -> None:
    """Changing one sequence's tokens changes nothing elsewhere, to the last bit."""
    model = tiny_model(attention=attention)
    batch = TokenBatch.of(mixed_trajectories())
    before_BT = packed_logprobs(model, batch)
    batch.input_ids_BT[2] = (batch.input_ids_BT[2] + 1) % VOCABULARY
    after_BT = packed_logprobs(model, batch)
    others = torch.arange(len(batch)) != 2
    assert torch.equal(before_BT[others], after_BT[others])
    assert not torch.equal(before_BT[2], after_BT[2])


def attend(inputs: Sequence[Tensor], lengths: Sequence[int], window: int | None = None) -> Tensor:
    ends = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    output, _ = varlen_attention(
        nn.Module(),
        *inputs,
        None,
        sliding_window=window,
        cu_seq_lens_q=ends,
        max_length_q=max(lengths),
    )
    return output


def projections(total: int, seed: int = 0) -> list[Tensor]:
    """Return a packed row's queries, keys and values, with fewer heads of keys."""
    generator = torch.Generator().manual_seed(seed)
    made = (torch.randn(1, total, heads, 8, generator=generator) for heads in (4, 2, 2))
    return [x.transpose(1, 2).requires_grad_() for x in made]


@given(
    st.lists(st.integers(0, 40) | st.integers(120, 140), min_size=1, max_size=12).filter(any),
    st.sampled_from([None, 3]),
    st.integers(0, 2**31),
)
@settings(max_examples=20)
def test_sequences_that_share_a_call_come_out_as_each_does_alone(
    lengths: list[int], window: int | None, seed: int
) -> None:
    inputs = projections(sum(lengths), seed)
    together = attend(inputs, lengths, window)
    apart = zip(lengths, *(x.split(lengths, dim=2) for x in inputs), strict=True)
    alone = torch.cat([attend(parts, [n], window) for n, *parts in apart if n], dim=1)
    torch.testing.assert_close(together, alone)
    weights = torch.randn(together.shape)
    for ours, expected in zip(
        torch.autograd.grad((together * weights).sum(), inputs),
        torch.autograd.grad((alone * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize(
    ("lengths", "calls"), [([12] * 50, 1), ([12, 200, 13] * 10, 11), ([200, 201], 2)]
)
def test_short_sequences_share_a_call(
    lengths: list[int], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(query: Tensor, *rest: Any, **options: Any) -> Tensor:
        made.append(len(query))
        return scaled_dot_product_attention(query, *rest, **options)

    monkeypatch.setattr("agentgym.trainers.attention.scaled_dot_product_attention", counted)
    attend(projections(sum(lengths)), lengths)
    assert len(made) == calls
    assert sum(made) == len(lengths)


def test_a_row_that_was_first_seen_without_gradients_can_be_learnt_from() -> None:
    lengths = [7, 9, 8, 7]
    with torch.inference_mode():
        attend(projections(31), lengths)
    inputs = projections(31)
    attend(inputs, lengths).sum().backward()
    assert all(x.grad is not None for x in inputs[2:])


@pytest.mark.parametrize("window", [2, 5])
def test_sliding_windows(window: int) -> None:
    config = {
        "use_sliding_window": True,
        "sliding_window": window,
        "max_window_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    batch = TokenBatch.of(mixed_trajectories())
    varlen = tiny_model(attention=VARLEN, **config)
    expected_BT = padded_logprobs(tiny_model(attention="sdpa", **config), batch)
    torch.testing.assert_close(packed_logprobs(varlen, batch), expected_BT)
    full_BT = padded_logprobs(tiny_model(attention="sdpa"), batch)
    assert not torch.allclose(full_BT, expected_BT)


def test_varlen_generates_as_sdpa_does() -> None:
    model = tiny_model(attention=VARLEN)
    ids_BT = torch.randint(1, VOCABULARY, (2, 7))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, :3] = 0
    outputs = []
    for attention in ATTENTIONS:
        model.set_attn_implementation(attention)
        outputs.append(
            cast(Any, model).generate(
                ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=6,
                do_sample=False,
                pad_token_id=0,
            )
        )
    assert torch.equal(*outputs)


def test_positions_restart_and_unpack_undoes_pack() -> None:
    batch = TokenBatch.of(mixed_trajectories())
    packed = Packed.pack(batch.input_ids_BT, batch.lengths_B)
    starts = (packed.position_ids_1P[0] == 0).nonzero().flatten()
    ends = torch.tensor((0, *packed.lengths)).cumsum(0)
    assert starts.tolist() == ends[:-1].tolist()
    inputs = packed.model_inputs(Attention.FLASH)
    assert inputs["attention_mask"] is None
    assert inputs["cu_seq_lens_q"].tolist() == ends.tolist()
    assert inputs["max_length_q"] == max(packed.lengths)
    values_BT = torch.randn(batch.shape)
    inside_BT = torch.arange(batch.shape[1])[None] < batch.lengths_B[:, None]
    back_BT = packed.unpack(packed.gather(values_BT))
    torch.testing.assert_close(back_BT, torch.where(inside_BT, values_BT, 0.0))


def test_models_that_need_more_than_a_head_are_refused() -> None:
    model = tiny_model()
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ConfigError, match="final_logit_softcapping"):
        split_head(model)
    eager = tiny_model(attention="eager")
    with pytest.raises(ConfigError, match="eager"):
        Attention.of(eager)


def with_windows(query: Any, *, scale: Any = None, window_size: Any = (-1, -1)) -> None:
    """As in torch 2.11."""


def without_windows(query: Any, is_causal: bool = False) -> None:
    """As in torch 2.10."""


@pytest.mark.parametrize(
    ("kernel", "usable"), [(with_windows, True), (without_windows, False), (None, False)]
)
def test_the_kernel_is_used_where_torch_has_one_that_can_do_it(
    kernel: Any, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = None
    if kernel is not None:
        module = ModuleType("torch.nn.attention.varlen")
        vars(module)["varlen_attn"] = kernel
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)
    assert varlen_kernel.__wrapped__() is (kernel if usable else None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_varlen_on_a_gpu_equals_sdpa_in_half_precision() -> None:
    batch = TokenBatch.of(mixed_trajectories()).to("cuda")
    outputs = []
    for attention in ATTENTIONS:
        # Flash attention wants heads of at least 16.
        model = tiny_model(dtype=torch.bfloat16, attention=attention, head_dim=16)
        nn.Module.to(model, "cuda")
        logprobs_BT = packed_logprobs(model, batch)
        outputs.append((logprobs_BT, gradient(model, logprobs_BT.sum()).float()))
    (first_BT, first), (second_BT, second) = outputs
    torch.testing.assert_close(first_BT, second_BT, atol=0.15, rtol=0.05)
    assert torch.nn.functional.cosine_similarity(first, second, dim=0) > 0.99
