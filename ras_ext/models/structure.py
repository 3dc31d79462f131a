"""A model of unknown family, served by what it is made of.

Nothing is guessed: each part must be there once and only once, and one pass over a few tokens shows that the norm found
is what the head reads. That pass also shows whether the logits are the head's output as it stands.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

from ras_ext.compat import FINDS_STRUCTURE, require
from ras_ext.errors import ModelError
from ras_ext.models.pair import image_token_id
from ras_ext.models.parts import Family, Parts, find_parts
from ras_ext.models.proof import head_is_linear

_said: set[str] = set()


def find(model: Any) -> Parts:
    """Finds the parts of a model of unknown family, and says once per type that it did.

    Raises:
        ModelError: a part is missing or ambiguous (the message names all of them), or the norm is not the last step
            before the head.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind is None or not hasattr(model, "get_decoder"):
        raise ModelError(
            f"models of type {kind!r} are not supported: {type(model).__name__} is no transformers model; "
            "load it with AutoModelForImageTextToText"
        )
    require(
        FINDS_STRUCTURE, f"models of type {kind!r} are of no known family, and finding their parts by structure needs"
    )
    decoder = model.get_decoder()
    missing: list[str] = []
    if getattr(model.config, "is_encoder_decoder", False):
        missing.append("a prompt that its answer continues (it is an encoder and a decoder)")
    paths = {id(module): path for path, module in model.named_modules()}
    norm = _only(decoder, lambda module: "norm" in type(module).__name__.lower(), "a final norm", missing)
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    layers = _only(
        decoder,
        lambda module: isinstance(module, nn.ModuleList) and len(module) == depth,
        f"a list of {depth} decoder layers",
        missing,
    )
    tower = model.get_encoder(modality="image")
    if tower is model or tower is decoder or id(tower) not in paths:
        missing.append("a vision tower")
    if image_token_id(model.config) is None:
        missing.append("an image token (image_token_id in the config)")
    if model.get_output_embeddings() is None:
        missing.append("an LM head (get_output_embeddings)")
    if missing:
        raise ModelError(
            f"models of type {kind!r} are not supported: the family is unknown, and by its structure this "
            f"{type(model).__name__} lacks {' and '.join(missing)}"
        )
    family = Family(
        name=f"structure:{kind}",
        model_types=(kind,),
        final_norm=paths[id(norm)],
        layers=paths[id(layers)],
        vision=paths[id(tower)],
    )
    parts = find_parts(family, model, linear_head=head_is_linear(model, norm, "read by structure"))
    if kind not in _said:
        _said.add(kind)
        warnings.warn(
            f"models of type {kind!r} are of no known family; the parts were found by structure (final norm "
            f"{family.final_norm!r}, layers {family.layers!r}, vision tower {family.vision!r}): check the answers",
            stacklevel=3,
        )
    return parts


def _only(decoder: nn.Module, fits: Any, what: str, missing: list[str]) -> Any:
    """The one direct child of the decoder that fits; else `missing` is told."""
    found = [(name, module) for name, module in decoder.named_children() if fits(module)]
    if len(found) == 1:
        return found[0][1]
    names = ", ".join(name for name, _ in found)
    missing.append(f"{what} in its {type(decoder).__name__}" + (f" (ambiguous: {names})" if found else ""))
    return None
