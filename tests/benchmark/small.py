"""Cases small enough to measure in a test, one an operator."""

from __future__ import annotations

import torch

from ras_ext.benchmark.cases import Case, case

CPU = torch.device("cpu")
SIZES: dict[str, dict[str, int]] = {
    "steer_": {"batch": 3, "hidden": 65},
    "add_rms_norm_steer_": {"batch": 3, "hidden": 64},
    "risk_score": {"batch": 2, "vocabulary": 501},
    "region_risk": {"batch": 2, "tokens": 9, "hidden": 33, "n_regions": 4},
    "attention_peak_": {
        "batch": 2,
        "heads": 6,
        "kv_heads": 3,
        "chosen": 3,
        "rows": 5,
        "keys": 21,
        "visual": 16,
        "width": 32,
    },
}


def small(op: str, dtype: torch.dtype = torch.float32) -> Case:
    """An operator at a small shape."""
    return case(op, SIZES[op], dtype, CPU)
