"""What is measured: operators at the shapes of real models, with arguments as the runtime passes them.

D 4096 and V 32064 are LLaVA-1.5 7B's (576 visual tokens, 32 heads of 128), V 151936 a Qwen model's; logits rows are as
wide as the vocabulary. B is the number of requests, N the steps scored, T text rows, S keys, R regions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ras_ext.benchmark.operators import OPERATORS, Arguments, Operator, for_peers
from ras_ext.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Of results that are rounded to the type, or made from products of it.
_ROUNDED = {torch.float32: 1e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}


@dataclass(frozen=True)
class Case:
    """An operator at one shape, in one type, on one device."""

    op: str
    sizes: tuple[tuple[str, int], ...]
    dtype: torch.dtype
    device: torch.device

    @property
    def operator(self) -> Operator:
        return OPERATORS[self.op]

    @property
    def shape(self) -> str:
        """Such as ``B=8 N=3 V=32064``."""
        return self.operator.shape.format(**dict(self.sizes))

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def tolerance(self) -> float:
        """Up to which peers count as agreeing with ours."""
        return _ROUNDED[self.dtype if self.operator.rounds else torch.float32]

    def arguments(self) -> Arguments:
        """The same values every time."""
        torch.manual_seed(0)
        return self.operator.arguments(**dict(self.sizes), dtype=self.dtype, device=self.device)

    def peer_arguments(self) -> Arguments:
        """The same for a composition."""
        return for_peers(self.arguments())

    def results(self, arguments: Arguments, returned: Any) -> tuple[Tensor, ...]:
        """What a call gave: its return value, or the arguments ours writes."""
        return tuple(arguments[name] for name in self.operator.written) if returned is None else tuple(returned)


LLAVA = {"heads": 32, "kv_heads": 32, "chosen": 8, "rows": 64, "keys": 640, "visual": 576, "width": 128}
GROUPED = {"heads": 28, "kv_heads": 4, "chosen": 28, "rows": 256, "keys": 2304, "visual": 2048, "width": 128}
_REGIONS = {"tokens": 576, "hidden": 4096, "n_regions": 16}

# (operator, sizes); the first list is the two-minute selection, both together are the full one.
_QUICK: list[tuple[str, dict[str, int]]] = [
    ("steer_", {"batch": 1, "hidden": 4096}),
    ("steer_", {"batch": 64, "hidden": 4096}),
    ("steer_", {"batch": 8, "hidden": 151_936}),
    ("add_rms_norm_steer_", {"batch": 1, "hidden": 4096}),
    ("add_rms_norm_steer_", {"batch": 64, "hidden": 4096}),
    ("risk_score", {"batch": 1, "vocabulary": 32_064}),
    ("risk_score", {"batch": 8, "vocabulary": 151_936}),
    ("region_risk", {"batch": 1, **_REGIONS}),
    ("attention_peak_", {"batch": 1, **LLAVA}),
]
_MORE: list[tuple[str, dict[str, int]]] = [
    ("steer_", {"batch": 8, "hidden": 4096}),
    ("steer_", {"batch": 1, "hidden": 151_936}),
    ("steer_", {"batch": 64, "hidden": 151_936}),
    ("add_rms_norm_steer_", {"batch": 8, "hidden": 4096}),
    ("add_rms_norm_steer_", {"batch": 640, "hidden": 4096}),
    ("risk_score", {"batch": 8, "vocabulary": 32_064}),
    ("risk_score", {"batch": 64, "vocabulary": 32_064}),
    ("risk_score", {"batch": 1, "vocabulary": 151_936}),
    ("risk_score", {"batch": 64, "vocabulary": 151_936}),
    ("region_risk", {"batch": 8, **_REGIONS}),
    ("attention_peak_", {"batch": 4, **LLAVA}),
    ("attention_peak_", {"batch": 1, **GROUPED}),
]


def case(op: str, sizes: dict[str, int], dtype: torch.dtype, device: torch.device) -> Case:
    """One case of any shape."""
    return Case(op, tuple(sizes.items()), dtype, device)


def select(
    device: torch.device,
    *,
    ops: Iterable[str] = (),
    dtypes: Iterable[str] = ("float32", "bfloat16"),
    shapes: Iterable[str] = (),
    full: bool = False,
) -> list[Case]:
    """The cases of a selection.

    Args:
        device: where.
        ops: these operators only; empty for all.
        dtypes: of the inputs.
        shapes: these shapes only, as `Case.shape` writes them, among all of the full selection; empty for all.
        full: the long selection.

    Raises:
        InputError: an operator, type or shape that is not measured.
    """
    ops, shapes = list(dict.fromkeys(ops)) or list(OPERATORS), list(dict.fromkeys(shapes))
    dtypes = list(dict.fromkeys(dtypes))
    _known(ops, OPERATORS, "operator")
    _known(dtypes, DTYPES, "dtype")
    listed = [*_QUICK, *_MORE] if full or shapes else _QUICK
    order = list(OPERATORS)
    listed = sorted(
        (entry for entry in listed if entry[0] in ops),
        key=lambda entry: (order.index(entry[0]), *reversed(entry[1].values())),
    )
    found = [case(op, sizes, DTYPES[name], device) for op, sizes in listed for name in dtypes]
    if shapes:
        _known(shapes, {one.shape: None for one in found}, "measured shape of these operators")
    return [one for one in found if not shapes or one.shape in shapes]


def _known(given: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{name!r} is no {what}; known are {', '.join(known)}")
