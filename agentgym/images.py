"""Images in prompts: how many ids an image takes, where they stand, and what positions they have.

A model of the Qwen-VL family lays a grid over an image and reads one vector per cell. In the prompt
a run of one id, the placeholder, keeps the cells' places, row by row. How many cells there are
depends on the pixels alone, so the ids of a prompt say what size its images had, and not what they
showed: ids and images belong together, and `place` refuses those that can't.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agentgym.env import Image
from agentgym.errors import DataError, EnvError, UsageError

Ints = npt.NDArray[np.int64]

IMAGE_PAD = "<|image_pad|>"
"""The placeholder, in the family's tokenizers."""


class ImageProcessor(Protocol):
    """The part of a Hugging Face image processor of the Qwen-VL family that is used here."""

    @property
    def merge_size(self) -> int:
        """Patches along each side of a cell."""
        ...

    def get_number_of_image_patches(self, height: int, width: int) -> int:
        """Return how many patches an image of this size has."""
        ...

    def __call__(self, images: list[Image], **kwargs: Any) -> Any:
        """Return `pixel_values` and `image_grid_thw` of images."""
        ...

    def save_pretrained(self, save_directory: Any) -> Any:
        """Write its settings into a folder."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PlacedImage:
    """An image, and where its placeholders stand among a prompt's ids.

    Attributes:
        pixels: (H, W, 3) uint8.
        start: Index of the first.
        length: How many there are.
    """

    pixels: Image
    start: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What a vision model reads of images.

    Attributes:
        values_LD: float32, the pixels of all patches, image after image.
        grids_N3: int64, how many patches each image has in time (1), height and width.
    """

    values_LD: npt.NDArray[np.float32]
    grids_N3: Ints


def placeholders(processor: ImageProcessor, image: Any) -> int:
    """Return how many placeholder ids an image takes.

    Raises:
        EnvError: If it is no (H, W, 3) uint8 array, or has a shape that the processor refuses.
    """
    kind, shape = getattr(image, "dtype", type(image).__name__), getattr(image, "shape", ())
    if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or not image.size:
        raise EnvError(
            f"An image is a uint8 array of shape (H, W, 3); the environment shows {kind} {shape}"
        )
    height, width, _ = shape
    try:
        patches = processor.get_number_of_image_patches(height, width)
    except ValueError as fault:
        raise EnvError(f"An image of {width} x {height} pixels is refused: {fault}") from fault
    return patches // processor.merge_size**2


def spread(ids: npt.NDArray[np.int32], pad: int, cells: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return ids in which every placeholder is repeated for the cells of its image.

    Args:
        ids: As a chat template writes them, with one placeholder for each image, shape (T,).
        pad: The placeholder's id.
        cells: How many cells each image has; 0 for no image.

    Raises:
        UsageError: If there are more or fewer placeholders than images.
    """
    wanted = [count for count in cells if count]
    standing = np.flatnonzero(ids == pad)
    if len(standing) != len(wanted):
        raise UsageError(
            f"The chat template writes {len(standing)} placeholders ({IMAGE_PAD}) for "
            f"{len(wanted)} images; pass a template that writes one for each."
        )
    repeats = np.ones(len(ids), np.int64)
    repeats[standing] = wanted
    return np.repeat(ids, repeats)


def place(
    standing: npt.NDArray[Any], images: Sequence[Image], processor: ImageProcessor
) -> tuple[PlacedImage, ...]:
    """Return the images with their places.

    Args:
        standing: Indices of all placeholders, ascending.
        images: The images in order.
        processor: Says how many placeholders each takes.

    Raises:
        DataError: If there are more or fewer, or they stand apart.
    """
    lengths = [placeholders(processor, image) for image in images]
    if sum(lengths) != len(standing):
        raise DataError(
            f"{len(standing)} placeholder ids stand for {len(images)} images, which take "
            f"{sum(lengths)}; pass exactly the images that the prompt was written with, read by "
            "the same image processor."
        )
    placed: list[PlacedImage] = []
    first = 0
    for pixels, length in zip(images, lengths, strict=True):
        start, last = int(standing[first]), int(standing[first + length - 1])
        if last - start != length - 1:
            raise DataError(
                f"The placeholder ids of image {len(placed)} stand apart, from {start} to {last}; "
                "pass the images in the order of the prompt."
            )
        placed.append(PlacedImage(pixels, start, length))
        first += length
    return tuple(placed)


def patches_of(processor: ImageProcessor, images: Sequence[Image]) -> Patches:
    """Return what a vision model reads of at least one image."""
    # An image that is 3 pixels high would pass for one with its channels first.
    read = processor(
        images=[np.ascontiguousarray(image) for image in images],
        input_data_format="channels_last",
        return_tensors="np",
    )
    return Patches(
        np.asarray(read["pixel_values"], np.float32), np.asarray(read["image_grid_thw"], np.int64)
    )


def rope_positions(
    length: int, placed: Sequence[PlacedImage], grids_N3: Ints, merge_size: int
) -> Ints:
    """Return the positions (time, height, width) of a prompt's ids for rotary embeddings, (3, T).

    Text counts up in all three. An image's cells share one time and have their row and column, all
    from where the text stopped, and the text goes on behind the longer side of the grid. (arXiv
    2409.12191, section 2.1; Qwen2.5-VL and Qwen3-VL do the same to images.)

    Args:
        length: T.
        placed: The images, in order.
        grids_N3: Patches of each image in time, height and width.
        merge_size: Patches along each side of a cell.
    """
    positions_3T = np.empty((3, length), np.int64)
    at = following = 0
    for image, grid in zip(placed, grids_N3, strict=True):
        text = image.start - at
        positions_3T[:, at : image.start] = following + np.arange(text)
        following += text
        at = image.start + image.length
        _, height, width = (int(n) for n in grid // (1, merge_size, merge_size))
        cells_3L = np.indices((1, height, width)).reshape(3, -1)
        positions_3T[:, image.start : at] = following + cells_3L
        following += max(height, width)
    positions_3T[:, at:] = following + np.arange(length - at)
    return positions_3T
