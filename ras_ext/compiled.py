"""Finds and loads the compiled operators: ``_C`` (schemas, CPU) and, where torch has CUDA, ``_C_cuda``.

Loading registers ``torch.ops.ras_ext.*``. What cannot be loaded is said once, with the reason, and the plain-torch
reference serves in its place; ``RAS_EXT_REQUIRE_COMPILED=1`` makes it a `CompiledLibraryError` instead.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from ras_ext.elf import truncated
from ras_ext.errors import CompiledLibraryError
from ras_ext.registry.errors import first_line

OPERATORS = ("attention_peak_", "region_risk", "risk_score", "steer_", "add_rms_norm_steer_")


@dataclass(frozen=True)
class Status:
    """What is loaded.

    Attributes:
        cpu_ops: the operators and their CPU implementations are registered.
        cuda_ops: CUDA implementations are registered.
        cuda_archs: compute capabilities the CUDA library has machine code for, such as ``"9.0"``.
        why: one sentence on what is not there and why; empty when nothing is missing.
    """

    cpu_ops: bool
    cuda_ops: bool
    cuda_archs: list[str]
    why: str


# What is loaded, and the (operator, device type) pairs that have a compiled implementation.
_loaded: tuple[Status, frozenset[tuple[str, str]]] | None = None
_said: set[str] = set()


def status() -> Status:
    """What is loaded, loading it first if nobody has yet."""
    return load()


def load() -> Status:
    """Loads the compiled libraries once; further calls return the first result.

    Raises:
        CompiledLibraryError: with ``RAS_EXT_REQUIRE_COMPILED=1``, when a library is missing or broken.
    """
    return _once()[0]


def _once() -> tuple[Status, frozenset[tuple[str, str]]]:
    global _loaded
    if _loaded is None:
        _loaded = _load(Path(__file__).resolve().parent)
    return _loaded


def serves(operator: str, device_type: str) -> bool:
    """Whether a compiled implementation is loaded; the first time one is not, says that the reference serves.

    Raises:
        CompiledLibraryError: with ``RAS_EXT_REQUIRE_COMPILED=1``, when there is none.
    """
    found, served = _once()
    if (operator, device_type) in served:
        return True
    if found.cpu_ops:  # without any library, loading has said so already
        _missing(f"no compiled ras_ext::{operator} for {device_type} is loaded{_because(found, device_type)}")
    return False


def _because(found: Status, device_type: str) -> str:
    return f" ({found.why})" if device_type == "cuda" and found.why else ""


def _missing(why: str) -> None:
    if os.environ.get("RAS_EXT_REQUIRE_COMPILED", "0") not in ("", "0"):
        raise CompiledLibraryError(f"RAS_EXT_REQUIRE_COMPILED is set, but {why}")
    if why not in _said:
        _said.add(why)
        warnings.warn(f"ras_ext: {why}; the slower plain-torch reference is used", RuntimeWarning, stacklevel=2)


def _load(folder: Path) -> tuple[Status, frozenset[tuple[str, str]]]:
    why = _load_library(folder, "_C")
    if why:
        _missing(why)
        return Status(False, False, [], why), frozenset()
    unknown = [name for name in OPERATORS if not hasattr(torch.ops.ras_ext, name)]
    if unknown:
        why = f"the compiled library in {folder} lacks {', '.join(unknown)}; build it again from these sources"
        _missing(why)
        return Status(False, False, [], why), frozenset()

    if torch.version.cuda is None:
        why = f"no CUDA operators: torch {torch.__version__} is a build without CUDA"
    elif not list(folder.glob("_C_cuda.*")):
        why = "no CUDA operators: ras_ext was built without the CUDA library (see RAS_EXT_CUDA in setup.py)"
    elif why := _load_library(folder, "_C_cuda"):
        _missing(why)
    cuda = not why
    archs = torch.ops.ras_ext.cuda_archs().split() if cuda else []
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    keys = {"cpu": "CPU", "cuda": "CUDA"}
    found = {(name, kind) for name in OPERATORS for kind, key in keys.items() if has_kernel(f"ras_ext::{name}", key)}
    # Shapes alone are inferred by the registered fakes.
    found |= {(name, "meta") for name in OPERATORS}
    return Status(True, cuda, archs, why), frozenset(found)


def _load_library(folder: Path, name: str) -> str:
    """Loads a library; the reason in one clause if it could not be."""
    files = sorted(path for path in folder.glob(f"{name}.*") if path.suffix in (".so", ".pyd", ".dylib"))
    if not files:
        return f"the compiled library {name} is not in {folder}; install ras_ext with a C++ compiler at hand"
    path = files[0]
    if truncated(path):
        return f"the compiled library {path} is cut short; install ras_ext again"
    try:
        torch.ops.load_library(path)
    except (OSError, RuntimeError) as error:
        reason = first_line(error.__cause__ or error)
        return f"the compiled library {path} cannot be loaded ({reason}); install ras_ext again for this torch"
    return ""
