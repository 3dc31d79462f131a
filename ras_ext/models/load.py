"""Opens a model and its processor by built-in name, folder, alias or Hub id, and says in words why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ras_ext.errors import ModelError

BUILTIN = {"builtin:organism"}


def locate(name: str) -> str:
    """The folder or Hub id that `name` stands for."""
    if name == "builtin:organism":
        from ras_ext.organism import MODEL

        return str(MODEL)
    if name.startswith("builtin:"):
        raise ModelError(f"{name!r} is no built-in model; there is {', '.join(sorted(BUILTIN))}")
    return name


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | None = None,
    dtype: Any = "auto",
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Opens a model for inference with its processor.

    Args:
        name: ``builtin:organism``, a folder, or a Hub id.
        revision: Hub revision.
        device: where to put the model; ``None`` keeps transformers' choice.
        dtype: as in transformers; ``"auto"`` takes the checkpoint's own.
        kwargs: passed on to ``from_pretrained`` of both.

    Returns:
        ``(model, processor)``, the model in eval mode.

    Raises:
        ModelError: nothing can be opened under that name.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    place = locate(str(name))
    if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
        raise ModelError(f"the folder {place!r} holds no config.json, so it is no model; give a model's folder")
    try:
        processor = AutoProcessor.from_pretrained(place, revision=revision, **kwargs)
        model = AutoModelForImageTextToText.from_pretrained(place, revision=revision, dtype=dtype, **kwargs)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"the model {name!s} cannot be opened: {reason}") from error
    if device is not None:
        model.to(device)  # type: ignore[arg-type]
    return model.eval(), processor
