"""Models of the Qwen-VL family: loading them, and what their decoder reads of ids and images.

transformers' own forward pass takes every placeholder id for an image's, and makes positions from
ids. Here the caller says where images stand, since a model may sample a placeholder itself, and
gives the positions (`agentgym.images`), since sequences lie packed or in slots. So the embeddings
are made here, and the language model is called with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
)

from agentgym.errors import MissingDependencyError, UsageError
from agentgym.images import ImageProcessor, Patches

FAMILY = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""`model_type` of the models that see."""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What a vision tower makes of images, cell after cell.

    Attributes:
        cells_LH: What stands in the place of the placeholders' embeddings.
        deep_LH: What is added behind each of the language model's first layers; Qwen3-VL has it.
    """

    cells_LH: Tensor
    deep_LH: tuple[Tensor, ...]

    def take(self, rows_L: Tensor) -> "ImageFeatures":
        """Return these cells."""
        return ImageFeatures(self.cells_LH[rows_L], tuple(deep[rows_L] for deep in self.deep_LH))

    @classmethod
    def join(cls, parts: Sequence["ImageFeatures"]) -> "ImageFeatures":
        """Return the cells of all parts behind each other."""
        deep = zip(*(part.deep_LH for part in parts), strict=True)
        return cls(torch.cat([p.cells_LH for p in parts]), tuple(torch.cat(d) for d in deep))


def sees(model: PreTrainedModel) -> bool:
    """Whether a model reads images in the way of this module."""
    return getattr(model.config, "model_type", None) in FAMILY


def auto_class(name: str) -> Any:
    """Return transformers' class that loads the model in a folder or with an id.

    Raises:
        OSError: If there is no model.
        ValueError: If transformers doesn't know its kind.
    """
    kind = getattr(AutoConfig.from_pretrained(name), "model_type", None)
    return AutoModelForImageTextToText if kind in FAMILY else AutoModelForCausalLM


def load_image_processor(name: str) -> ImageProcessor:
    """Load the image processor of a model that sees.

    It is the one that computes with Pillow and NumPy, wherever torchvision is installed or not: the
    other resizes to slightly different pixels.

    Raises:
        MissingDependencyError: If Pillow is not installed.
        OSError: If the folder has none.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(name, backend="pil")
    except ImportError as fault:
        raise MissingDependencyError("Pillow", "train") from fault
    return cast("ImageProcessor", processor)


def check_processor(model: PreTrainedModel, processor: ImageProcessor | None) -> None:
    """Refuse a model that sees without its image processor, or with that of another model.

    Raises:
        UsageError: If they don't go together.
    """
    name = type(model).__name__
    if processor is None:
        if sees(model):
            raise UsageError(f"{name} reads images; pass its image processor too.")
        return
    if not sees(model):
        raise UsageError(f"{name} reads no images; leave the image processor out.")
    merge = model.config.vision_config.spatial_merge_size
    if processor.merge_size != merge:
        raise UsageError(
            f"The image processor merges {processor.merge_size} patches a side and {name} {merge}; "
            "pass the processor from the model's folder."
        )


def image_features(model: PreTrainedModel, patches: Patches) -> ImageFeatures:
    """Run the vision tower on at least one image."""
    output = cast("Any", model).get_image_features(
        pixel_values=torch.from_numpy(patches.values_LD).to(model.device),
        image_grid_thw=torch.from_numpy(patches.grids_N3).to(model.device),
        return_dict=True,
    )
    deep = getattr(output, "deepstack_features", None) or []
    return ImageFeatures(torch.cat(output.pooler_output), tuple(torch.cat(d) for d in deep))


def decoder_inputs(
    model: PreTrainedModel, ids_1P: Tensor, at_1P: Tensor, features: ImageFeatures | None
) -> dict[str, Any]:
    """Return what the language model reads in the place of ids.

    Args:
        model: The whole model.
        ids_1P: int64.
        at_1P: bool, where images' cells stand.
        features: The cells there, in order; None for none.

    Returns:
        Keyword arguments of the language model's forward.
    """
    embeds_1PH = cast("Tensor", model.get_input_embeddings()(ids_1P))
    if features is None:
        return {"inputs_embeds": embeds_1PH}
    cells_LH = features.cells_LH.to(embeds_1PH.dtype)
    inputs: dict[str, Any] = {
        "inputs_embeds": embeds_1PH.masked_scatter(at_1P[..., None], cells_LH)
    }
    if features.deep_LH:
        inputs["visual_pos_masks"] = at_1P
        inputs["deepstack_visual_embeds"] = list(features.deep_LH)
    return inputs
