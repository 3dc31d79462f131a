"""On what the GPU check runs: versions, processor, and the GPU if torch sees one."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

FACTS = """
import json, platform, subprocess, sys, torch
found = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda}
if torch.cuda.is_available():
    at = torch.cuda.get_device_properties(0)
    found |= {"gpu": at.name, "arch": f"{at.major}.{at.minor}", "multiprocessors": at.multi_processor_count,
              "memory_gib": round(at.total_memory / 2**30, 1), "l2_mib": round(at.L2_cache_size / 2**20, 1)}
for name, words in {"driver": ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                    "nvcc": ["nvcc", "--version"]}.items():
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.split()
        found[name] = said[-1] if said else None
    except OSError:
        found[name] = None
print(json.dumps(found))
"""


def machine(python: str) -> dict[str, object]:
    """What this machine is: the versions, and the GPU if torch sees one."""
    done = subprocess.run([python, "-c", FACTS], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"gpu-check: {python} cannot import torch; set PYTHON to one that can ({done.stderr.strip()[-200:]})")
    facts: dict[str, object] = json.loads(done.stdout)
    return facts | {"cpu": _cpu(), "cores": os.cpu_count()}


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def folder_name(facts: dict[str, object]) -> str:
    """ "NVIDIA H200" as a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", str(facts.get("gpu", "cpu")).lower()).strip("-")
