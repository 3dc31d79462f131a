"""Two packs side by side: which fields, files and tensors differ, and by how much the vectors turned.

Cosines are taken row by row in f64: 1 where a calibration found the same direction again, whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .pack import Pack
from .strict_json import shown
from .tensors import RawTensor, values_of

SECTIONS = ("name", "base_model", "method", "prompts", "calibration", "evidence")
_WIDTH = 60


@dataclass(frozen=True)
class FieldChange:
    """A field that differs; ``change`` is ``changed``, ``added`` (only b has it) or ``removed`` (only a had it)."""

    path: str
    change: str
    old: Any = None
    new: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Without the side that does not have the field."""
        sides = {"changed": ("old", "new"), "added": ("new",), "removed": ("old",)}[self.change]
        return {"path": self.path, "change": self.change, **{side: getattr(self, side) for side in sides}}

    def sides(self) -> tuple[str, str, str]:
        """For a table: the path, and what stands on either side."""
        old = "(none)" if self.change == "added" else _brief(self.old)
        new = "(none)" if self.change == "removed" else _brief(self.new)
        return self.path, old, new

    def __str__(self) -> str:
        path, old, new = self.sides()
        return f"{path}: {old} → {new}"


@dataclass(frozen=True)
class TensorComparison:
    """A tensor that a, b or both have: dtypes and shapes (``None``: not there), equal bytes, and cosines.

    ``cosines`` has one entry for each row that both have (one in all for a vector), ``None`` where a row is all zero;
    it is ``None`` as a whole where the rows have different lengths or one side is missing.
    """

    name: str
    dtypes: tuple[str | None, str | None]
    shapes: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    same: bool
    cosines: tuple[float | None, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        shapes = [None if shape is None else list(shape) for shape in self.shapes]
        cosines = None if self.cosines is None else list(self.cosines)
        return {"name": self.name, "dtypes": list(self.dtypes), "shapes": shapes, "same": self.same, "cosines": cosines}

    def cells(self) -> tuple[str, str, str]:
        """For a table: the name, dtype and shape, and how the rows lie to each other."""
        sides = [_side(dtype, shape) for dtype, shape in zip(self.dtypes, self.shapes, strict=True)]
        what = sides[0] if sides[0] == sides[1] else " → ".join(sides)
        if self.same:
            return self.name, what, "same bytes"
        cosines = ["undefined" if cosine is None else f"{cosine:.4f}" for cosine in self.cosines or ()]
        return self.name, what, ", ".join(cosines)

    def __str__(self) -> str:
        name, what, cosines = self.cells()
        if self.same or not cosines:
            return f"{name}: {what}" + (f", {cosines}" if cosines else "")
        return f"{name}: {what}, cosine {cosines}"


@dataclass(frozen=True)
class PackDiff:
    """What sets pack b apart from pack a. ``names`` and ``digests`` are (of a, of b).

    ``same_digest``: every byte is equal. ``same_content``: base model, method, prompts and tensors are, so that both do
    the same. ``fields`` and ``files`` (card and evidence, by path) list what differs, ``tensors`` all there are.
    """

    names: tuple[str, str]
    digests: tuple[str, str]
    same_digest: bool
    same_content: bool
    fields: tuple[FieldChange, ...]
    tensors: tuple[TensorComparison, ...]
    files: tuple[FieldChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: lists and plain values only."""
        return {
            "names": list(self.names),
            "digests": list(self.digests),
            "same_digest": self.same_digest,
            "same_content": self.same_content,
            "fields": [entry.to_dict() for entry in self.fields],
            "tensors": [entry.to_dict() for entry in self.tensors],
            "files": [entry.to_dict() for entry in self.files],
        }

    def lines(self) -> list[str]:
        """For a person, one finding a line; the first says how far the two agree."""
        if self.same_digest:
            return ["the same bytes"]
        verdict = (
            "the same content (base model, method, prompts, tensors)" if self.same_content else "different content"
        )
        files = [f"{entry.path}: {entry.change}" for entry in self.files]
        return [verdict, *map(str, self.fields), *map(str, self.tensors), *files]


def diff_packs(a: Pack, b: Pack) -> PackDiff:
    """Compare two checked packs; raises nothing for packs that :func:`read_pack` returned."""
    before, after = a.config["files"], b.config["files"]
    # The hash of the tensor file says nothing that the tensors do not say better.
    listed = [name for name in sorted({*before, *after}) if not name.endswith(".safetensors")]
    return PackDiff(
        names=(a.config["name"], b.config["name"]),
        digests=(a.digest, b.digest),
        same_digest=a.digest == b.digest,
        same_content=a.content_sha256 == b.content_sha256,
        fields=tuple(_fields(a.config, b.config)),
        tensors=tuple(
            _tensor(name, a.tensors.get(name), b.tensors.get(name)) for name in sorted({*a.tensors, *b.tensors})
        ),
        files=tuple(
            _changes(
                {(name,): before[name] for name in listed if name in before},
                {(name,): after[name] for name in listed if name in after},
            )
        ),
    )


def _fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[FieldChange]:
    rest = sorted(({*a} | {*b}) - {*SECTIONS, "files"})
    for section in (*SECTIONS, *rest):
        yield from _changes(dict(_flat(a, section)), dict(_flat(b, section)))


def _changes(old: Mapping[tuple[str, ...], Any], new: Mapping[tuple[str, ...], Any]) -> Iterator[FieldChange]:
    for path in (*old, *(path for path in new if path not in old)):
        dotted = ".".join(path)
        if path not in new:
            yield FieldChange(dotted, "removed", old=old[path])
        elif path not in old:
            yield FieldChange(dotted, "added", new=new[path])
        elif not _equal(old[path], new[path]):
            yield FieldChange(dotted, "changed", old[path], new[path])


def _flat(value: Mapping[str, Any], *keys: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of every leaf below the last key; a path is a tuple, since a key may hold a dot itself."""
    if keys[-1] not in value:
        return
    inner = value[keys[-1]]
    if not isinstance(inner, Mapping) or not inner:
        yield keys, inner
        return
    for key in inner:
        yield from _flat(inner, *keys, key)


def _equal(left: Any, right: Any) -> bool:
    # To Python True is 1; to JSON it is not.
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return set(left) == set(right) and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _tensor(name: str, a: RawTensor | None, b: RawTensor | None) -> TensorComparison:
    dtypes = (None if a is None else a.dtype, None if b is None else b.dtype)
    shapes = (None if a is None else a.shape, None if b is None else b.shape)
    if a is None or b is None:
        return TensorComparison(name, dtypes, shapes, False)
    return TensorComparison(name, dtypes, shapes, a == b, _cosines(a, b))


def _cosines(a: RawTensor, b: RawTensor) -> tuple[float | None, ...] | None:
    import numpy as np

    left, right = (np.atleast_2d(values_of(tensor)).astype(np.float64) for tensor in (a, b))
    if left.shape[1] != right.shape[1]:
        return None
    cosines: list[float | None] = []
    for one, other in zip(left, right, strict=False):
        lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
        cosines.append(float(np.clip(one @ other / lengths, -1.0, 1.0)) if lengths > 0.0 else None)
    return tuple(cosines)


def _side(dtype: str | None, shape: tuple[int, ...] | None) -> str:
    return "(none)" if dtype is None or shape is None else f"{dtype} ({', '.join(map(str, shape))})"


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and 0 < len(value) <= 6 and all(isinstance(one, float) for one in value):
        return ", ".join(map(_brief, value))
    if isinstance(value, (list, tuple)) and len(value) > 6:
        return f"{len(value)} entries"
    return shown(value, _WIDTH)
