"""The tensors of a pack, without torch: a safetensors writer that is the same bytes every time, and a strict reader.

The reader checks the header itself (names, types, sizes) and lets the safetensors library check the offsets.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import strict_json
from .errors import PackError
from .layout import TENSORS_FILE
from .schema import longest_schedule

if TYPE_CHECKING:
    import numpy as np

ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2}
HEADER_LIMIT = 65_535
_DOUBTFUL = bytes(ord("?") if byte & 0x7F == 0x7F else 0 for byte in range(256))
_DOUBTFUL_HALF = bytes(ord("?") if byte & 0x7C == 0x7C else 0 for byte in range(256))
# Of this file alone: no later schema of the config has changed what the tensors are.
TENSORS_VERSION = 1
REQUIRED = ("prototypes", "prototype_mixture")
OPTIONAL = ("safe_prototypes", "unsafe_direction", "center")
_AGAIN = "take the pack again from where it came"


@dataclass(frozen=True)
class RawTensor:
    """A dense row-major tensor: ``dtype`` F32, BF16 or F16, its shape, and its little-endian bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def encode(tensors: Mapping[str, RawTensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file with the tensors in the order of their names; equal tensors give equal bytes.

    ``metadata`` (text only) stands in the header instead of the schema version of a pack.
    """
    # The library's own writer puts metadata in random order, so that equal vectors would differ in their sha256.
    said = {"schema_version": str(TENSORS_VERSION)} if metadata is None else dict(metadata)
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **said}}
    offset = 0
    ordered = sorted(tensors.items(), key=lambda item: (-ITEM_BYTES.get(item[1].dtype, 1), item[0]))
    for name, tensor in ordered:
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(tensor.data for _, tensor in ordered)


def decode(raw: bytes) -> dict[str, RawTensor]:
    """Take a safetensors file apart. Raises PackError on a damaged or foreign file or an unknown tensor."""
    from safetensors import SafetensorError, deserialize

    _check_header(raw)
    try:
        parts = deserialize(raw)
    except SafetensorError as error:
        raise PackError(f"{TENSORS_FILE} is damaged ({strict_json.shown(str(error), 200)}); {_AGAIN}") from None
    return {
        name: RawTensor(str(part["dtype"]), tuple(int(size) for size in part["shape"]), bytes(part["data"]))
        for name, part in parts
    }


def check_tensors(tensors: Mapping[str, RawTensor], config: Mapping[str, Any]) -> None:
    """Check names, dtypes, shapes and values of all tensors against a checked config. Raises PackError."""
    check_shapes({name: tensor.shape for name, tensor in tensors.items()}, config)
    for name, tensor in tensors.items():
        if tensor.dtype not in ITEM_BYTES:
            raise PackError(f"tensor {name} must be F32, BF16 or F16, got: {tensor.dtype}; convert it and save again")
        expected = math.prod(tensor.shape) * ITEM_BYTES[tensor.dtype]
        if len(tensor.data) != expected:
            raise PackError(f"tensor {name} must have {expected} bytes, got: {len(tensor.data)}; {_AGAIN}")
        _check_values(name, tensor)


def check_shapes(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> None:
    """Check names and shapes: (N, D) prototypes with N at least the longest schedule, (V) mixture, (D) others."""
    hidden = config["base_model"]["hidden_size"]
    vocabulary = config["base_model"]["vocab_size"]
    shortest = longest_schedule(config)
    for name in REQUIRED:
        if name not in shapes:
            raise PackError(f"tensor {name} is missing; calibrate the model again")
    if config["method"]["token_risk"] is not None:
        for name in ("unsafe_direction", "center"):
            if name not in shapes:
                raise PackError(f"tensor {name} is missing, though method.token_risk is set; calibrate the model again")
    for name, shape in shapes.items():
        if name not in REQUIRED + OPTIONAL:
            raise PackError(f"tensor {name[:80]!r} is not known to this schema; leave it out")
        if name in ("prototypes", "safe_prototypes"):
            rule = f"(N >= {shortest}, {hidden})"
            fits = len(shape) == 2 and shortest <= shape[0] <= 4096 and shape[1] == hidden
        else:
            size = vocabulary if name == "prototype_mixture" else hidden
            rule = f"({size},)"
            fits = shape == (size,)
        if not fits:
            raise PackError(f"tensor {name} must have shape {rule}, got: {shape}; was it made for another model?")


def _check_header(raw: bytes) -> None:
    # A header within its limit leaves bytes 2 to 7 zero; a pickle's opcodes or frame never do.
    pickled = raw[:1] == b"\x80" and raw[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and any(raw[2:8])
    if pickled or raw[:4] == b"PK\x03\x04":
        raise PackError(f"{TENSORS_FILE} is a pickle or zip file, which is never opened; do not use this pack")
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or size > HEADER_LIMIT or size > len(raw) - 8:
        raise PackError(
            f"{TENSORS_FILE} is truncated or no safetensors file (header of {size} bytes, "
            f"{max(len(raw) - 8, 0)} follow, at most {HEADER_LIMIT} allowed); {_AGAIN}"
        )
    header = strict_json.parse(raw[8 : 8 + size], f"the header of {TENSORS_FILE}")
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if name not in REQUIRED + OPTIONAL:
            raise PackError(f"tensor {ascii(name)[:80]} is not known to this schema; leave it out")
        dtype = entry.get("dtype") if isinstance(entry, dict) else entry
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            shown = ascii(dtype)[:80]
            raise PackError(f"tensor {name} must be F32, BF16 or F16, got: {shown}; convert it and save again")


def _plainly_sound(tensor: RawTensor, probabilities: bool) -> bool:
    """True if the highest bytes alone show every entry to be sound, as they do of ordinary numbers; needs no numpy.

    They hold the sign and the upper bits of the exponent, which are all ones in an inf or NaN (and in what is huge).
    """
    size = ITEM_BYTES[tensor.dtype]
    highest = tensor.data[size - 1 :: size]
    doubtful = _DOUBTFUL_HALF if tensor.dtype == "F16" else _DOUBTFUL
    if b"?" in highest.translate(doubtful):
        return False
    # Without a sign bit nothing is negative; with any bit set something is above zero.
    return not probabilities or (highest.isascii() and tensor.data.count(0) < len(tensor.data))


def values_of(tensor: RawTensor) -> np.ndarray:
    """The entries of a tensor in its shape, f32 (F16 as f16); their number must fit the shape."""
    import numpy as np

    if tensor.dtype == "BF16":
        # bf16 is the upper half of f32: an exponent of all ones is inf or NaN.
        values = (np.frombuffer(tensor.data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(tensor.data, "<f4" if tensor.dtype == "F32" else "<f2")
    return values.reshape(tensor.shape)


def _check_values(name: str, tensor: RawTensor) -> None:
    if _plainly_sound(tensor, probabilities=name == "prototype_mixture"):
        return
    import numpy as np

    values = values_of(tensor).reshape(-1)
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        raise PackError(f"tensor {name} must be finite, got: {values[at]} at entry {at}; calibrate the model again")
    if name == "prototype_mixture" and (float(values.min()) < 0.0 or float(values.max()) == 0.0):
        raise PackError(
            f"tensor {name} must be a mixture of probabilities, got: values from {values.min()} to {values.max()}; "
            "calibrate the model again"
        )
