"""Opens models and vectors for the commands: by name, on the right device, without noise on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ras_ext.errors import ModelError

BUILTIN = "builtin:"


def open_model(
    name: str, *, revision: str | None = None, device: str | None = None, dtype: str = "auto"
) -> tuple[Any, Any]:
    """The model and its processor. Raises ModelError, and BadParameter for a dtype or device that does not exist."""
    import torch
    from transformers.utils import logging

    from ras_ext import models

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kind = getattr(torch, dtype, None)
    if dtype != "auto" and not (isinstance(kind, torch.dtype) and kind.is_floating_point):
        known = "auto, float32, bfloat16 or float16"
        raise typer.BadParameter(f"{dtype!r} is no dtype; give {known}", param_hint="--dtype")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else None
    else:
        try:
            torch.device(device)
        except RuntimeError:
            raise typer.BadParameter(f"{device!r} is no device; give cpu or cuda", param_hint="--device") from None
    return models.load(model_of(name), revision=revision, device=device, dtype=dtype)


def model_of(name: str) -> str:
    """The folder or Hub id behind a model's name; an alias of a pack stands for the model the pack was made for."""
    from ras_ext.registry import aliases

    if name.startswith(BUILTIN) or Path(name).is_dir():
        return name
    if name.startswith((".", "~", "/")) or name.count("/") > 1:
        raise ModelError(
            f"there is no folder {name!r}; give a model's folder, a Hub id such as owner/name, or an alias"
        )
    entry = aliases().get(name)
    return entry.base_model if entry and entry.base_model else name


def pack_of(model: str, vectors: str | None) -> str | None:
    """The pack's name: as given, or that of a built-in model or an alias, which names both."""
    if vectors is not None or Path(model).is_dir():
        return vectors
    from ras_ext.registry import aliases

    return model if model.startswith(BUILTIN) or model in aliases() else None


def need_pack(model: str, vectors: str | None) -> str:
    """As :func:`pack_of`; wrong use where there is none."""
    name = pack_of(model, vectors)
    if name is None:
        raise typer.BadParameter("this model's steering vectors are needed; give a PACK", param_hint="--vectors")
    return name


def public_name(model: str) -> str | None:
    """What a pack calls its base model, never a path of this machine; None keeps a Hub id with its revision."""
    if model.startswith(BUILTIN):
        return model
    return Path(model).resolve().name if Path(model).is_dir() else None
