"""Opens a model and its processor by built-in name, folder, alias or Hub id, and says in words why it cannot."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ras_ext.errors import ModelError
from ras_ext.registry.errors import first_line

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
    device_map: Any = None,
    quantization_config: Any = None,
    model_options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Opens a model for inference with its processor.

    Args:
        name: ``builtin:organism``, a folder, or a Hub id.
        revision: Hub revision.
        device: where to put the model; ``None`` keeps transformers' choice.
        dtype: as in transformers; ``"auto"`` takes the checkpoint's own.
        device_map, quantization_config: as in transformers, instead of `device`; the former wants accelerate.
        model_options: passed on to ``from_pretrained`` of the model alone, such as ``offload_folder``.
        kwargs: passed on to ``from_pretrained`` of both; ``trust_remote_code=True`` runs the checkpoint's own code,
            which some families are (give the `revision` that was read).

    Returns:
        ``(model, processor)``, the model in eval mode.

    Raises:
        ModelError: nothing can be opened under that name, or not so.
    """
    if device is not None and device_map is not None:
        raise ModelError(f"device={device!r} and device_map={device_map!r} both place the model; give one of them")
    options = {"device_map": device_map, "quantization_config": quantization_config}
    options = {name: value for name, value in options.items() if value is not None} | dict(model_options or {})
    from transformers import AutoModelForCausalLM

    from ras_ext.compat import DTYPE, AutoModelForImageTextToText

    place = locate(str(name))
    if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
        raise ModelError(f"the folder {place!r} holds no config.json, so it is no model; give a model's folder")
    try:
        tokenized = _tokenized(place, revision=revision, **kwargs)
        processor = tokenized or _processor(place, revision=revision, **kwargs)
        opens: Any = AutoModelForCausalLM if tokenized else AutoModelForImageTextToText
        model = opens.from_pretrained(place, revision=revision, **{DTYPE: dtype}, **options, **kwargs)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelError(f"the model {name!s} cannot be opened: {first_line(error)}{_install(str(error))}") from error
    if device is not None:
        try:
            model.to(device)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"the model {name!s} cannot be moved to {device}: {str(error).splitlines()[0]}") from error
    return model.eval(), processor


def _tokenized(place: str, **kwargs: Any) -> Any:
    """The checkpoint's tokenizer in a processor's place, for families that are code of their checkpoints; else None."""
    from transformers import AutoConfig, AutoTokenizer

    from ras_ext.models import encoding_of, processor_of

    if not kwargs.get("trust_remote_code"):
        return None
    config = AutoConfig.from_pretrained(place, **kwargs)
    if encoding_of(config) is None:
        return None
    return processor_of(config, AutoTokenizer.from_pretrained(place, **kwargs))


def _processor(place: str, **kwargs: Any) -> Any:
    """The checkpoint's processor; where that lacks a package for video, its tokenizer and image processor."""
    from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer

    from ras_ext.models import family_of, processor_of

    try:
        return AutoProcessor.from_pretrained(place, **kwargs)
    except (ImportError, ValueError):
        config = AutoConfig.from_pretrained(place, **kwargs)
        family = family_of(config)
        if family is None or family.pairing is None:
            raise
        absent = [package for package in family.pairing.packages if find_spec(package) is None]
        if not absent:
            raise
    warnings.warn(
        f"the processor of the {family.name} family needs {' and '.join(absent)}; its tokenizer and image processor "
        f"serve without, for images only (pip install {' '.join(absent)} for the whole)",
        stacklevel=3,
    )
    tokenizer = AutoTokenizer.from_pretrained(place, **kwargs)
    return processor_of(config, tokenizer, AutoImageProcessor.from_pretrained(place, **kwargs))


def _install(message: str) -> str:
    """The command that installs the package whose absence is complained of; empty where it is none or is named."""
    found = re.search(r"(?:requires|module named) (?:the )?[`']?(\w+)", message)
    if found is None or "pip install" in message.splitlines()[0]:
        return ""
    package = found[1].lower()
    return "" if find_spec(package) else f"; pip install {package}"
