"""Loading the model that learns: any Hugging Face causal language model, by path or id.

Those of the Qwen-VL family come with their image processor, and learn from what they saw.

The same module object samples rollouts and takes gradient steps, so there are no weights to
synchronise. Dropout is off: a policy whose log-probabilities depend on a coin is not the one that
sampled.
"""

import copy
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel
from transformers import logging as transformers_logging

from agentgym.chat_template import ChatTemplate
from agentgym.config import Config
from agentgym.errors import ConfigError, DataError
from agentgym.images import ImageProcessor
from agentgym.models.vision import auto_class, load_image_processor, sees
from agentgym.trainers.attention import VARLEN, register_varlen

_log = logging.getLogger(__name__)


class LoraConfig(Config):
    """Low-rank adapters (arXiv 2106.09685) through peft; only they are trained."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    target_modules: list[str] | Literal["all-linear"] = "all-linear"


class ModelConfig(Config):
    """Which model, and how it is held."""

    path: str = Field(description="folder, or id on the Hugging Face hub")
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = Field(default="auto", description="'auto' is the GPU where there is one")
    attention: str = Field(default=VARLEN, description="agentgym_varlen, flash_attention_2 or sdpa")
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None


class TemplateConfig(Config):
    """How messages become the model's ids; see `agentgym.chat_template.ChatTemplate`."""

    options: dict[str, Any] = Field(
        default_factory=dict, description="variables of the chat template, such as enable_thinking"
    )
    observation_role: str = Field(
        default="user",
        description="of observations after the first; 'assistant' continues the answer",
    )
    force_append: bool = Field(default=False, description="append where the template would rewrite")

    def template(
        self, tokenizer: Any, image_processor: ImageProcessor | None = None
    ) -> ChatTemplate:
        """Return the template of a tokenizer, used this way; with images for a model that sees."""
        return ChatTemplate(tokenizer, image_processor=image_processor, **self.model_dump())


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, its tokenizer, where they live, and the image processor of one that sees."""

    model: PreTrainedModel
    tokenizer: Any
    device: torch.device
    image_processor: ImageProcessor | None = None

    def reference(self) -> "Reference":
        """Return the frozen policy that divergences are measured from: what the model is now."""
        if hasattr(self.model, "disable_adapter"):
            return Reference(self.model, adapters=True)
        frozen = copy.deepcopy(self.model).eval().requires_grad_(False)
        return Reference(frozen, adapters=False)

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder (adapters only, for a LoRA model)."""
        # One bar per save, in the middle of a training log, tells nobody anything.
        transformers_logging.disable_progress_bar()
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.image_processor is not None:
            self.image_processor.save_pretrained(folder)


@dataclass(frozen=True, slots=True)
class Reference:
    """A frozen policy: a copy, or the base of a model with adapters."""

    model: PreTrainedModel
    adapters: bool

    def active(self) -> AbstractContextManager[Any]:
        """Return a context in which `model` is the reference."""
        if not self.adapters:
            return nullcontext()
        return cast("AbstractContextManager[Any]", cast(Any, self.model).disable_adapter())


def load_model(config: ModelConfig, *, seed: int = 0) -> LoadedModel:
    """Load a model for training.

    Args:
        config: Which, and how it is held.
        seed: Seeds the weights of adapters, if there are any.

    Raises:
        DataError: If there is no model at `path`.
        ConfigError: If the device or the attention can't be had.
    """
    transformers_logging.disable_progress_bar()
    register_varlen()
    device = _device(config.device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.path)
        model = cast(
            PreTrainedModel,
            auto_class(config.path).from_pretrained(
                config.path,
                dtype=getattr(torch, config.dtype),
                attn_implementation=config.attention,
            ),
        )
        image_processor = load_image_processor(config.path) if sees(model) else None
    except (OSError, ValueError) as fault:
        first_line = str(fault).strip().splitlines()[0]
        raise DataError(
            f"{config.path} is no model that can be loaded: {first_line} "
            "(`agentgym model tiny FOLDER` builds a small one)."
        ) from fault
    except ImportError as fault:
        raise ConfigError(f"attention={config.attention!r} can't be had here: {fault}") from fault
    disable_dropout(model)
    if config.lora is not None:
        model = with_adapters(model, config.lora, seed=seed)
    model.to(device)  # pyright: ignore[reportArgumentType] (transformers narrows nn.Module.to)
    model.eval()
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    return LoadedModel(model, tokenizer, device, image_processor)


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Compute each layer's activations again in the backward pass instead of keeping them."""
    if hasattr(model, "activation_checkpointing_enable"):  # the name since transformers 5.23
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    model.train()  # transformers checkpoints in training mode only


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0, so that training and evaluation mode agree."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            vars(module)["attention_dropout"] = 0.0


def with_adapters(model: PreTrainedModel, config: LoraConfig, *, seed: int = 0) -> PreTrainedModel:
    """Return the model with adapters, which are fp32 whatever it is held in; only they learn.

    Their weights follow from the seed; the caller's generator is left alone.
    """
    import peft

    adapters = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType] (peft says int, takes float)
        lora_dropout=0.0,
        target_modules=config.target_modules,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cast(PreTrainedModel, peft.get_peft_model(model, adapters))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as fault:
        raise ConfigError(f"device: {name!r} is no device; use auto, cpu or cuda:N") from fault
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: this machine has no CUDA GPU; use device=auto or device=cpu")
    return device
