"""Records that the extension was built, linked and imported against a CUDA build of torch, and of which sources.

``hash`` tells the hash of the sources. ``write LIBRARIES SECONDS HASH`` refuses if they have changed since, imports
what was built there, insists on every operator having its CUDA kernel, and writes ``docs/cuda-build.json``. ``status``
says whether the sources are still what that record is about. Called by make.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "cuda-build.json"
# On CUDA tensors an operator that is not written for CUDA runs as plain torch.
KEY = "CUDA"


def hash_of_sources(root: Path) -> str:
    """One hash of all that decides what the compiled libraries are: csrc and setup.py."""
    told = hashlib.sha256()
    for path in [*sorted(p for p in (root / "csrc").rglob("*") if p.is_file()), root / "setup.py"]:
        told.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return told.hexdigest()


def status(root: Path, record: Path) -> str:
    """One sentence on what the record says of the sources at hand."""
    if not record.is_file():
        return f"there is no record of a CUDA build; `make cuda-build` writes {record.name}"
    found = json.loads(record.read_text("utf-8"))
    about = (
        f"built, linked and imported on {found['date']} against torch {found['torch']} with nvcc {found['nvcc']} "
        f"for {found['archs']}, {len(found['operators'])} operators with CUDA kernels"
    )
    if found["sources_sha256"] == hash_of_sources(root):
        return f"up to date: {about}"
    return f"csrc or setup.py has changed since the recorded build ({about}); run `make cuda-build`"


def examine(libraries: Path) -> dict[str, Any]:
    """Imports what was built and says what is in it; ends with a sentence where an operator lacks its kernel."""
    sys.path.insert(0, str(libraries))
    import torch

    from ras_ext import compiled, plans

    if not Path(compiled.__file__).resolve().is_relative_to(libraries.resolve()):
        sys.exit(f"cuda-build: {compiled.__file__} was imported, not what was built in {libraries}")
    found = compiled.status()
    if found.why or not (found.cpu_ops and found.cuda_ops):
        sys.exit(f"cuda-build: the libraries do not load: {found.why}")
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    missing = [name for name in compiled.OPERATORS if not has_kernel(f"ras_ext::{name}", KEY)]
    if missing:
        sys.exit(f"cuda-build: built, linked and imported, but without a CUDA kernel: {', '.join(missing)}")
    if why := plans.why_missing():
        sys.exit(f"cuda-build: {why}")
    version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    files = sorted(path for path in (libraries / "ras_ext").iterdir() if path.suffix == ".so")
    return {
        "torch": torch.__version__,
        "nvcc": version.split(", V")[-1].split()[0],
        "python": platform.python_version(),
        "archs": " ".join(found.cuda_archs),
        "operators": list(compiled.OPERATORS),
        "gpu_at_hand": torch.cuda.is_available(),
        "library_bytes": {path.name.split(".")[0]: path.stat().st_size for path in files},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write")
    write.add_argument("libraries", type=Path)
    write.add_argument("seconds", type=int)
    write.add_argument("sources", help="the hash of the sources before the build")
    commands.add_parser("status")
    commands.add_parser("hash")
    given = parser.parse_args()
    if given.command == "hash":
        print(hash_of_sources(ROOT))
        return
    if given.command == "write":
        if given.sources != hash_of_sources(ROOT):
            sys.exit("cuda-build: csrc or setup.py changed while it was being built; nothing is recorded, run it again")
        record = {
            "date": date.today().isoformat(),
            **examine(given.libraries),
            "build_seconds": given.seconds,
            "sources_sha256": given.sources,
        }
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"cuda-build: {status(ROOT, RECORD)}")


if __name__ == "__main__":
    main()
