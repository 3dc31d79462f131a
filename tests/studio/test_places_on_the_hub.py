"""The Registry tab's work on a Hub on loopback, through the Hub's real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub.process import Hub

TESTS = Path(__file__).parents[1]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as running:
        yield running


def test_a_pack_is_tried_out_published_found_read_and_pulled(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import CommitOperationAdd

    hub.api().create_repo("me/model")
    weights = [CommitOperationAdd("model.safetensors", b"weights")]
    hub.api().create_commit("me/model", operations=weights, commit_message="weights")
    around = hub.environ(tmp_path, RAS_EXT_HOME=str(tmp_path / "home"))
    around["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, "-m", "studio.hub_visit", str(tmp_path / "place")]
    done = subprocess.run(command, env=around, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["tried"]["dry_run"], said["tried"]["created"], said["before"]) == (True, True, [])
    assert (said["done"]["tag"], said["done"]["digest"]) == ("v1", said["tried"]["digest"])
    assert said["found"] == ["me/visited"]
    assert said["seen"] == [said["done"]["digest"], said["done"]["revision"]]
    assert said["past"][0] == ["v1"]
    assert said["pulled"] == said["done"]["digest"]
    assert any(key.endswith("(fetched from the Hub)") for key in said["machine"])
    assert said["sound"]
    assert said["again"]
    assert "holds something else than a pack" in said["refused"]
    assert "hf_me" not in done.stdout + done.stderr
