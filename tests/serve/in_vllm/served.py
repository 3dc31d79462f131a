"""How the tests serve the organism, and its evaluation set as clients send it."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ras_ext.items import Item

# What the organism is served with everywhere here: f32 as it was calibrated, and room for four engines in one machine.
ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 256,
    "limit_mm_per_prompt": {"image": 2},
    "disable_log_stats": True,
    "block_size": 32,
}


def conversation(item: Item, *, as_url: bool = False) -> list[dict[str, Any]]:
    """An item of the evaluation set in OpenAI's form, its image before the first words."""
    turns: list[dict[str, Any]] = []
    for asked, answered in item.history:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    turns.append({"role": "user", "content": item.text})
    if item.image is not None:
        first = turns[0]
        first["content"] = [picture(item.image, as_url=as_url), {"type": "text", "text": first["content"]}]
    return turns


def picture(path: Path, *, as_url: bool = False) -> dict[str, Any]:
    """An image as a part of a message: opened, or as the data URL that HTTP clients send."""
    if not as_url:
        return {"type": "image_pil", "image_pil": Image.open(path).convert("RGB")}
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


@dataclass
class Server:
    """A server of its own process, started by the command that users run."""

    process: subprocess.Popen[str]
    url: str
    stderr: Path
    announced: dict[str, Any]

    def client(self, key: str = "none", **options: Any) -> Any:
        """OpenAI's own client."""
        from openai import OpenAI

        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=120, **options)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def said(self) -> str:
        return self.stderr.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, *options: str, model: str = "builtin:organism", **environment: str) -> Server:
    """Runs ``ras-ext serve MODEL`` until it is ready. Raises RuntimeError with what it said if it ends before."""
    port = free_port()
    engine = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256", "--block-size", "32"]
    images = ["--limit-mm-per-prompt", '{"image": 2}']
    command = [sys.executable, "-P", "-m", "ras_ext.cli", "serve", model, "--json", *engine, *images]
    command += ["--host", "127.0.0.1", "--port", str(port), *options]
    stderr = folder / f"server-{port}.log"
    with stderr.open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line or "url" not in json.loads(line):
        process.wait(60)
        raise RuntimeError(line + stderr.read_text())
    return Server(process, f"http://127.0.0.1:{port}", stderr, json.loads(line))
