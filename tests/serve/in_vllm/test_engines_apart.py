"""Data parallelism by deploy/several_nodes.sh: a server with an engine, and a headless one that asks for no pack."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from page import ROOT, with_commands
from served import conversation, free_port

from ras_ext.items import Item

KEY = {"Authorization": "Bearer open-sesame"}
OPTIONS = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256", "--block-size", "32"]
OPTIONS += ["--limit-mm-per-prompt", '{"image": 2}']


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("apart")
    (folder / "admin.key").write_text("open-sesame")
    port, rpc = free_port(), free_port()
    where = {"HEAD": "127.0.0.1", "NODES": "2", "MODEL": "builtin:organism", "RPC_PORT": str(rpc)}
    script, environment = ROOT / "deploy" / "several_nodes.sh", {**with_commands(folder / "bin"), **where}
    server = ["--json", "--host", "127.0.0.1", "--port", str(port), "--admin-key-file", str(folder / "admin.key")]
    logs = [(folder / f"{rank}.log").open("w") for rank in (0, 1)]
    first = subprocess.Popen(
        [script, "0", *OPTIONS, *server], env=environment, stdout=subprocess.PIPE, stderr=logs[0], text=True
    )
    other = subprocess.Popen([script, "1", *OPTIONS], env=environment, stdout=logs[1], stderr=logs[1])
    try:
        assert first.stdout is not None
        line = first.stdout.readline()
        assert '"defended"' in line, line + (folder / "0.log").read_text()[-4000:]
        yield f"http://127.0.0.1:{port}"
    finally:
        for process in (first, other):
            process.send_signal(signal.SIGINT)
        for process in (first, other):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        for log in logs:
            log.close()


def ask(url: str, item: Item) -> tuple[str, float]:
    body = {
        "messages": conversation(item, as_url=True),
        "model": "builtin:organism",
        "max_tokens": 40,
        "temperature": 0,
    }
    found: dict[str, Any] = httpx.post(url + "/v1/chat/completions", json=body, timeout=120).raise_for_status().json()
    return found["choices"][0]["message"]["content"], found["ras"]["risk"]


def test_both_engines_hold_the_pack_judge_and_steer_alike(url: str, items: list[Item]) -> None:
    chosen = [*items[:6], *items[180:186]]
    alone = [ask(url, item) for item in chosen]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda item: ask(url, item), [*chosen, *chosen]))
    for (text, risk), (said, found) in zip([*alone, *alone], together, strict=True):
        assert said == text
        assert found == pytest.approx(risk, abs=1e-3)
    workers = httpx.get(url + "/ras/status", headers=KEY, timeout=60).json()["workers"]
    assert len(workers) == 2
    assert workers[0]["packs"] == workers[1]["packs"]
    assert all(worker["counts"]["judged"] >= 3 and worker["counts"]["steered"] > 0 for worker in workers)


def test_the_self_test_is_made_on_every_engine(url: str) -> None:
    def counts() -> list[int]:
        workers = httpx.get(url + "/ras/status", headers=KEY, timeout=60).json()["workers"]
        return [worker["counts"]["judged"] for worker in workers]

    before = counts()
    assert httpx.post(url + "/ras/selftest", headers=KEY, timeout=120).json() == {"defended": True, "why": None}
    assert all(after > earlier for after, earlier in zip(counts(), before, strict=True))
