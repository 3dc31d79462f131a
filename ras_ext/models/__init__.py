"""What differs between model families; one file each. A family nobody wrote down is served by structure, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ras_ext.base_model import quantization_of
from ras_ext.errors import ModelError
from ras_ext.models import (
    gemma3,
    idefics3,
    internlm_xcomposer2,
    internvl,
    llava,
    llava_next,
    llava_onevision,
    mistral3,
    mllama,
    pixtral,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_vl,
    qwen_vl_chat,
    smolvlm,
    structure,
)
from ras_ext.models.encoding import Encoding, Tokenized
from ras_ext.models.load import load
from ras_ext.models.pair import Pair
from ras_ext.models.parts import Family, Parts, accepts, find_parts
from ras_ext.models.placement import device_of, dtype_of
from ras_ext.models.proof import head_is_linear

__all__ = [
    "FAMILIES",
    "Family",
    "Pair",
    "Parts",
    "Tokenized",
    "accepts",
    "as_processor",
    "device_of",
    "dtype_of",
    "encoding_of",
    "family_of",
    "load",
    "processor_of",
    "quantization_of",
    "read",
]

# The first that fits counts: Pixtral's checkpoints call themselves LLaVA.
FAMILIES: tuple[Family, ...] = (
    pixtral.FAMILY,
    llava.FAMILY,
    llava_next.FAMILY,
    llava_onevision.FAMILY,
    qwen2_vl.FAMILY,
    qwen2_5_vl.FAMILY,
    qwen3_vl.FAMILY,
    internvl.FAMILY,
    gemma3.FAMILY,
    idefics3.FAMILY,
    smolvlm.FAMILY,
    mistral3.FAMILY,
    mllama.FAMILY,
    qwen_vl_chat.FAMILY,
    internlm_xcomposer2.FAMILY,
)


def family_of(config: Any) -> Family | None:
    """The known family of a model's config, if any."""
    return next((family for family in FAMILIES if family.fits(config)), None)


def encoding_of(config: Any) -> Encoding | None:
    """How requests become inputs where the model is code of the checkpoint; None where it has a processor."""
    family = family_of(config)
    return family.encoding if family else None


def processor_of(
    config: Any, tokenizer: Any, image_processor: Any = None, chat_template: str | None = None
) -> Pair | Tokenized:
    """A processor for the guard from a tokenizer and an image processor, where the family's own cannot be had.

    For families that are code of their checkpoints there is none, and the tokenizer is enough.

    Args:
        config: the model's config.
        chat_template: instead of the tokenizer's own.

    Raises:
        ModelError: the family is unknown or its own processor needs no further package, or the tokenizer is another
            model's.
    """
    family = family_of(config)
    if family is not None and family.encoding is not None:
        return Tokenized(tokenizer, config, family.name, family.encoding)
    if family is None or family.pairing is None:
        name = f"the {family.name} family" if family else f"a model of type {getattr(config, 'model_type', None)!r}"
        raise ModelError(f"{name} is served with its own processor only; open it with AutoProcessor")
    return Pair(tokenizer, image_processor, config, family.pairing, chat_template)


def as_processor(config: Any, given: Any) -> Any:
    """What was given for a processor, or for a family that has none, what its tokenizer (given) makes of one.

    Raises:
        ModelError: the tokenizer is another model's.
    """
    family = family_of(config)
    if family is None or family.encoding is None or isinstance(given, Tokenized):
        return given
    return Tokenized(getattr(given, "tokenizer", given), config, family.name, family.encoding)


def read(model: Any) -> Parts:
    """Finds the parts of a loaded model, by its family or, with a warning, by its structure.

    A model of quantised weights must also show, in one pass over a few tokens, that its parts work together.

    Raises:
        ModelError: a part is missing or ambiguous, or the quantised model does not run as it must.
    """
    family = family_of(getattr(model, "config", None))
    if family is None:
        return structure.find(model)
    parts = find_parts(family, model)
    how = quantization_of(model)
    if how is None:
        return parts
    return replace(parts, linear_head=head_is_linear(model, parts.final_norm, f"guarded with {how} weights"))
