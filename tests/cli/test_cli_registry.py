"""The registry's commands on a folder registry: JSON alone on stdout, exit codes, and sentences for what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cli_runs import only_json, run

ORGANISM = Path(__file__).parents[2] / "ras_ext/organism/pack"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pack, a registry that holds it once unsigned and once signed, and the keys."""
    desk = tmp_path_factory.mktemp("desk")
    shutil.copytree(ORGANISM, desk / "pack")
    only_json(run("keygen", "me", "--json", cwd=desk))
    only_json(run("push", "pack", "team/plain", "--registry", "shared", "--json", cwd=desk))
    only_json(run("push", "pack", "team/signed", "--registry", "shared", "--sign", "me.key", "--json", cwd=desk))
    return desk


def said(desk: Path, *words: object, code: int = 0, **environ: str) -> dict[str, Any]:
    return only_json(run(*words, "--json", cwd=desk, RAS_EXT_HOME=str(desk / "home"), **environ), code)


def test_what_was_pushed_is_listed_searched_shown_and_pulled(desk: Path) -> None:
    listed = said(desk, "list", "--registry", "shared")["packs"]
    assert [(entry["name"], entry["signed"]) for entry in listed] == [("team/plain", False), ("team/signed", True)]
    found = said(desk, "search", "plain", RAS_EXT_REGISTRY="shared")["packs"]
    assert [entry["name"] for entry in found] == ["team/plain"]
    pulled = said(desk, "pull", "team/plain", "--registry", "shared", "--out", "mine")
    shown = said(desk, "show", "mine")
    assert shown["digest"] == pulled["digest"] == listed[0]["digest"]
    assert shown["config"]["base_model"]["id"] == "builtin:organism"
    assert [entry["tags"] for entry in said(desk, "history", "./shared/team/plain")["versions"]] == [["v1"]]
    here = said(desk, "list")["packs"]
    assert {"builtin:organism", "team/plain"} <= {entry["name"] for entry in here}


def test_people_read_tables(desk: Path) -> None:
    shown = run("show", "pack", cwd=desk, COLUMNS="120").stdout
    for words in ("for the model", "builtin:organism", "schedule auto (default)", "How it judges and steers", "σ("):
        assert words in shown
    planned = run("push", "pack", "team/new", "--registry", "shared", "--dry-run", cwd=desk, COLUMNS="120").stdout
    assert "would be pushed, as a new repository" in planned
    assert not (desk / "shared/team/new").exists()
    listed = run("list", "--registry", "shared", cwd=desk, COLUMNS="120").stdout
    assert "team/plain" in listed
    history = run("history", "team/plain", "--registry", "shared", cwd=desk, COLUMNS="120").stdout
    assert "v1" in history


def test_verify_says_which_pack_is_wrong_and_fails(desk: Path) -> None:
    whole = said(desk, "verify", "shared")
    assert (whole["ok"], [entry["name"] for entry in whole["packs"]]) == (True, ["team/plain@v1", "team/signed@v1"])
    keyed = said(desk, "verify", "team/signed", "--registry", "shared", "--trusted-key", "me.pub")
    assert keyed["packs"][0]["signature"] == "accepted"
    refused = said(desk, "verify", "team/plain", "--registry", "shared", "--trusted-key", "me.pub", code=1)
    assert refused["packs"][0]["signature"] == "refused"
    shutil.copytree(desk / "pack", desk / "damaged")
    (desk / "damaged/README.md").write_text("by hand")
    (desk / "damaged/notes.txt").write_text("mine")
    damaged = said(desk, "verify", "damaged", code=1)
    assert "was changed or cut short" in damaged["packs"][0]["problems"][0]
    shutil.copytree(desk / "shared", desk / "broken")
    record = next((desk / "broken/team/plain/versions").iterdir())
    record.write_text("{")
    broken = said(desk, "verify", "broken", code=1)
    assert [entry["ok"] for entry in broken["packs"]] == [False, True]


def test_a_lock_file_is_made_obeyed_and_checked(desk: Path) -> None:
    pinned = said(desk, "lock", "team/plain", "builtin:organism", "--registry", "shared")["packs"]
    assert json.loads((desk / "ras.lock.json").read_text())["packs"].keys() == pinned.keys()
    assert said(desk, "lock", "--check")["packs"]["team/plain"]["problem"] is None
    assert said(desk, "show", "team/plain", RAS_EXT_LOCK="ras.lock.json")["revision"]
    missing = said(desk, "show", "pack", code=1, RAS_EXT_LOCK="ras.lock.json")
    assert "is not in the lock file" in missing["error"]
    text = (desk / "ras.lock.json").read_text().replace(pinned["builtin:organism"]["digest"], "0" * 64)
    (desk / "ras.lock.json").write_text(text)
    wrong = said(desk, "lock", "--check", code=1)["packs"]
    assert wrong["builtin:organism"]["problem"] is not None


def test_two_packs_side_by_side(desk: Path) -> None:
    assert said(desk, "diff", "pack", "builtin:organism")["same_digest"] is True
    text = (desk / "pack/ras_config.json").read_text()
    shutil.copytree(desk / "pack", desk / "bolder")
    (desk / "bolder/ras_config.json").write_text(text.replace('"gamma": 0.3', '"gamma": 0.25'))
    found = said(desk, "diff", "pack", "bolder")
    assert found["fields"] == [{"path": "method.gamma", "change": "changed", "old": 0.3, "new": 0.25}]
    assert all(entry["same"] for entry in found["tensors"])
    shown = run("diff", "pack", "bolder", cwd=desk, COLUMNS="120").stdout
    assert "different content" in shown
    assert "method.gamma" in shown


def test_a_direction_leaves_and_another_comes_in(desk: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    for name in ("out.gguf", "out.safetensors"):
        made = said(desk, "export", "pack", name, "--layer", 2)
        assert (made["layers"], made["hidden_size"]) == ([2], 128)
        assert (desk / name).stat().st_size > 512
    save_file({"layers.1": np.ones(128, np.float32)}, desk / "theirs.safetensors")
    said(desk, "import-direction", "pack", "theirs.safetensors", "--out", "richer")
    assert said(desk, "show", "richer")["tensors"]["unsafe_direction"] == [128]
    assert run("export", "pack", "out.bin", cwd=desk).returncode == 2
    refused = said(desk, "import-direction", "pack", "out.gguf", "--out", "more", code=1)
    assert "drawn from states after the final norm" in refused["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("push", "pack", "nowhere"), "is no place to push to"),
        (("push", "absent", "team/x", "--registry", "shared"), "absent"),
        (("push", "pack", "team/x", "--registry", "shared", "--pr"), "folder registry"),
        (("push", "pack", "team/x", "--registry", "shared", "--sign", "me.pub"), "private key"),
        (("pull", "team/none", "--registry", "shared"), "holds no pack"),
        (("pull", "team/plain", "--registry", "empty"), "there is no registry"),
        (("list", "--registry", "empty"), "there is no registry"),
        (("show", "no-such-alias"), "the nearest names are"),
        (("history", "pack"), "has no history"),
        (("keygen", "me"), "name a new file"),
        (("verify", "team/plain", "--trust", "absent.json", "--registry", "shared"), "there is no trust file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(desk: Path, words: tuple[str, ...], says: str) -> None:
    done = run(*words, "--json", cwd=desk, RAS_EXT_HOME=str(desk / "home"))
    found = only_json(done, 1)
    told = found.get("error") or found["packs"][0]["problems"][0]
    assert says in told, told
    assert "Traceback" not in done.stderr


def test_wrong_use_is_exit_code_2(desk: Path) -> None:
    for words in (("lock",), ("lock", "a", "--check"), ("calibrate", "builtin:organism", "--sign", "me.key")):
        assert run(*words, cwd=desk).returncode == 2
