"""`SlotVision`: what a decoder's slots know of images.

In a slot an image's placeholders stand as one negative number, which belongs to the image's pixels:
prompts share a prefix, and its keys and values, only where they show the same images. The vision
tower reads an image when a forward pass first reads one of its placeholders; afterwards the keys
and values are all that is needed of it, and they outlive the turn as those of text do.

`view` may be called from any thread; everything else belongs to the decoder's.
"""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from agentgym.chat_template import Ids
from agentgym.env import Image
from agentgym.errors import DataError
from agentgym.images import (
    ImageProcessor,
    Ints,
    Patches,
    PlacedImage,
    patches_of,
    placeholders,
    rope_positions,
)
from agentgym.models.vision import ImageFeatures, decoder_inputs, image_features
from agentgym.policies._kv_slots import Plan


@dataclass(slots=True, eq=False, weakref_slot=True)
class Sight:
    """An image that slots show.

    Attributes:
        number: Stands for its placeholders; below 0.
        pixels: (H, W, 3) uint8.
        grid_3: Its patches in time, height and width.
        patches: What the vision tower reads; None once it has.
    """

    number: int
    pixels: Image
    grid_3: Ints
    patches: Patches | None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A prompt as slots hold it.

    Attributes:
        ids: The prompt, shape (T,), with the images' numbers in the place of placeholders.
        cells_T: Which cell of its image a placeholder is; 0 elsewhere.
        positions_3T: Positions for rotary embeddings.
        sights: The images.
    """

    ids: Ids
    cells_T: Ints
    positions_3T: Ints
    sights: tuple[Sight, ...]


class SlotVision:
    """Reads slots that show images.

    Args:
        model: A model that sees, which attends through `_kv_slots.attend`.
        processor: Its image processor.
        slots: How many slots there are.
        max_length: Most ids in a slot.
    """

    def __init__(
        self, model: PreTrainedModel, processor: ImageProcessor, *, slots: int, max_length: int
    ) -> None:
        config = model.config
        self._model, self._processor = model, processor
        self._decoder = cast("nn.Module", model.get_decoder())
        self._head = cast("nn.Module", model.get_output_embeddings())
        self._pad = int(config.image_token_id)
        self._frame = int(config.vision_start_token_id), int(config.vision_end_token_id)
        self._lock = threading.Lock()
        self._count = 0
        self._by_digest: WeakValueDictionary[bytes, Sight] = WeakValueDictionary()
        self._sights: list[tuple[Sight, ...]] = [()] * slots
        shape = slots, max_length
        self._cells_SC = torch.zeros(shape, dtype=torch.int64, device=model.device)
        self._positions_3SC = torch.zeros((3, *shape), dtype=torch.int64, device=model.device)
        # Of the images that the last forward pass read: a long prompt is read over several.
        self._features: dict[int, ImageFeatures] = {}

    def view(self, prompt: Ids, images: Sequence[PlacedImage]) -> View:
        """Return a prompt as slots hold it. Reads pixels, which takes a while.

        Raises:
            DataError: If images and placeholders don't go together.
        """
        self._check(prompt, images)
        sights = self._look([image.pixels for image in images])
        ids, cells_T = prompt.copy(), np.zeros(len(prompt), np.int64)
        for image, sight in zip(images, sights, strict=True):
            part = slice(image.start, image.start + image.length)
            ids[part], cells_T[part] = sight.number, np.arange(image.length)
        grids_N3 = np.array([sight.grid_3 for sight in sights], np.int64).reshape(-1, 3)
        positions_3T = rope_positions(len(prompt), images, grids_N3, self._processor.merge_size)
        return View(ids, cells_T, positions_3T, tuple(sights))

    def seat(self, slot: int, view: View) -> None:
        """Let a slot show what a prompt shows; what is sampled behind it counts on from there."""
        length, room = len(view.ids), self._cells_SC.shape[1] - len(view.ids)
        on = int(view.positions_3T.max()) + 1 + np.arange(room)
        whole_3C = np.concatenate([view.positions_3T, np.broadcast_to(on, (3, room))], axis=1)
        device = self._cells_SC.device
        self._positions_3SC[:, slot] = torch.from_numpy(whole_3C).to(device)
        self._cells_SC[slot, :length] = torch.from_numpy(view.cells_T).to(device)
        self._sights[slot] = view.sights

    def invalidate(self) -> None:
        """Forget what the vision tower made of images, since its weights changed."""
        self._features.clear()

    def logits(self, plan: Plan, last_R: Tensor) -> Tensor:
        """Read ids and images, and return the logits after the ids `last_R`, (R, V)."""
        ids_N, at_N = plan.ids_N, plan.ids_N < 0
        slots_N = plan.cells_N // plan.kv.capacity
        features = None
        if bool(at_N.any()):
            cells_L = self._cells_SC[slots_N[at_N], plan.positions_N[at_N]]
            features = self._features_of(ids_N[at_N], cells_L)
        hidden_1NH = self._decoder(
            **decoder_inputs(self._model, ids_N.clamp(min=0)[None], at_N[None], features),
            position_ids=self._positions_3SC[:, slots_N, plan.positions_N][:, None],
            use_cache=False,
            slot_plan=plan,
        ).last_hidden_state
        return self._head(hidden_1NH[0, last_R])

    def _check(self, prompt: Ids, images: Sequence[PlacedImage]) -> None:
        shown = prompt == self._pad
        for k, image in enumerate(images):
            part = shown[image.start : image.start + image.length]
            wanted = placeholders(self._processor, image.pixels)
            if image.length != wanted or len(part) != wanted or not part.all():
                raise DataError(
                    f"Image {k} takes {wanted} placeholder ids from {image.start} on, and the "
                    f"prompt has {int(part.sum())} there; pass the images that the prompt was "
                    "written with."
                )
            part[:] = False
        # One that the model sampled is an id like any other, and not in a frame of its own.
        opening, closing = self._frame
        edges = np.diff(np.concatenate([[False], shown, [False]]).astype(np.int8))
        for start, end in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True):
            framed = start > 0 and end < len(prompt)
            if framed and (prompt[start - 1], prompt[end]) == (opening, closing):
                raise DataError(
                    f"The prompt shows an image at {start}, in {end - start} placeholder ids, and "
                    "the request has none; pass all images of the episode."
                )

    def _look(self, images: Sequence[Image]) -> list[Sight]:
        """Return the sights of images, and read the pixels of those that no slot shows."""
        digests = [_digest(image) for image in images]
        with self._lock:
            known = {d: s for d in digests if (s := self._by_digest.get(d)) is not None}
        new = {d: image for d, image in zip(digests, images, strict=True) if d not in known}
        read = {d: patches_of(self._processor, [image]) for d, image in new.items()}
        with self._lock:
            for digest, patches in read.items():
                sight = self._by_digest.get(digest)
                if sight is None:
                    self._count += 1
                    sight = Sight(-self._count, new[digest], patches.grids_N3[0], patches)
                    self._by_digest[digest] = sight
                known[digest] = sight
        return [known[digest] for digest in digests]

    def _features_of(self, numbers_L: Tensor, cells_L: Tensor) -> ImageFeatures:
        """Return the cells of images, given by number and cell."""
        wanted, which_L = numbers_L.unique(return_inverse=True)
        numbers: list[int] = wanted.tolist()
        self._read([number for number in numbers if number not in self._features])
        self._features = {number: self._features[number] for number in numbers}
        parts = [self._features[number] for number in numbers]
        sizes = torch.tensor([len(part.cells_LH) for part in parts], device=wanted.device)
        starts = sizes.cumsum(0) - sizes
        return ImageFeatures.join(parts).take(starts[which_L] + cells_L)

    def _read(self, numbers: Sequence[int]) -> None:
        """Let the vision tower read images."""
        if not numbers:
            return
        shown = {sight.number: sight for sights in self._sights for sight in sights}
        sights = [shown[number] for number in numbers]
        read = [s.patches or patches_of(self._processor, [s.pixels]) for s in sights]
        together = Patches(
            np.concatenate([patches.values_LD for patches in read]),
            np.concatenate([patches.grids_N3 for patches in read]),
        )
        features = image_features(self._model, together)
        start, merge = 0, self._processor.merge_size**2
        for sight in sights:
            sight.patches = None
            rows = slice(start, start + int(sight.grid_3.prod()) // merge)
            self._features[sight.number] = ImageFeatures(
                features.cells_LH[rows], tuple(deep[rows] for deep in features.deep_LH)
            )
            start = rows.stop


def _digest(image: Image) -> bytes:
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
