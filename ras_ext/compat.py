"""What transformers 4.37.2 does otherwise than transformers 5, each with its reason; nothing else asks for versions.

Two families are code of their checkpoints, written for 4.3x (docs/families.md). Calibration and the three stages run
there; a shared prefix is left out and the receipt says so; explanations, the evidence from attention and families found
by structure want transformers 5, and each says so in a sentence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import DynamicCache, GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from ras_ext.errors import InputError, ModelError

# A cache is made for a config, and generate goes on from one that is given; 4.37.2 knows neither.
SHARES_PREFIXES = "config" in inspect.signature(DynamicCache.__init__).parameters
# There is no cache of fixed size in 4.37.2, and nothing is one.
StaticCache: Any = getattr(transformers, "StaticCache", type(None))
# Configs and models tell which part is the language model, and which the tower; under 4.37.2 they do not.
FINDS_STRUCTURE = hasattr(PretrainedConfig, "get_text_config")
# `padding_side` can be given with a call; under 4.37.2 it is only a property of the tokenizer.
_PADS_BY_CALL = "padding_side" in inspect.signature(PreTrainedTokenizerBase.__call__).parameters
# generate hands out logits as the model gave them; under 4.37.2 only what its processors made of them.
_HANDS_OUT_LOGITS = hasattr(GenerationConfig(), "output_logits")

# What opens models that see, and how it is told the type: both had other names in 4.37.2.
_NOW = hasattr(transformers, "AutoModelForImageTextToText")
AutoModelForImageTextToText: Any = getattr(
    transformers, "AutoModelForImageTextToText" if _NOW else "AutoModelForVision2Seq"
)
DTYPE = "dtype" if _NOW else "torch_dtype"

try:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
except ImportError:  # in 4.37.2 attention is no function that could be replaced
    AttentionInterface = AttentionMaskInterface = ALL_ATTENTION_FUNCTIONS = None  # type: ignore[assignment, misc]

__all__ = [
    "ALL_ATTENTION_FUNCTIONS",
    "DTYPE",
    "FINDS_STRUCTURE",
    "SHARES_PREFIXES",
    "AttentionInterface",
    "AttentionMaskInterface",
    "AutoModelForImageTextToText",
    "StaticCache",
    "left_padded",
    "module_path",
    "require",
    "returned_width",
    "step_logits",
    "templated",
    "text_config",
]


def require(found: Any, what: str) -> None:
    """Raises ModelError, naming the installed version, unless what is asked for was found in it."""
    if not found:
        raise ModelError(f"{what} transformers 5, and {transformers.__version__} is installed")


def text_config(config: Any) -> Any:
    """The part of a model's config that describes its language model."""
    if hasattr(config, "get_text_config"):
        return config.get_text_config()
    return getattr(config, "text_config", config)


def module_path(model: Any, path: str) -> str:
    """Where a module stands in this model: in 4.37.2 a LLaVA holds a whole language model, head and all."""
    if _has(model, path) or not path.startswith("model."):
        return path
    inside = path.removeprefix("model.").replace("language_model.", "language_model.model.", 1)
    return inside if _has(model, inside) else path


def _has(model: Any, path: str) -> bool:
    try:
        model.get_submodule(path)
    except AttributeError:
        return False
    return True


def templated(processor: Any) -> Any:
    """What holds the chat template: the processor, or under 4.37.2 its tokenizer."""
    return processor if hasattr(processor, "apply_chat_template") else processor.tokenizer


def left_padded(processor: Any, **settings: Any) -> Any:
    """The processor's inputs for a batch, padded on the left.

    Under 4.37.2 a processor takes no settings for its tokenizer, which then adds the first token itself: a prompt that
    brings it must not have it twice. A LLaVA there attends to the padding of prompts with images once it writes.

    Raises:
        InputError: such a batch, there.
    """
    if _PADS_BY_CALL:
        return processor(**settings, padding_side="left")
    tokenizer, texts = processor.tokenizer, settings["text"]
    taken = inspect.signature(processor.__call__).parameters
    if "add_special_tokens" not in taken and not settings.pop("add_special_tokens", True):
        settings["text"] = [text.removeprefix(tokenizer.bos_token) for text in texts]
    before, tokenizer.padding_side = tokenizer.padding_side, "left"
    try:
        batch = processor(**settings)
    finally:
        tokenizer.padding_side = before
    if settings.get("images") and not bool(batch["attention_mask"].all()):
        raise InputError(
            f"under transformers {transformers.__version__} an answer would depend on the other requests of its batch; "
            "give requests with an image one at a time (batch_size=1)"
        )
    return batch


def returned_width(model: Any, inputs: dict[str, torch.Tensor]) -> int:
    """How many tokens stand before the answer in what generate returns for these inputs.

    To a prompt of embeddings it returns the new ones only; under 4.37.2 they follow one that it begins with.
    """
    if "input_ids" in inputs:
        return inputs["input_ids"].shape[1]
    return model._maybe_initialize_input_ids_for_generation(None, 0, inputs).shape[1]


@contextmanager
def step_logits(model: Any, settings: dict[str, Any]) -> Iterator[Callable[[Any], tuple[torch.Tensor, ...]]]:
    """Inside, ``generate(**settings)`` runs once; what is given reads the steps' logits ``(B, V)`` off its output."""
    if _HANDS_OUT_LOGITS:
        settings["output_logits"] = True
        yield lambda output: output.logits
        return
    seen: list[torch.Tensor] = []
    handle = model.register_forward_hook(lambda _module, _args, output: seen.append(output.logits[:, -1].float()))
    try:
        yield lambda _output: tuple(seen)
    finally:
        handle.remove()
