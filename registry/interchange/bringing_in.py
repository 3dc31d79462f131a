"""A plain steering vector becomes a part of a pack: its ``unsafe_direction``, the one tensor that is a plain direction.

The prototypes cannot come from such a file: they are states, and what is scored against them needs the model's LM head.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import PackError
from ..layout import EVIDENCE_FOLDER
from ..pack import Pack, read_pack, write_pack
from ..swap import check_target
from ..tensors import RawTensor
from .control_vector import MAGIC, read_gguf
from .direction import PLAIN, Direction
from .files import opened
from .plain import read_safetensors


def read_direction(path: str | os.PathLike[str]) -> Direction:
    """Read a GGUF control vector or a plain safetensors file, whichever it is. Raises PackError."""
    with opened(path) as (stream, _):
        gguf = stream.read(len(MAGIC)) == MAGIC
    return read_gguf(path) if gguf else read_safetensors(path)


def import_direction(
    pack_folder: str | os.PathLike[str],
    file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    layer: int | None = None,
) -> Pack:
    """Write to ``out`` the pack in ``pack_folder`` with the vector in ``file`` as its ``unsafe_direction`` (D), F32.

    ``layer`` chooses among several in the file. Everything else of the pack stays; ``calibration.imported_direction``
    says where the vector came from. Raises PackError if the vector does not fit the pack, with nothing written.
    """
    pack = read_pack(pack_folder)
    check_target(out)
    direction = read_direction(file)
    name, base = pack.config["name"], pack.config["base_model"]
    if direction.kind not in ("unsafe", PLAIN):
        raise PackError(
            f"{os.fspath(file)} holds a {direction.kind} direction, drawn from states after the final norm and not at "
            "a layer; give one that was taken at a layer"
        )
    if direction.hidden_size != base["hidden_size"]:
        raise PackError(
            f"{os.fspath(file)} has vectors of {direction.hidden_size} entries, but the model of the pack {name} has "
            f"hidden size {base['hidden_size']}; it was made for another model"
        )
    if pack.config["method"]["token_risk"] is not None:
        raise PackError(
            f"the pack {name} has a token_risk whose slope and bias were calibrated for its own unsafe_direction; "
            "take a pack without one"
        )
    chosen = _chosen(direction, layer, base["n_layers"], file)
    values = direction.vectors[chosen]
    tensors = {**pack.tensors, "unsafe_direction": RawTensor("F32", values.shape, values.astype("<f4").tobytes())}
    config = {key: value for key, value in pack.config.items() if key != "files"}
    came_from = {
        "file": Path(file).name,
        "sha256": hashlib.sha256(tensors["unsafe_direction"].data).hexdigest(),
        "layer": chosen,
        "model_hint": direction.model_hint[:400],
    }
    config["calibration"] = {**config["calibration"], "imported_direction": came_from}
    evidence = {name: data for name, data in pack.files.items() if name.startswith(EVIDENCE_FOLDER + "/")}
    return write_pack(out, config, tensors, evidence)


def _chosen(direction: Direction, layer: int | None, n_layers: int, file: str | os.PathLike[str]) -> int:
    held = ", ".join(map(str, direction.layers[:8])) + (", …" if len(direction.layers) > 8 else "")
    if layer is None and len(direction.layers) > 1:
        raise PackError(f"{os.fspath(file)} has vectors for the layers {held}; name one of them as layer")
    chosen = direction.layers[0] if layer is None else layer
    if chosen not in direction.vectors:
        raise PackError(f"{os.fspath(file)} has no vector for layer {chosen!r}, it has: {held}; name one of these")
    if chosen >= n_layers:
        raise PackError(
            f"{os.fspath(file)} has a vector for layer {chosen}, but the pack's model has layers 0 to {n_layers - 1}; "
            "it was made for another model"
        )
    return chosen
