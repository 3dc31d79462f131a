"""A live model described for the registry: which model vectors are made for, or are about to be used with.

Reads the config, the LM head and the chat template; never runs the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ras_ext.registry.fingerprint import BaseModel, describe_config


def describe_model(model: Any, processor: Any = None, *, final_norm: str, id: str | None = None) -> BaseModel:
    """Describe a transformers model. ``final_norm`` is the module path of the norm before the LM head.

    ``id`` defaults to the name or folder the model was loaded from; the revision is known only for models from the Hub.
    Without ``processor`` the chat template stays unknown. Raises PackError if the config lacks a needed size.
    """
    model = bare_model(model)
    config = model.config
    source = getattr(config, "_name_or_path", None) or None
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    weight = getattr(head, "weight", None)
    rows = getattr(head, "out_features", None)  # quantised weights are packed: their shape says nothing
    if rows is None and weight is not None and weight.is_floating_point():
        rows = int(weight.shape[0])
    return describe_config(
        config.to_dict(),
        final_norm=final_norm,
        id=id or source,
        revision=getattr(config, "_commit_hash", None) if id in (None, source) else None,
        architecture=type(model).__name__,
        vocab_size=rows,
        chat_template=chat_template(processor),
    )


def quantization_of(model: Any) -> str | None:
    """How a model's weights are quantised, such as ``"bitsandbytes:nf4"``; ``None`` where they are not."""
    config = getattr(getattr(model, "hf_quantizer", None), "quantization_config", None)
    config = config or getattr(getattr(model, "config", None), "quantization_config", None)
    if config is None:
        return None
    values = config if isinstance(config, dict) else vars(config)
    method = values.get("quant_method")
    kind = values.get("quant_type") or values.get("weights") or values.get("bits")
    if values.get("load_in_8bit") or values.get("_load_in_8bit"):
        kind = "int8"
    elif values.get("load_in_4bit") or values.get("_load_in_4bit"):
        kind = values.get("bnb_4bit_quant_type")
    name = str(getattr(method, "value", method))
    if kind is None:
        return name
    return f"{name}:{kind if isinstance(kind, (str, int)) else type(kind).__name__}"


def bare_model(model: Any) -> Any:
    """The transformers model inside ``torch.compile`` and PEFT wrappers."""
    model = getattr(model, "_orig_mod", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def chat_template(processor: Any) -> str | Mapping[str, Any] | None:
    """The chat template of a processor, of its tokenizer if it has none itself, or None."""
    own = getattr(processor, "chat_template", None)
    return own or getattr(getattr(processor, "tokenizer", None), "chat_template", None)
