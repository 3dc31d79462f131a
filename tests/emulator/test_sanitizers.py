"""The kernels under AddressSanitizer, UBSan and ThreadSanitizer, and with faults planted that these must find.

A fault is one edit in a copy of the kernels. Each names what must notice it: a sanitizer's report, NaN or wrong values
where the intact kernels are right, or the stand-in itself. An edit that no longer applies is an error, so that no
control rots unseen.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emulated
import emulator_build
import ops_cases as cases
import pytest
import torch
from emulated_cases import results

from ras_ext import reference


def _attention(dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    case = cases.attention(batch=1, heads=2, kv_heads=1, rows=70, keys=75, visual=20, width=40, dtype=dtype)
    case["text_rows"][:] = True
    return case


CASES = {
    "steer_": lambda: cases.steer(hidden=131),
    "add_rms_norm_steer_": lambda: cases.norm(n_rows=3, hidden=131),
    "risk_score": lambda: cases.score(batch=1, vocabulary=2051),
    "region_risk": lambda: cases.regions(batch=1, tokens=11, n_regions=3),
    "attention_peak_": _attention,
}
MORE = {
    "risk_score of many steps": lambda: cases.score(batch=1, steps=9, vocabulary=300),
    "attention_peak_ on tensor cores": lambda: _attention(torch.bfloat16),
    "steer_ on sixteen bits": lambda: cases.steer(hidden=131, dtype=torch.float16),
}


def near(operator: str, case: dict[str, Any], program: Path, folder: Path) -> bool:
    """Whether the program's results are those of the reference, to a few roundings of its types."""
    wanted = cases.copied(case)
    exact = results(operator, getattr(reference, operator)(**wanted), wanted)
    done, returned = emulated.run_program(program, operator, case, folder)
    assert done.returncode == 0, done.stderr
    got = results(operator, returned, case)
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(got, exact, strict=True))


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_the_kernels_are_clean(name, sanitizer, tmp_path):
    case = (CASES | MORE)[name]()
    assert near(name.split(" ")[0], case, emulator_build.build_program(sanitizer), tmp_path)


@dataclass(frozen=True)
class Fault:
    """One edit of one kernel file, the operator that runs over it, and who must notice."""

    file: str
    old: str
    new: str
    operator: str
    noticed_by: str  # "address", "thread" or "values"
    says: str = ""
    dtype: torch.dtype = torch.float32


FAULTS = {
    "a barrier less in a sum over the block": Fault(
        "reduce.cuh",
        "    scratch[warp] = value;\n  }\n  __syncthreads();\n  float sum",
        "    scratch[warp] = value;\n  }\n  float sum",
        "add_rms_norm_steer_",
        "thread",
        "data race",
    ),
    "a barrier less before the parts of a slice are merged": Fault(
        "risk_score.cuh", "  __syncthreads();\n", "", "risk_score", "thread", "data race"
    ),
    "the next tile lands while the last is read": Fault(
        "score_tile.cuh",
        "      __syncthreads();  // the tile is there for all",
        "      // the tile is there for all",
        "attention_peak_",
        "thread",
        "data race",
    ),
    "a row read past its end": Fault(
        "steer.cuh",
        "const int64_t count = a.hidden - column;",
        "const int64_t count = a.hidden - column + 1;",
        "steer_",
        "address",
        "heap-buffer-overflow",
    ),
    "a step past the plan's shared memory": Fault(
        "risk_score.cuh",
        "part.store(parts + warp * kFloats)",
        "part.store(parts + (warp + 1) * kFloats)",
        "risk_score",
        "address",
        "heap-buffer-overflow",
    ),
    "a slice past the scratch": Fault(
        "region_risk.cuh",
        "a.token[token] = risk",
        "a.token[token + 1] = risk",
        "region_risk",
        "address",
        "heap-buffer-overflow",
    ),
    "two registers of a fragment swapped": Fault(
        "score_tile.cuh",
        "{four[n % 2 * 2], four[n % 2 * 2 + 1]}",
        "{four[n % 2 * 2 + 1], four[n % 2 * 2]}",
        "attention_peak_",
        "values",
        dtype=torch.bfloat16,
    ),
    "a tile used before it has arrived": Fault(
        "score_tile.cuh",
        "      copies_arrived<kStages - 2>();\n",
        "",
        "attention_peak_",
        "values",
        dtype=torch.bfloat16,
    ),
    "a causal mask one key too wide": Fault(
        "attention_rows.cuh",
        "return min(past, row + offset + 1);",
        "return min(past, row + offset + 2);",
        "attention_peak_",
        "values",
    ),
    "sums that are not moved to the larger maximum": Fault(
        "score_part.cuh", "sum[i] *= factor[n] * factor[k];", "", "risk_score", "values"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name, tmp_path):
    fault = FAULTS[name]
    csrc = tmp_path / "csrc"
    shutil.copytree(emulator_build.ROOT / "csrc" / "kernels", csrc / "kernels")
    file = csrc / "kernels" / fault.file
    source = file.read_text()
    assert source.count(fault.old) >= 1, f"{fault.file} no longer holds {fault.old!r}: plant the fault anew"
    file.write_text(source.replace(fault.old, fault.new, 1))

    sanitizer = "plain" if fault.noticed_by == "values" else fault.noticed_by
    operator = fault.operator.rstrip("_")
    program = emulator_build.build_program(sanitizer, (operator,), csrc)
    case = _attention(fault.dtype) if fault.operator == "attention_peak_" else CASES[fault.operator]()
    if fault.noticed_by == "values":
        assert not near(fault.operator, case, program, tmp_path)
        return
    done, _ = emulated.run_program(program, fault.operator, case, tmp_path)
    assert done.returncode != 0
    assert fault.says in done.stderr
