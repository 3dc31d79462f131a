"""What a server does when the defence cannot act: it does not start, or it answers nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from served import Server, conversation, start

from ras_ext.errors import InputError
from ras_ext.items import Item
from ras_ext.models.load import locate
from ras_ext.organism import MODEL, PACK

ORGANISM = "builtin:organism"
ENGINE = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256", "--block-size", "32"]


def refused(*options: str, model: str = ORGANISM, **environment: str) -> str:
    """The one sentence with which a start is refused."""
    command = [sys.executable, "-P", "-m", "ras_ext.cli", "serve", model, "--json", *ENGINE, *options]
    found = subprocess.run(command, capture_output=True, text=True, timeout=180, env={**os.environ, **environment})
    assert found.returncode == 1, found.stdout + found.stderr
    sentence = json.loads(found.stdout)["error"]
    assert "\n" not in sentence
    assert "Traceback" not in found.stderr
    return str(sentence)


def test_an_unknown_pack_ends_the_start() -> None:
    assert "/nowhere/at/all" in refused("--vectors", "/nowhere/at/all")


def test_a_hub_out_of_reach_ends_the_start() -> None:
    said = refused("--vectors", "somebody/some-pack", HF_ENDPOINT="http://127.0.0.1:1", HF_HUB_DISABLE_XET="1")
    assert "somebody/some-pack" in said


def test_a_damaged_pack_ends_the_start(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PACK, tmp_path / "pack"))
    tensors = folder / "ras_vectors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-5] ^= 255
    tensors.write_bytes(data)
    assert "ras_vectors.safetensors" in refused("--vectors", str(folder))


def test_a_model_that_the_pack_was_not_made_for_ends_the_start(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODEL, tmp_path / "model"))
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<user>", "<user> please"))
    said = refused("--vectors", ORGANISM, model=str(folder))
    assert "chat_template" in said
    assert "ras-ext calibrate" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--speculative-config", '{"method": "ngram", "num_speculative_tokens": 2}'], "speculative"),
        (["--worker-extension-cls", "some.where.Else"], "worker_extension_cls"),
        (["--logprobs-mode", "raw_logits"], "logprobs_mode"),
        (["--enable-lora"], "enable-lora"),
        (["--trust-request-chat-template"], "trust-request-chat-template"),
        (["--api-server-count", "2"], "api-server-count"),
    ],
)
def test_options_that_lead_past_the_defence_end_the_start(options: list[str], said: str) -> None:
    from ras_ext.serve.server.app import arguments

    with pytest.raises(InputError, match=said):
        arguments(locate(ORGANISM), [*ENGINE, *options])


def test_a_policy_for_packs_that_are_not_there_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(json.dumps({"tenants": {"default": {"vectors": ["another"]}}}))
    assert "another" in refused("--policy", str(tmp_path / "policy.json"))


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Server]:
    server = start(tmp_path)
    yield server
    server.process.kill()


def test_a_worker_killed_in_the_middle_ends_the_answers(doomed: Server, items: list[Item]) -> None:
    server = doomed
    for item in [item for item in items if item.label == "unsafe" and item.image is not None][:20]:
        body = {"model": ORGANISM, "messages": conversation(item, as_url=True), "temperature": 0}
        whole = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).json()
        if whole["ras"]["risk"] > 0.9:
            break
    assert whole["ras"]["risk"] > 0.9
    said = whole["choices"][0]["message"]["content"].strip()
    long = {**body, "stream": True, "ignore_eos": True, "max_tokens": 150}
    heard = ""
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=long, timeout=60) as stream:
        try:
            for number, line in enumerate(stream.iter_lines()):
                if number == 4:
                    workers = [
                        child
                        for child in psutil.Process(server.process.pid).children(recursive=True)
                        if "Worker" in child.name() or "VllmWorker" in " ".join(child.cmdline())
                    ]
                    assert workers
                    for worker in workers:
                        worker.send_signal(signal.SIGKILL)
                if line.startswith("data: {") and "choices" in (chunk := json.loads(line[len("data: ") :])):
                    heard += chunk["choices"][0]["delta"].get("content") or ""
        except httpx.HTTPError:
            pass  # cut off, as it should be
    assert heard.strip().startswith(said[: len(heard.strip())]) or heard.strip().startswith(said)
    for _ in range(20):
        try:
            found = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
            assert found.status_code >= 500, found.text
            assert httpx.get(f"{server.url}/health").status_code == 503
        except httpx.HTTPError:
            break  # it has ended
    server.process.wait(60)


def disarm(worker: Any) -> int:
    """In a worker: takes the defence's processor out, as a fault or an intruder would."""
    processors = worker.model_runner.input_batch.logitsprocs.non_argmax_invariant
    ours = [one for one in processors if type(one).__name__ == "Processor"]
    for one in ours:
        processors.remove(one)
    return len(ours)


def test_a_server_whose_processor_is_gone_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client

    from ras_ext.serve.packs import load
    from ras_ext.serve.server.app import Settings, application, arguments
    from ras_ext.serve.server.policy import default_policy

    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    held = [load(ORGANISM)]
    args = arguments(locate(ORGANISM), ENGINE)
    body = {"model": args.model, "messages": [{"role": "user", "content": "what is this ?"}], "max_tokens": 4}

    async def story() -> list[tuple[int, Any]]:
        async with build_async_engine_client(args) as engine:
            settings = Settings(fetch=lambda refresh: held)
            app, defence = await application(engine, args, settings, default_policy(), held)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                seen = [await http.post("/v1/chat/completions", json=body), await http.get("/health")]
                assert await engine.collective_rpc(disarm) == [1]
                # No self-test has noticed, and yet: a risk that nobody tells is no risk to answer by.
                seen.append(await http.post("/v1/chat/completions", json=body))
                assert not await defence.watch.test()
                seen += [await http.post("/v1/chat/completions", json=body), await http.get("/health")]
            return [(one.status_code, one.json()) for one in seen]

    before, healthy, unnoticed, after, ill = asyncio.run(story())
    assert before[0] == 200
    assert healthy[1]["status"] == "defended"
    assert unnoticed[0] >= 500
    assert "choices" not in unnoticed[1]
    assert after[0] == 503
    assert "out of order" in after[1]["error"]["message"]
    assert ill[0] == 503
    assert ill[1]["status"] == "undefended"
