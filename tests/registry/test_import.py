"""The registry stands alone: no torch, no transformers, no runtime."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ras_ext.registry

# A meta path finder that stands first makes the two packages unimportable, as if they were not installed.
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import ras_ext.registry as registry
{body}
"""


def run(body: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = WITHOUT_TORCH.format(body=body)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=cwd, timeout=120)


def test_every_public_name_of_the_registry_works_without_torch(tmp_path: Path) -> None:
    done = run("assert all(getattr(registry, name) is not None for name in registry.__all__); print('whole')", tmp_path)
    assert done.stdout.strip() == "whole", done.stderr
    twin = run("import torch", tmp_path)
    assert "ModuleNotFoundError: torch" in twin.stderr


def test_a_pack_is_read_and_verified_without_torch(pack_folder: Path, tmp_path: Path) -> None:
    done = run(f"print(registry.verify_pack({os.fspath(pack_folder)!r}).ok)", tmp_path)
    assert done.stdout.strip() == "True", done.stderr
    (pack_folder / "ras_vectors.safetensors").write_bytes(b"cut")
    done = run(f"print(registry.verify_pack({os.fspath(pack_folder)!r}).ok)", tmp_path)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("absent", "call", "says"),
    [
        ("model_signing", "registry.sign(registry.read_pack({pack!r}), 'me.key')", "pip install 'ras-ext[sign]'"),
        ("OpenSSL", "registry.sign(registry.read_pack({pack!r}), 'me.key')", "pip install 'ras-ext[sign]'"),
        ("gguf", "registry.write_gguf(registry.direction_of(registry.read_pack({pack!r}), 'prototype'), 'x.gguf')",
         "pip install 'ras-ext[interchange]'"),
        ("s3fs", "registry.list_packs('s3://bucket/packs')", "s3fs"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named_with_its_install_command(
    pack_folder: Path, tmp_path: Path, absent: str, call: str, says: str
) -> None:
    body = f"""
try:
    {call.format(pack=os.fspath(pack_folder))}
except registry.MissingExtraError as error:
    print(error)
"""
    program = WITHOUT_TORCH.replace('"torch", "transformers"', repr(absent) + ",").format(body=body)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert says in done.stdout, done.stdout + done.stderr


def test_importing_the_registry_imports_none_of_its_modules_yet(tmp_path: Path) -> None:
    listing = "print(sorted(m for m in sys.modules if m.startswith('ras_ext.registry.') or m == 'huggingface_hub'))"
    done = run(listing, tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_module_of_the_registry_imports_from_the_runtime() -> None:
    folder = Path(ras_ext.registry.__file__).parent
    sources = {path.relative_to(folder): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    assert {Path("pack.py"), Path("interchange/plain.py")} <= set(sources)
    assert [name for name, text in sources.items() if _outside(name, text)] == []
    assert _outside(Path("pack.py"), "from ras_ext.ops import x")
    assert _outside(Path("interchange/plain.py"), "from ...ops import x")


def _outside(name: Path, text: str) -> bool:
    """True if a module of the registry imports what lies outside: by name, or by more dots than it lies deep."""
    dots = r"\." * (len(name.parts) + 1)
    return re.search(rf"^\s*(?:from|import)\s+(?:ras_ext|torch|transformers|{dots})", text, re.MULTILINE) is not None


def test_no_public_name_is_hidden_by_a_module_of_the_same_name() -> None:
    # Importing a submodule sets it as an attribute of the package, in place of anything lazy under that name.
    modules = {path.stem for path in Path(ras_ext.registry.__file__).parent.glob("*.py")}
    assert modules & set(ras_ext.registry.__all__) == set()
    assert "pack" in modules
    assert "read_pack" in ras_ext.registry.__all__
