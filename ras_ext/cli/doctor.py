"""``ras-ext doctor``: what is installed, which compiled operators are loaded, and what is missing and why."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import ras_ext
from ras_ext import plans
from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_pairs
from ras_ext.registry.errors import in_one_line

_PACKAGES = (
    "transformers",
    "huggingface-hub",
    "fsspec",
    "safetensors",
    "numpy",
    "pillow",
    "typer",
    "rich",
    "jinja2",
    "matplotlib",
)


def doctor(json: options.Json = False) -> None:
    """Report versions, compiled operators and devices; works with parts missing, and says which."""
    with speaking(json) as out:
        found = examine()

        def show() -> None:
            names = ("ras_ext", "python", "torch", "transformers", "device")
            pairs = [(name, str(found[name] or "not installed")) for name in names]
            versions = [f"{name} {version or 'missing'}" for name, version in found["packages"].items()]
            pairs += [
                ("CPU operators", "compiled" if found["cpu_ops"] else "plain-torch reference"),
                ("CUDA operators", ", ".join(found["cuda_archs"]) or "compiled" if found["cuda_ops"] else "none"),
                ("launch plans", _told(found)),
                ("packages", ", ".join(versions)),
                ("remark", found["why"] or "nothing is missing"),
            ]
            show_pairs(pairs)

        out.result(found, show)


def examine() -> dict[str, Any]:
    """The state of this installation as plain values; ``why`` says what is missing, in sentences."""
    packages = {name: _version(name) for name in _PACKAGES}
    why = [f"the package {name} is missing; install ras-ext again" for name, got in packages.items() if got is None]
    found: dict[str, Any] = {
        "ras_ext": ras_ext.__version__,
        "python": platform.python_version(),
        "torch": None,
        "transformers": packages["transformers"],
        "cpu_ops": False,
        "cuda_ops": False,
        "cuda_archs": [],
        "device": "",
        "plans": False,
        "launches": {},
        "packages": packages,
        "why": "",
    }
    try:
        import torch

        found["torch"] = torch.__version__
        found["device"] = _device(torch)
        from ras_ext import compiled

        status = compiled.status()
        found.update(cpu_ops=status.cpu_ops, cuda_ops=status.cuda_ops, cuda_archs=list(status.cuda_archs))
        if status.why:
            why.append(status.why)
    # Whatever is broken here is what the user wants to read about.
    except Exception as error:
        part = "torch" if found["torch"] is None else "the compiled library"
        why.append(f"{part} cannot be loaded: {in_one_line(error)}")
    if missing := plans.why_missing():
        why.append(f"there are no launch plans: {missing}")
    else:
        found.update(plans=True, launches=_launches())
    found["why"] = "; ".join(why)
    return found


def _launches() -> dict[str, Any]:
    """Per operator the sizes of one ordinary call and the kernel launches it is cut into."""
    return {op: {"shape": shape, **asdict(plans.plan(op, **shape))} for op, shape in sorted(plans.typical().items())}


def _told(found: dict[str, Any]) -> str:
    if not found["plans"]:
        return "none"
    return ", ".join(
        f"{op} {' + '.join('x'.join(map(str, launch['grid'])) for launch in entry['launches'])}"
        for op, entry in found["launches"].items()
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device(torch: Any) -> str:
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"cpu, {torch.get_num_threads()} threads"
