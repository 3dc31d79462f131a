"""One vector per layer, as other steering tools know it, and how it is drawn from a pack.

With w_n = γ^(n−1) / Σ γ^(m−1) over the scored tokens, as the risk score weighs them:
refusal = Σ_n w_n (μ^n − safe μ^n), prototype = Σ_n w_n μ^n, unsafe = the pack's unsafe_direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import PackError
from ..pack import Pack
from ..strict_json import fault, shown
from ..tensors import values_of

KINDS = ("refusal", "unsafe", "prototype")
PLAIN = "plain"  # of a file that does not say what its vectors are
MAX_LAYERS = 256
MAX_HIDDEN = 2**20
TEXT_LIMITS = {"model_hint": 400, "kind": 40, "notes": 4000}
UNKNOWN_MODEL = "unknown"

WHAT_IS_LOST = (
    "Drawn from a ras_ext pack, of which it is a part only. It pulls every token of every request alike: there is no "
    "risk score in it, no schedule over the first tokens, no control of over-refusal. "
)
AFTER_NORM = (
    "The pack steers the state after the final norm; this acts on the residual stream of a layer, before that norm, "
    "whose scale and gains are not undone: find its strength by trial."
)
AT_LAYER = "It points from safe toward unsafe: find its sign and its strength by trial."


@dataclass(frozen=True, eq=False)
class Direction:
    """Steering vectors by layer, to be added to the residual stream behind that decoder layer (counted from 0).

    ``vectors`` are f32 (hidden_size), finite, of one size; ``model_hint`` names the model in words; ``kind`` is one of
    ``refusal``, ``unsafe``, ``prototype``, or ``plain`` where a file does not say; ``notes`` travel with the file.
    Raises PackError for vectors that are not so.
    """

    vectors: Mapping[int, np.ndarray]
    model_hint: str = UNKNOWN_MODEL
    kind: str = PLAIN
    notes: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.vectors) <= MAX_LAYERS:
            raise PackError(f"a direction must have 1 to {MAX_LAYERS} layers, got: {len(self.vectors)}; give others")
        kept: dict[int, np.ndarray] = {}
        for layer, values in sorted(self.vectors.items()):
            kept[_layer(layer)] = _vector(layer, values)
        sizes = {values.size: layer for layer, values in kept.items()}
        if len(sizes) > 1:
            listed = ", ".join(f"{size} at layer {layer}" for size, layer in sorted(sizes.items())[:4])
            raise PackError(
                f"the vectors of a direction must have one size, got: {listed}; they are of different models"
            )
        object.__setattr__(self, "vectors", kept)
        for name, limit in TEXT_LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > limit or fault(value, name):
                raise PackError(f"{name} must be text of at most {limit} characters, got: {shown(value)}; shorten it")

    @property
    def hidden_size(self) -> int:
        """The number of entries of each vector."""
        return int(next(iter(self.vectors.values())).size)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a vector, in order."""
        return tuple(self.vectors)


def as_read(vectors: Mapping[int, np.ndarray], model_hint: str, kind: str, notes: str) -> Direction:
    """A direction from a file of whatever origin, its texts cut to what is kept of them. Raises PackError."""
    hint, said = model_hint[: TEXT_LIMITS["model_hint"]], notes[: TEXT_LIMITS["notes"]]
    return Direction(vectors, hint or UNKNOWN_MODEL, kind if kind in KINDS else PLAIN, said)


def direction_of(pack: Pack, kind: str = "refusal", *, layer: int | None = None) -> Direction:
    """The direction of a checked pack, at one layer: ``refusal``, ``unsafe`` or ``prototype`` (formulas above).

    ``layer`` (from 0) defaults to the one nearest to where the vector was taken: the last layer, for ``unsafe`` the
    layer of ``method.token_risk``. Raises PackError if the pack has no such tensor or no such layer.
    """
    if kind not in KINDS:
        raise PackError(f"a direction is one of {', '.join(KINDS)}, got: {str(kind)[:40]!r}; name one of these")
    n_layers = pack.config["base_model"]["n_layers"]
    if layer is None:
        layer = _own_layer(pack) if kind == "unsafe" else n_layers - 1
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < n_layers:
        raise PackError(f"layer must be one of the model's, 0 to {n_layers - 1}, got: {layer!r}; name another one")
    with np.errstate(over="ignore"):  # what does not fit f32 is refused as not finite
        values = _drawn(pack, kind).astype(np.float32)
    where = AT_LAYER if kind == "unsafe" else AFTER_NORM
    return Direction({layer: values}, pack.config["base_model"]["id"], kind, WHAT_IS_LOST + where)


def _drawn(pack: Pack, kind: str) -> np.ndarray:
    if kind == "unsafe":
        return _tensor(pack, "unsafe_direction", kind)
    prototypes = _tensor(pack, "prototypes", kind)
    steps = min(pack.config["method"]["n_score"], len(prototypes))
    if kind == "refusal":
        safe = _tensor(pack, "safe_prototypes", kind)
        steps = min(steps, len(safe))
        prototypes = prototypes[:steps] - safe[:steps]
    weights = float(pack.config["method"]["gamma"]) ** np.arange(steps)
    return weights / weights.sum() @ prototypes[:steps]


def _tensor(pack: Pack, name: str, kind: str) -> np.ndarray:
    if name not in pack.tensors:
        held = ", ".join(entry for entry, needed in _NEEDED.items() if needed <= set(pack.tensors))
        raise PackError(
            f"the pack {pack.config['name']} has no {name}, which the direction {kind!r} is made of; it has those for: "
            f"{held}"
        )
    return values_of(pack.tensors[name]).astype(np.float64)


_NEEDED = {
    "refusal": {"prototypes", "safe_prototypes"},
    "unsafe": {"unsafe_direction"},
    "prototype": {"prototypes"},
}


def _own_layer(pack: Pack) -> int:
    # token_risk counts states: 0 is the embedding, n the state behind layer n − 1.
    token_risk = pack.config["method"]["token_risk"]
    if token_risk is None:
        return int(pack.config["base_model"]["n_layers"]) - 1
    if token_risk["layer"] == 0:
        raise PackError(
            "the unsafe direction of this pack lies before the first layer; name the layer it should act on"
        )
    return int(token_risk["layer"]) - 1


def _layer(layer: object) -> int:
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < 2**16:
        raise PackError(f"a layer must be a whole number from 0 to {2**16 - 1}, got: {str(layer)[:40]!r}; correct it")
    return layer


def _vector(layer: int, values: np.ndarray) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != 1 or not 1 <= values.size <= MAX_HIDDEN:
        shape = values.shape if isinstance(values, np.ndarray) else type(values).__name__
        raise PackError(f"the vector of layer {layer} must have shape (hidden_size,), got: {shape}; flatten it first")
    if values.dtype.kind != "f":
        raise PackError(f"the vector of layer {layer} must be floating point, got: {values.dtype}; convert it")
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(kept).all():
        raise PackError(f"the vector of layer {layer} must be finite in f32, got: inf or NaN among its entries")
    return kept
