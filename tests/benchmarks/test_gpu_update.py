"""The benchmark of the update, on a CPU: what it counts, and that both sides get the same work."""

import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import gpu_update
import numpy as np
import pytest
import torch
from gpu_update import SHAPES, Measured, Plan, Precision, Shape
from gpu_update_trl import NoPeerError, padded_inputs

from agentgym.trainers.aggregation import Aggregation, token_weights

TINY = SHAPES["tiny"]
PLAN = Plan(
    TINY,
    torch.device("cpu"),
    precision=Precision.FULL,
    group_size=4,
    micro_batch_tokens=256,
    updates=1,
)


def batch() -> Any:
    return gpu_update.token_batch(gpu_update.episodes(TINY, PLAN.group_size, seed=0))


def test_the_batch_is_seeded_heavy_tailed_and_within_the_context() -> None:
    made = gpu_update.episodes(SHAPES["1.7b"], 8, seed=0)
    again = gpu_update.episodes(SHAPES["1.7b"], 8, seed=0)
    lengths = [sum(len(s) for s in t.sequences()) for t in made]
    assert lengths == [sum(len(s) for s in t.sequences()) for t in again]
    assert len(made) == 64
    assert max(lengths) <= 8192
    assert max(lengths) > 2 * np.median(lengths)
    for group in range(8):
        firsts = [t.turns[0].prompt_ids.tolist() for t in made if t.group_id == str(group)]
        assert len(firsts) == 8
        assert all(first == firsts[0] for first in firsts)
    assert {t.reward for t in made} == {0.0, 1.0}
    assert min(len(t.turns) for t in made) < 8 < max(len(t.turns) for t in made)


def test_the_batch_counts_what_the_episodes_hold() -> None:
    made = gpu_update.episodes(TINY, 4, seed=1)
    counted = gpu_update.token_batch(made)
    tokens = sum(len(t.prompt_ids) + len(t.completion_ids) for e in made for t in e.turns)
    assert int(counted.lengths_B.sum()) == tokens
    assert int(counted.mask_BT.sum()) == sum(e.sampled_tokens for e in made)


def test_flops_by_hand() -> None:
    shape = Shape(10, 4, 6, 3, 2, 1, 5, tied=False)
    # A layer: 40 + 20 + 20 + 40 of projections, 72 of the feed-forward part. The head: 40.
    matrices = 6 * (3 * 192 * 5 + 40 * 4)
    attention = 6 * 3 * 2 * 5 * (2**2 + 3**2)
    assert shape.useful_flops([2, 3], sampled=4) == matrices + attention == 20580
    assert Measured("", 1, 5, 2.0, None, 1.0).mfu(4e14, 400.0) == 0.5


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_flops_count_every_matrix_of_the_model_once(shape: Shape) -> None:
    with torch.device("meta"):
        model = gpu_update.AutoModelForCausalLM.from_config(shape.config())
    body = sum(p.numel() for p in model.model.layers.parameters() if p.dim() == 2)
    attention = 6 * shape.layers * shape.heads * shape.head_dim
    assert shape.useful_flops([1], sampled=0) - attention == 6 * body
    assert shape.useful_flops([], sampled=1) == 6 * model.lm_head.weight.numel()


def test_the_shapes_are_those_of_the_models_they_are_named_after() -> None:
    assert SHAPES["1.7b"].parameters() == 1_720_574_976
    assert SHAPES["8b"].parameters() == 8_190_735_360


def test_an_update_moves_every_tensor_by_at_most_the_learning_rate() -> None:
    learner = gpu_update.our_learner(PLAN)
    before = [p.detach().clone() for p in learner.parameters]
    metrics = learner.update(batch(), gpu_update.LOSS)
    assert metrics["optim/skipped_steps"] == 0
    after = [p.detach() for p in learner.parameters]
    moved = [float((a - b).abs().max()) for a, b in zip(after, before, strict=True)]
    assert min(moved) > 0
    assert max(moved) == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize(
    ("precision", "held", "stepped"),
    [
        (Precision.MIXED, torch.bfloat16, torch.float32),
        (Precision.HALF, torch.bfloat16, torch.bfloat16),
        (Precision.FULL, torch.float32, torch.float32),
    ],
)
def test_precisions_say_what_is_held_and_what_is_stepped(
    precision: Precision, held: torch.dtype, stepped: torch.dtype
) -> None:
    learner = gpu_update.our_learner(replace(PLAN, precision=precision))
    assert {p.dtype for p in learner.parameters} == {held}
    groups = learner.optimizer.adamw.param_groups
    assert {p.dtype for group in groups for p in group["params"]} == {stepped}


def test_packed_rows_and_the_padded_inputs_of_the_peer_give_one_loss_and_gradient() -> None:
    learner = gpu_update.our_learner(PLAN)
    given = batch()
    # Ratios other than 1, so that the loss depends on the log-probabilities.
    weights_BT = token_weights(given, Aggregation.TOKEN_MEAN)
    given = replace(given, logprobs_old_BT=given.logprobs_mu_BT, weights_BT=weights_BT)
    rows = learner.micro_batches(given)
    assert len(rows) > 2
    packed = torch.stack([learner.loss_of(given.select(r), gpu_update.LOSS).loss for r in rows])
    packed_gradient = torch.autograd.grad(packed.sum(), learner.parameters)

    inputs = padded_inputs(given)
    assert int(inputs["num_items_in_batch"]) == int(inputs["tool_mask"].sum())
    attended = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    assert int(attended.sum()) == int(given.lengths_B.sum())
    ids_BT = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    logits_BTV = learner.model(ids_BT, attention_mask=attended, use_cache=False).logits
    logprobs_BT = logits_BTV[:, :-1].log_softmax(-1).gather(-1, ids_BT[:, 1:, None]).squeeze(-1)
    ratio_BC = (logprobs_BT[:, -inputs["completion_ids"].shape[1] :] + np.log(512)).exp()
    advantages_B1 = inputs["advantages"][:, None]
    gain_BC = torch.minimum(ratio_BC * advantages_B1, ratio_BC.clamp(0.8, 1.2) * advantages_B1)
    padded = -(gain_BC * inputs["tool_mask"]).sum() / inputs["num_items_in_batch"]
    assert ratio_BC.std() > 0.05
    torch.testing.assert_close(packed.sum(), padded, atol=1e-6, rtol=1e-5)
    padded_gradient = torch.autograd.grad(padded, learner.parameters)
    torch.testing.assert_close(packed_gradient, padded_gradient, atol=1e-6, rtol=1e-3)


def test_the_table_without_a_peer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    options = ["--shape=tiny", "--device=cpu", "--updates=1", "--warmup=1", "--peak-tflops=1"]
    gpu_update.main(options)
    shown = capsys.readouterr().out
    assert "131,456 parameters, bfloat16 with fp32 weights to step" in shown
    assert "TRL is not installed" in shown
    tokens = re.search(r"16 episodes: ([\d,]+) tokens", shown)
    row = re.search(r"^agentgym +(\d+) +([\d,]+) +([\d.]+) +([\d,]+) +([\d.]+%) +-", shown, re.M)
    assert tokens is not None
    assert row is not None
    assert row[2] == tokens[1]
    assert int(row[1]) * 512 >= int(tokens[1].replace(",", ""))


def fake_trl(**members: Any) -> ModuleType:
    module = ModuleType("trl")
    vars(module).update({"__version__": "9.0", **members})
    return module


class Moved:
    """A trainer without the method that the batch is handed over through."""


class Changed:
    """A trainer that takes other arguments."""

    def _generate_and_score_completions(self) -> None: ...


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (Moved, r"TRL 9\.0 has no GRPOTrainer\._generate_and_score_completions"),
        (Changed, r"TRL 9\.0 could not be driven, .* 1\.16: TypeError: .* no arguments"),
    ],
)
def test_another_trl_is_reported(
    trainer: type, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fake_trl(GRPOTrainer=trainer, GRPOConfig=lambda **_: None)
    monkeypatch.setitem(sys.modules, "trl", module)
    # Only a TRL that works needs the real one, which takes longer to import than all of this.
    data_sets = ModuleType("datasets")
    vars(data_sets)["Dataset"] = SimpleNamespace(from_dict=dict)
    monkeypatch.setitem(sys.modules, "datasets", data_sets)
    with pytest.raises(NoPeerError, match=message):
        gpu_update.trl_update(PLAN, batch())
    assert re.match(message, str(gpu_update.measure(gpu_update.trl_update, PLAN, batch())))


def test_other_work_is_not_compared_in_silence() -> None:
    ours, theirs = Measured("agentgym", 1, 10, 1.0, 2.0, 0.5), Measured("TRL", 2, 20, 3.0, 8.0, 0.5)
    said = gpu_update.verdict(ours, theirs)
    assert said == "ratio: 3.00 times the tokens/s of TRL, 0.25 of its memory"
    assert "DIFFER" in gpu_update.verdict(ours, replace(theirs, norm=0.6))


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H200", 989.0),
        ("NVIDIA GH200 480GB", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40", None),
    ],
)
def test_peaks_are_looked_up_by_whole_names(card: str, peak: float | None) -> None:
    assert gpu_update.peak_tflops(card) == peak


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() or find_spec("trl") is None, reason="needs a CUDA device and TRL"
)
@pytest.mark.parametrize("precision", [Precision.MIXED, Precision.HALF])
def test_both_sides_do_the_same_work_on_a_gpu(precision: Precision) -> None:
    plan = replace(PLAN, device=torch.device("cuda"), precision=precision)
    ours, theirs = gpu_update.our_update(plan, batch()), gpu_update.trl_update(plan, batch())
    assert ours.positions < theirs.positions
    assert ours.norm == pytest.approx(theirs.norm, rel=0.05)
