"""The Hub seam with the real client, in its own process, against a Hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Proxies and the settings of whoever runs the tests stay outside.
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")

CLIENT = """
import json, sys
from ras_ext.registry import RasExtError, open_pack, publish
action, *arguments = json.loads(sys.argv[1])
try:
    if action == "publish":
        print(json.dumps({"url": publish(*arguments)}))
    else:
        name, options = arguments
        pack = open_pack(name, **options)
        print(json.dumps({"digest": pack.digest, "path": str(pack.path), "files": sorted(pack.files)}))
except RasExtError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


@pytest.fixture
def client(hub: Any, tmp_path: Path) -> Any:
    def run(*call: Any, **environ: str) -> dict[str, Any]:
        settings = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": "hf_anything",
            **environ,
        }
        process = subprocess.run(
            [sys.executable, "-c", CLIENT, json.dumps(call)],
            env={**{key: os.environ[key] for key in KEPT if key in os.environ}, **settings},
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    return run


def test_a_published_pack_is_fetched_by_name_with_the_same_digest(hub: Any, client: Any, pack_folder: Path) -> None:
    url = client("publish", str(pack_folder), "team/tiny-ras")["url"]
    commit = url.rsplit("/", 1)[-1]
    stored = hub.repos["team/tiny-ras"][commit]
    assert stored["ras_config.json"] == (pack_folder / "ras_config.json").read_bytes()

    fetched = client("open", "team/tiny-ras", {})
    local = client("open", str(pack_folder), {})
    assert fetched["digest"] == local["digest"]
    assert fetched["files"] == ["README.md", "evidence/rows.jsonl"]

    before = len(hub.log)
    assert client("open", f"team/tiny-ras@{commit}", {})["digest"] == local["digest"]
    assert hub.log[before:] == []  # a pinned revision that is cached asks nothing of it
    assert client("open", "team/tiny-ras", {"local_files_only": True})["digest"] == local["digest"]
    assert hub.log[before:] == []

    # A commit whose files were cut short in the cache is completed, not used as it is.
    snapshot = Path(fetched["path"])
    (snapshot / "ras_vectors.safetensors").unlink()
    # Clients before 2.0 keep no listing of a commit by which to notice this themselves.
    shutil.rmtree(snapshot.parent.parent / "trees", ignore_errors=True)
    assert client("open", f"team/tiny-ras@{commit}", {})["digest"] == local["digest"]
    assert len(hub.log) > before

    missing = client("open", f"team/tiny-ras@{'0' * 40}", {})
    assert missing["error"] == "PackNotFoundError"
    assert "has no revision" in missing["message"]


def test_an_alias_leads_to_its_repository_in_the_namespace_set(hub: Any, client: Any, pack_folder: Path) -> None:
    files = {p.relative_to(pack_folder).as_posix(): p.read_bytes() for p in pack_folder.rglob("*") if p.is_file()}
    hub.commit("our-team/llava-1.5-7b-hf-ras", {**files, "model.bin": b"\x80" * 1000})
    found = client("open", "llava-1.5", {}, RAS_EXT_NAMESPACE="our-team")
    assert Path(found["path"], "ras_config.json").exists()
    # Only a pack's own files are asked for.
    assert not Path(found["path"], "model.bin").exists()
    assert not any("model.bin" in line for line in hub.log)


def test_a_tampered_pack_on_the_hub_is_refused(hub: Any, client: Any, pack_folder: Path) -> None:
    files = {p.relative_to(pack_folder).as_posix(): p.read_bytes() for p in pack_folder.rglob("*") if p.is_file()}
    tampered = bytearray(files["ras_vectors.safetensors"])
    tampered[-1] ^= 1
    hub.commit("team/tampered", {**files, "ras_vectors.safetensors": bytes(tampered)})
    found = client("open", "team/tampered", {})
    assert found["error"] == "PackError"
    assert "was changed or cut short" in found["message"]


def test_a_name_that_is_not_published_says_how_to_make_the_pack(hub: Any, client: Any) -> None:
    found = client("open", "llava-1.5-13b", {})
    assert found["error"] == "PackNotFoundError"
    assert "ras-ext calibrate llava-hf/llava-1.5-13b-hf --out DIR" in found["message"]
    hub.commit("team/a-model", {"README.md": b"# weights\n", "config.json": b"{}"})
    found = client("open", "team/a-model", {})
    assert found["error"] == "PackNotFoundError"
    assert "is no pack: it holds no ras_config.json" in found["message"]


def test_without_a_network_the_message_is_a_sentence_and_the_cache_still_serves(
    hub: Any, client: Any, pack_folder: Path
) -> None:
    client("publish", str(pack_folder), "team/tiny-ras")
    first = client("open", "team/tiny-ras", {})
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert client("open", "team/tiny-ras", {}, **nowhere)["digest"] == first["digest"]
    assert client("open", "team/tiny-ras", {}, HF_HUB_OFFLINE="1")["digest"] == first["digest"]
    for environ in (nowhere, {"HF_HUB_OFFLINE": "1"}):
        missing = client("open", "team/other", {}, **environ)
        assert missing["error"] == "PackNotFoundError"
        assert "not in the local cache" in missing["message"]


def test_a_damaged_pack_is_not_published(hub: Any, client: Any, pack_folder: Path) -> None:
    (pack_folder / "README.md").write_text("edited by hand")
    refused = client("publish", str(pack_folder), "team/tiny-ras")
    assert refused["error"] == "PackError"
    assert hub.repos == {}
