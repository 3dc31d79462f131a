"""Whether a model fits where it is to be put, asked before it is opened: a machine that swaps answers nobody."""

from __future__ import annotations

from pathlib import Path

from ras_ext.errors import ModelError

_WEIGHTS = (".safetensors", ".bin")
_SPARE = 1.1  # beside the weights: caches, and what an answer needs
_GIB = 1 << 30


def size_of(name: str, place: str) -> int | None:
    """Bytes of a model's weights: of its folder, or as the Hub lists or keeps them; None where nobody says."""
    folder = Path(place)
    if folder.is_dir():
        return _largest({path.name: path.stat().st_size for path in folder.iterdir() if path.suffix in _WEIGHTS})
    from huggingface_hub import HfApi

    from ras_ext.registry.home import offline

    if offline():
        return None
    try:
        listed = HfApi().model_info(place, files_metadata=True, timeout=10).siblings or []
    except Exception:  # the client's HTTP library has errors of its own, and changes with its version
        return None  # opening it will say what is wrong
    return _largest({one.rfilename: one.size or 0 for one in listed if one.rfilename.endswith(_WEIGHTS)})


def available(device: str | None) -> int:
    """Bytes that are free where a model would be put."""
    import torch

    if device is not None and device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    with open("/proc/meminfo", encoding="ascii") as lines:
        fields = dict(line.split(":") for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def must_fit(name: str, place: str, device: str | None) -> None:
    """Raises ModelError, with both sizes, where the weights are larger than what is free."""
    try:
        free = available(device)
    except Exception:
        return  # a system that does not say, or a device that is not there: opening it will say so
    needed = size_of(name, place)
    if needed is not None and needed * _SPARE > free:
        where = device or "cpu"
        raise ModelError(
            f"the model {name} does not fit: its weights are {needed / _GIB:.1f} GiB, and {where} has "
            f"{free / _GIB:.1f} GiB free; take a smaller or quantised checkpoint, or another machine"
        )


def _largest(files: dict[str, int]) -> int | None:
    """Checkpoints are often stored twice, as safetensors and as pickles: only one of them is opened."""
    sizes = [sum(size for file, size in files.items() if file.endswith(kind)) for kind in _WEIGHTS]
    return next((size for size in sizes if size), None)
