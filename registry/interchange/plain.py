"""Plain safetensors files of steering vectors, a tensor per layer: ``direction.N``, ``layers.N``, ``layer_N`` or ``N``.

The header is read and checked before any data; F32, F16 or BF16, written as F32.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from .. import strict_json
from ..errors import PackError
from ..strict_json import shown
from ..tensors import HEADER_LIMIT, ITEM_BYTES, RawTensor, encode, values_of
from .direction import MAX_HIDDEN, MAX_LAYERS, Direction, as_read
from .files import exactly, opened, write_whole

_NAME = re.compile(r"(?:direction\.|layers?[._])?(0|[1-9][0-9]{0,4})")
_HABITS = "direction.N, layers.N, layer_N or N"


def write_safetensors(direction: Direction, path: str | os.PathLike[str]) -> Path:
    """Write ``direction.<layer>`` F32 tensors, with what they are and what they lack as metadata.

    Equal directions give equal bytes. Raises PackError if the file cannot be written.
    """
    parts = {
        f"direction.{layer}": RawTensor("F32", values.shape, values.astype("<f4").tobytes())
        for layer, values in direction.vectors.items()
    }
    said = {"model_hint": direction.model_hint, "kind": direction.kind, "notes": direction.notes}
    data = encode(parts, said)

    def write(draft: Path) -> None:
        draft.write_bytes(data)

    return write_whole(path, write)


def read_safetensors(path: str | os.PathLike[str]) -> Direction:
    """Read a plain file of steering vectors. Raises PackError for a damaged file, or one that holds other tensors."""
    with opened(path) as (stream, size):
        start = int.from_bytes(exactly(stream, min(8, size), path), "little")
        if size < 8 or start > HEADER_LIMIT or start > size - 8:
            raise PackError(
                f"{path} is truncated or no safetensors file (header of {start} bytes in a file of {size}, at most "
                f"{HEADER_LIMIT} allowed); name a file of steering vectors"
            )
        header = strict_json.parse(exactly(stream, start, path), f"the header of {path}")
        said = header.pop("__metadata__", {})
        entries = _checked(header, size - 8 - start, path)
        data = exactly(stream, size - 8 - start, path)
    vectors = {layer: _values(raw, data[begin:end]) for layer, (raw, begin, end) in entries.items()}
    return as_read(vectors, *(_said(said, key) for key in ("model_hint", "kind", "notes")))


def _checked(header: dict[str, Any], size: int, path: object) -> dict[int, tuple[RawTensor, int, int]]:
    """Layer → (dtype and shape without data, first byte, last byte + 1), the bytes covered once and in full."""
    if not 1 <= len(header) <= MAX_LAYERS:
        raise PackError(f"{path} holds {len(header)} tensors, 1 to {MAX_LAYERS} are read; name another file")
    found: dict[int, tuple[RawTensor, int, int]] = {}
    for name, entry in header.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise PackError(
                f"{path} holds the tensor {shown(name)!r}, but the layers of a steering vector are named {_HABITS}; "
                "rename or leave out that tensor"
            )
        layer = int(match[1])
        if layer in found:
            raise PackError(f"{path} names layer {layer} twice; leave one out")
        found[layer] = _entry(name, entry, path)
    at = 0
    for _, begin, end in sorted(found.values(), key=lambda item: item[1]):
        if begin != at:
            raise PackError(f"{path} is damaged: tensor data begins at {begin}, {at} was due; take it again")
        at = end
    if at != size:
        raise PackError(f"{path} is damaged: its tensors take {at} bytes, it has {size} of them; take it again")
    return found


def _entry(name: str, entry: Any, path: object) -> tuple[RawTensor, int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise PackError(f"{path} is damaged: {name} must have dtype, shape and data_offsets; take it again")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise PackError(f"{name} in {path} must be F32, F16 or BF16, got: {_brief(dtype)}; convert it")
    if not _wholes(shape) or not shape or not 1 <= shape[-1] <= MAX_HIDDEN or any(n != 1 for n in shape[:-1]):
        raise PackError(f"{name} in {path} must have shape (hidden_size,), got: {_brief(shape)}; write one row a layer")
    if not _wholes(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        raise PackError(
            f"{path} is damaged: {name} has data_offsets {_brief(offsets)} for shape {shape}; take it again"
        )
    return RawTensor(dtype, (shape[-1],), b""), offsets[0], offsets[1]


def _values(raw: RawTensor, data: bytes) -> np.ndarray:
    return values_of(RawTensor(raw.dtype, raw.shape, data)).astype(np.float32)


def _wholes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(item) is int and item >= 0 for item in value)


def _brief(value: Any) -> str:
    # The text of something nested as deeply as the parser allows can go beyond Python's own limit.
    return shown(value) if isinstance(value, str) or _wholes(value) else f"something else ({type(value).__name__})"


def _said(metadata: Any, key: str) -> str:
    value = metadata.get(key) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""
