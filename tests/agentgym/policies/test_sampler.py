"""Vectorised sampling draws from the distribution that it reports."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.policies._sampler import sample, uniforms


def draw(logits_RV: torch.Tensor, u: np.ndarray, temperature=1.0, top_k=0, top_p=1.0):
    rows = len(logits_RV)
    return sample(
        logits_RV,
        torch.from_numpy(u),
        torch.full((rows,), temperature),
        torch.full((rows,), top_k),
        torch.full((rows,), top_p),
        truncates=bool(top_k or top_p < 1),
    )


def numbers(n: int, seed: int = 0) -> np.ndarray:
    return uniforms(np.full(n, seed, np.uint64), np.arange(n))


def test_uniforms_are_uniform_and_uncorrelated_across_seeds_and_positions():
    a = numbers(100_000, seed=1)
    b = numbers(100_000, seed=2)
    c = uniforms(np.arange(100_000, dtype=np.uint64), np.zeros(100_000, np.int64))
    for x in (a, b, c):
        assert x.min() >= 0
        assert x.max() < 1
        counts = np.histogram(x, bins=100, range=(0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-square, 99 degrees of freedom
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(c[1:], c[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.6, 0, 1.0), (1.0, 3, 1.0), (1.5, 0, 0.7)]
)
def test_frequencies_are_the_reported_probabilities(temperature: float, top_k: int, top_p: float):
    n = 20_000
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, -3.0]).expand(n, 6)
    got = draw(logits, numbers(n), temperature, top_k, top_p)
    for token in range(6):
        chosen = got.ids_R == token
        if chosen.any():
            probability = got.logprobs_R[chosen][0].exp().item()
            assert chosen.float().mean().item() == pytest.approx(probability, abs=0.01)
    reported = {int(i): float(p.exp()) for i, p in zip(got.ids_R, got.logprobs_R, strict=True)}
    assert sum(reported.values()) == pytest.approx(1.0, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=12),
    u=st.floats(0, 1, exclude_max=True, width=32),
    top_k=st.integers(0, 5),
    top_p=st.floats(0.01, 1.0),
)
def test_what_is_left_out_is_never_drawn(logits: list[float], u: float, top_k: int, top_p: float):
    got = draw(torch.tensor([logits]), np.array([u], np.float32), 1.0, top_k, top_p)
    token = int(got.ids_R[0])
    assert 0 <= token < len(logits)
    assert torch.isfinite(got.logprobs_R).all()
    if top_k:
        assert sum(other > logits[token] for other in logits) < top_k


def test_extreme_numbers_stay_inside_the_candidates():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).repeat(2, 1)
    got = draw(logits, np.array([0.0, np.nextafter(1, 0, dtype=np.float32)], np.float32))
    assert got.ids_R.tolist() == [1, 1]
