"""How long does loading, fetching and listing packs take, beside the Hub's own client and beside doing nothing?

``python benchmarks/registry_in_time.py``. A Hub on loopback serves a pack of 4 MB; every measurement is a process of
its own with caches of its own, contenders take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
sys.path.insert(0, str(HERE.parent / "tests"))

from hub.process import Hub  # noqa: E402

from ras_ext.benchmark import record  # noqa: E402
from ras_ext.registry import RawTensor, make_key_pair, push, read_pack, write_pack  # noqa: E402

HIDDEN, VOCABULARY = 4096, 1_000_000
NAME = "team/four-megabytes"

# Each prints the milliseconds of what it measures; for a pull, both sides have imported what does it.
WARM = """
import torch, time
start = time.perf_counter()
import ras_ext
ras_ext.load_vectors({name!r}{options})
print(1e3 * (time.perf_counter() - start))
"""
PULL = """
import time, huggingface_hub, ras_ext.registry
huggingface_hub.snapshot_download, huggingface_hub.HfApi, ras_ext.registry.pull
start = time.perf_counter()
ras_ext.registry.pull({name!r})
print(1e3 * (time.perf_counter() - start))
"""
BARE = """
import time, huggingface_hub
huggingface_hub.snapshot_download, huggingface_hub.HfApi
start = time.perf_counter()
huggingface_hub.snapshot_download({name!r})
print(1e3 * (time.perf_counter() - start))
"""
LIST = "import ras_ext.registry; print(len(ras_ext.registry.list_packs()))"


def four_megabytes(folder: Path) -> Path:
    """A sound pack whose prototype mixture takes four megabytes."""
    pattern = read_pack(HERE.parent / "ras_ext/organism/pack")
    config = {key: value for key, value in pattern.config.items() if key != "files"}
    sizes = {"hidden_size": HIDDEN, "vocab_size": VOCABULARY}
    config = {**config, "name": "four-megabytes", "base_model": {**config["base_model"], **sizes}}
    rng = np.random.default_rng(0)
    rows = pattern.tensors["prototypes"].shape[0]
    tensors = {
        "prototypes": rng.standard_normal((rows, HIDDEN)).astype("<f4"),
        "prototype_mixture": rng.random(VOCABULARY).astype("<f4"),
    }
    raw = {name: RawTensor("F32", values.shape, values.tobytes()) for name, values in tensors.items()}
    return write_pack(folder, config, raw).path


def printed(program: str, environ: Mapping[str, str]) -> float:
    """The number that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(environ), stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def whole_process(program: str, environ: Mapping[str, str]) -> float:
    """Milliseconds from the start of Python to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=dict(environ), stdout=subprocess.DEVNULL, check=True)
    return 1e3 * (time.perf_counter() - start)


def in_turns(rounds: int, **contenders: Callable[[], float]) -> dict[str, float]:
    """The median of each, taken in turns so that what slows the machine slows all."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def measure(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """One row a question: our milliseconds, those of whom it is compared with, and what was aimed at."""
    with Hub(folder / "hub") as hub:
        environ = hub.environ(folder, RAS_EXT_HOME=str(folder / "home"))
        pack = four_megabytes(folder / "pack")
        make_key_pair(folder / "me.key", folder / "me.pub")
        shared = folder / "shared"
        push(pack, NAME, registry=shared, sign_key=folder / "me.key", cache_dir=folder / "publisher")
        publish = f"import ras_ext.registry as r; print(len(r.push({str(pack)!r}, {NAME!r}).files))"
        printed(publish, {**environ, "RAS_EXT_HOME": str(folder / "publisher")})
        commit = str(hub.api().model_info(NAME).sha)

        signed = f", registry={str(shared)!r}, trusted_keys=[{str(folder / 'me.pub')!r}]"
        warm = {
            "by commit": WARM.format(name=f"{NAME}@{commit}", options=""),
            "by name": WARM.format(name=NAME, options=""),
            "by name, signature required": WARM.format(name=NAME, options=signed),
        }
        for program in warm.values():
            printed(program, environ)  # fetches it
        hub.forget()
        times = in_turns(rounds, **{name: lambda p=program: printed(p, environ) for name, program in warm.items()})
        asked = len(hub.log())
        rows: list[dict[str, Any]] = [
            _row(f"warm load, {name}", ours, "importing torch alone", None, "50 ms", f"{asked} requests to the Hub")
            for name, ours in times.items()
        ]

        def cold(program: str) -> float:
            with tempfile.TemporaryDirectory(dir=folder) as empty:
                fresh = {**environ, "HF_HOME": f"{empty}/hf", "RAS_EXT_HOME": f"{empty}/home"}
                return printed(program.format(name=NAME), fresh)

        times = in_turns(rounds, ours=lambda: cold(PULL), bare=lambda: cold(BARE))
        rows.append(_row("cold pull of 4 MB", times["ours"], "bare snapshot_download", times["bare"], "1.5 x", ""))

        times = in_turns(rounds, ours=lambda: whole_process(LIST, environ), bare=lambda: whole_process("pass", environ))
        rows.append(
            _row("import ras_ext.registry and list", times["ours"], "Python that does nothing", times["bare"],
                 "500 ms", "the whole process, torch not imported")
        )  # fmt: skip
    return rows


def _row(what: str, ours: float, peer: str, peer_ms: float | None, aim: str, remark: str) -> dict[str, Any]:
    ratio = None if peer_ms is None else ours / peer_ms
    return {
        "what": what,
        "ours_ms": ours,
        "beside": peer,
        "peer_ms": peer_ms,
        "ratio": ratio,
        "aim": aim,
        "remark": remark,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    scratch = Path(tempfile.mkdtemp())
    try:
        found = measure(scratch, given.rounds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    folder = record.open_folder(given.results, torch.device("cpu"))
    print(record.write(folder / "registry_in_time.csv", found))


if __name__ == "__main__":
    main()
