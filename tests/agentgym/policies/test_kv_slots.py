"""The store of keys and values: what growing keeps, and what running out of memory leaves."""

import pytest
import torch
from torch import Tensor

from agentgym.policies._kv_slots import KVSlots

HEADS, SIZE = 2, 4


def filled(layers: int = 2) -> KVSlots:
    kv = KVSlots(3, max_length=2048)
    for layer in range(layers):
        figures = torch.arange(HEADS * 3 * SIZE).float().view(1, HEADS, 3, SIZE) + 100 * layer
        kv.write(layer, torch.arange(3) * kv.capacity, figures, -figures)
    return kv


def first(kv: KVSlots, layer: int) -> tuple[Tensor, ...]:
    return tuple(part.clone() for part in kv.read(layer, 3, None, 1))


def test_what_grows_keeps_its_keys() -> None:
    kv = filled()
    before = [first(kv, layer) for layer in range(2)]
    kv.reserve(300)
    assert kv.capacity == 512
    for layer in range(2):
        for now, then in zip(first(kv, layer), before[layer], strict=True):
            assert torch.equal(now, then)


def test_memory_that_runs_out_on_the_way_leaves_no_layer_of_another_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kv, made = filled(), 0
    grow = KVSlots._grown

    def short(self: KVSlots, part: Tensor, capacity: int) -> Tensor:
        nonlocal made
        made += 1
        if made == 3:
            raise torch.OutOfMemoryError("no room for the second layer")
        return grow(self, part, capacity)

    monkeypatch.setattr(KVSlots, "_grown", short)
    with pytest.raises(torch.OutOfMemoryError):
        kv.reserve(300)
    assert kv.capacity == 256
    figures = torch.ones(1, HEADS, 1, SIZE)
    for layer in range(2):  # what is read again lands where it is looked for
        kv.write(layer, torch.tensor([2 * kv.capacity]), figures, figures)
        keys, _ = kv.read(layer, 3, None, 1)
        assert torch.equal(keys[:, 2, 0], torch.ones(HEADS, SIZE))
        assert not keys[:, :2].any()
