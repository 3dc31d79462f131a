"""Control vectors of llama.cpp: a GGUF file of architecture ``controlvector`` with F32 tensors ``direction.<layer>``.

llama.cpp adds ``direction.N`` behind decoder layer N (from 0), and refuses a file with a direction.0, another tensor
name, another dtype, or two sizes. Written by the gguf package. Read by a walk of its own: the package follows any
length that a file claims, and a hundred bytes can keep it busy without end.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError, PackError
from ..layout import MIB
from ..strict_json import shown
from .direction import MAX_HIDDEN, MAX_LAYERS, Direction, as_read
from .files import exactly, opened, write_whole

ARCHITECTURE = "controlvector"
MODEL_HINT = "controlvector.model_hint"
LAYER_COUNT = "controlvector.layer_count"
DESCRIPTION = "general.description"
KIND = "ras_ext.kind"
MAGIC = b"GGUF"
HEADER_LIMIT = MIB
_VERSIONS = (2, 3)
_MAX_KEYS = 1024
_NAME = re.compile(r"direction\.(0|[1-9][0-9]{0,4})")
_STRING, _ARRAY = 8, 9
# The codes of the GGUF specification: uint8, int8, uint16, int16, uint32, int32, float32, bool, uint64, int64, float64.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_F32 = 0


def write_gguf(direction: Direction, path: str | os.PathLike[str]) -> Path:
    """Write a control vector for ``llama.cpp --control-vector``; equal directions give equal bytes.

    Raises PackError for a direction with layer 0, which llama.cpp cannot steer, or if the file cannot be written;
    MissingExtraError without the gguf package.
    """
    try:
        from gguf import GGUFWriter
    except ImportError as error:
        raise MissingExtraError(
            f"GGUF files need the package {error.name or 'gguf'}; install it with `pip install 'ras-ext[interchange]'`"
        ) from None
    if 0 in direction.vectors:
        raise PackError(
            "a control vector cannot steer layer 0, llama.cpp refuses such a file; draw it at another layer"
        )

    def write(draft: Path) -> None:
        writer = GGUFWriter(draft, ARCHITECTURE)
        try:
            writer.add_string(MODEL_HINT, direction.model_hint)
            writer.add_uint32(LAYER_COUNT, len(direction.vectors))
            writer.add_string(DESCRIPTION, direction.notes)
            writer.add_string(KIND, direction.kind)
            for layer, values in direction.vectors.items():
                writer.add_tensor(f"direction.{layer}", values)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()

    return write_whole(path, write)


def read_gguf(path: str | os.PathLike[str]) -> Direction:
    """Read a control vector; needs no extra package. Raises PackError for every other or damaged file."""
    with opened(path) as (stream, size):
        header = _Header(exactly(stream, min(size, HEADER_LIMIT), path), size, Path(path))
        vectors = {}
        for entry in header.tensors:
            stream.seek(entry.start)
            data = exactly(stream, 4 * entry.length, path)
            vectors[entry.layer] = np.frombuffer(data, "<f4")
    hint, notes, kind = (header.text(key) for key in (MODEL_HINT, DESCRIPTION, KIND))
    return as_read(vectors, hint, kind, notes)


@dataclass(frozen=True)
class _Entry:
    layer: int
    length: int  # entries
    start: int  # bytes from the beginning of the file


class _Header:
    """The head of a file, walked with every length compared with what is there before it is followed."""

    def __init__(self, head: bytes, size: int, path: Path) -> None:
        self._head, self._at, self._path = head, 0, path
        if self._take(4) != MAGIC:
            raise PackError(f"{path} is no GGUF file; name a control vector such as llama.cpp or repeng writes")
        version = self._number("I")
        if version not in _VERSIONS:
            raise self._fault(f"its version is {version}, known are {_VERSIONS[0]} and {_VERSIONS[1]}")
        n_tensors, n_keys = self._number("Q"), self._number("Q")
        if n_keys > _MAX_KEYS or not 1 <= n_tensors <= MAX_LAYERS:
            raise self._fault(
                f"it claims {n_keys} keys and {n_tensors} tensors, at most {_MAX_KEYS} and {MAX_LAYERS} are read"
            )
        self.keys: dict[str, Any] = {}
        for _ in range(n_keys):
            key = self._text()
            if key in self.keys:
                raise self._fault(f"it has the key {shown(key)!r} twice")
            self.keys[key] = self._value(self._number("I"))
        if self.keys.get("general.architecture") != ARCHITECTURE:
            found = shown(self.keys.get("general.architecture"))
            raise PackError(f"{path} is not a control vector, its architecture is {found}; name a control vector")
        infos = [self._info() for _ in range(n_tensors)]
        self.tensors = self._placed(infos, size)

    def text(self, key: str) -> str:
        value = self.keys.get(key, "")
        return value if isinstance(value, str) else ""

    def _info(self) -> tuple[int, int, int]:
        name = self._text()
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) == 0:
            raise self._fault(f"it has a tensor {shown(name)!r}, but holds only direction.1, direction.2, …")
        n_dims = self._number("I")
        dims = [self._number("Q") for _ in range(n_dims)] if 1 <= n_dims <= 4 else []
        if not dims or not 1 <= dims[0] <= MAX_HIDDEN or any(size != 1 for size in dims[1:]):
            raise self._fault(f"{name} must have shape (hidden_size,), got: {dims or f'{n_dims} dimensions'}")
        dtype, offset = self._number("I"), self._number("Q")
        if dtype != _F32:
            raise self._fault(f"{name} must be F32, got: GGML type {dtype}")
        return int(match[1]), dims[0], offset

    def _placed(self, infos: list[tuple[int, int, int]], size: int) -> list[_Entry]:
        alignment = self.keys.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 2**16 or alignment & (alignment - 1):
            raise self._fault(f"its alignment must be a power of two, got: {shown(alignment)}")
        base = -(-self._at // alignment) * alignment
        entries = sorted((_Entry(layer, n, base + offset) for layer, n, offset in infos), key=lambda entry: entry.start)
        end = base
        for entry in entries:
            if entry.start < end or entry.start % alignment or entry.start + 4 * entry.length > size:
                raise self._fault(f"direction.{entry.layer} lies over another tensor or beyond the end")
            end = entry.start + 4 * entry.length
        layers = [entry.layer for entry in entries]
        if len(set(layers)) != len(layers):
            raise self._fault("it names one layer twice")
        return entries

    def _value(self, code: int) -> Any:
        if code == _STRING:
            return self._text()
        if code in _SCALARS:
            return self._number(_SCALARS[code])
        if code != _ARRAY:
            raise self._fault(f"it has a value of type {code}, which GGUF does not know")
        inner, count = self._number("I"), self._number("Q")
        if inner == _STRING:
            # Each takes eight bytes at least, so the end of the file comes before a claimed length does.
            for _ in range(count):
                self._text()
        elif inner in _SCALARS:
            self._take(count * struct.calcsize(_SCALARS[inner]))
        else:
            raise self._fault(f"it has an array of type {inner}, which a control vector does not need")
        return None

    def _text(self) -> str:
        raw = self._take(self._number("Q"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._fault(f"it has text that is not UTF-8: {shown(raw[:40])}") from None

    def _number(self, code: str) -> Any:
        return struct.unpack("<" + code, self._take(struct.calcsize("<" + code)))[0]

    def _take(self, count: int) -> bytes:
        if count > len(self._head) - self._at:
            raise self._fault(f"its header is cut short, or longer than the {HEADER_LIMIT} bytes that are read")
        self._at += count
        return self._head[self._at - count : self._at]

    def _fault(self, reason: str) -> PackError:
        return PackError(f"{self._path} cannot be used as a control vector: {reason}; make the file anew")
