"""Loading vectors by name: the registry finds and checks the pack, the vectors check the model; calibrates if asked to.

Stands above the artefact and the registry; calibration is imported only when a pack is missing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ras_ext.errors import InputError, PackError, PackNotFoundError
from ras_ext.registry.notices import say_once
from ras_ext.registry.pack import read_pack
from ras_ext.registry.resolve import keep_made_here, locate
from ras_ext.vectors import SteeringVectors

IF_MISSING = ("error", "calibrate")


def load_vectors(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    model: Any = None,
    processor: Any = None,
    allow_mismatch: Sequence[str] = (),
    if_missing: str = "error",
    lock: str | os.PathLike[str] | None = None,
    registry: str | os.PathLike[str] | None = None,
    refresh: bool = False,
    require_signature: bool = False,
    trusted_keys: Sequence[str | os.PathLike[str]] = (),
    trust: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> SteeringVectors:
    """Load vectors by alias (``"llava-1.5"``), Hub name, folder, address in a folder registry, or ``builtin:organism``.

    A name that was fetched before is loaded from this machine without asking anybody; ``refresh`` asks.

    Args:
        revision: a commit, branch or tag (``v2``); only a commit means the same bytes everywhere.
        model, processor: what the vectors must be made for; ``allow_mismatch`` names fields that may differ.
        if_missing: ``"calibrate"`` makes vectors for ``model`` where no pack is published under the name, keeps them on
            this machine under it, and says so; they are not used where a signature is required.
        lock: a lock file (default RAS_EXT_LOCK), which then decides what the name stands for.
        registry: a folder registry (default RAS_EXT_REGISTRY) in which names are looked for instead of on the Hub.
        require_signature, trusted_keys, trust: refuse what no accepted key has signed; keys are paths or PEM text, the
            trust file (default RAS_EXT_TRUST) holds them by namespace.
        token, cache_dir, local_files_only: as everywhere in transformers.

    Raises:
        PackNotFoundError: nothing is published under the name; the message says how to make it.
        PackMismatchError: the vectors were made for another model.
        SignatureError, RegistryError, PackError: not signed as required, out of reach, damaged.
        InputError: the settings contradict each other.
    """
    if if_missing not in IF_MISSING:
        raise InputError(f"if_missing must be one of {', '.join(IF_MISSING)}, got: {if_missing!r}")
    if if_missing == "calibrate" and (model is None or processor is None):
        raise InputError("if_missing='calibrate' needs the model and the processor to calibrate; give both")
    try:
        pack = locate(
            name,
            revision=revision,
            lock=lock,
            registry=registry,
            refresh=refresh,
            require_signature=require_signature,
            trusted_keys=trusted_keys,
            trust=trust,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            for_this_model=None if model is None else _fits(model, processor, allow_mismatch),
        ).pack
    except PackNotFoundError as error:
        pinned = lock or os.environ.get("RAS_EXT_LOCK") or revision or require_signature or trusted_keys
        if if_missing != "calibrate" or pinned:
            raise
        return _calibrated(name, model, processor, cache_dir, error)
    vectors = SteeringVectors.from_pack(pack)
    if model is not None:
        vectors.check(model, processor, allow_mismatch)
    return vectors


def _fits(model: Any, processor: Any, allow_mismatch: Sequence[str]) -> Any:
    def fits(pack: Any) -> bool:
        try:
            SteeringVectors.from_pack(pack).check(model, processor, allow_mismatch)
        except PackError:
            return False
        return True

    return fits


def _calibrated(
    name: str | os.PathLike[str],
    model: Any,
    processor: Any,
    cache_dir: str | os.PathLike[str] | None,
    why: PackNotFoundError,
) -> SteeringVectors:
    from ras_ext.calibration import calibrate

    text = os.fspath(name)
    say_once(f"{str(why).split(';')[0]}; calibrating the model at hand instead, once")
    vectors = calibrate(model, processor, schedule="auto")
    with TemporaryDirectory() as scratch:
        kept = keep_made_here(read_pack(vectors.save(Path(scratch) / "pack")), text, cache_dir)
    say_once(f"the vectors calibrated for {text} are kept in {kept.path} and are used for this name on this machine")
    return SteeringVectors.from_pack(kept)
