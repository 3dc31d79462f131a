"""A small valid pack to damage, and a Hub on loopback that keeps what real clients commit to it."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ras_ext.registry import RawTensor, write_pack
from ras_ext.registry.layout import CONFIG_FILE, TENSORS_FILE

HIDDEN, VOCABULARY, PROTOTYPES = 6, 11, 5


@pytest.fixture
def config() -> dict[str, Any]:
    """A config of the current schema with a longer schedule beside the paper's, without ``files``."""
    return {
        "schema_version": 1,
        "ras_ext_version": "0.1.0",
        "name": "tiny",
        "base_model": {
            "id": "org/tiny-llava",
            "revision": "0123456789abcdef0123456789abcdef01234567",
            "architecture": "LlavaForConditionalGeneration",
            "hidden_size": HIDDEN,
            "n_layers": 2,
            "vocab_size": VOCABULARY,
            "final_norm": "model.language_model.norm",
            "image_token_id": 3,
            "config_sha256": "a" * 64,
            "chat_template_sha256": None,
        },
        "method": {
            "n_tokens": 3,
            "n_score": 3,
            "gamma": 0.3,
            "alpha": 15.955,
            "s_base": 0.712,
            "schedule": "paper",
            "schedules": {
                "paper": {"n_tokens": 3, "doses": [1.0, 1.0, 1.0]},
                "auto": {"n_tokens": 5, "doses": [1.0, 1.0, 1.0, 0.8, 0.64]},
            },
            "steer_layer": None,
            "attention_heads": [[1, 0]],
            "token_risk": None,
        },
        "prompts": {
            "visual_context": "Describe the image.",
            "safety": "Refuse what is unsafe.",
            "reformulation": "{safety}\n{visual_context}\n{query}",
            "max_context_tokens": 40,
        },
        "calibration": {"n_unsafe": 50, "n_safe": 50, "similarity_unsafe": [0.9, 0.8], "dtype": "float32"},
        "evidence": {"asr": {"none": 1.0, "ras": 0.02}},
    }


@pytest.fixture
def tensors() -> dict[str, RawTensor]:
    rng = np.random.default_rng(0)
    prototypes = rng.standard_normal((PROTOTYPES, HIDDEN)).astype("<f4")
    mixture = rng.random(VOCABULARY).astype("<f4")
    return {
        "prototypes": RawTensor("F32", prototypes.shape, prototypes.tobytes()),
        "prototype_mixture": RawTensor("F32", mixture.shape, mixture.tobytes()),
    }


@pytest.fixture
def pack_folder(tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]) -> Path:
    """A sound pack with one evidence file."""
    return write_pack(tmp_path / "pack", config, tensors, {"evidence/rows.jsonl": b'{"id": 1}\n'}).path


@pytest.fixture
def forge(pack_folder: Path) -> Callable[..., None]:
    """Change a pack as someone would who knows the layout: every sha256 fits what was put in."""

    def change(edit: Callable[[dict[str, Any]], None] | None = None, tensor_bytes: bytes | None = None) -> None:
        config = json.loads((pack_folder / CONFIG_FILE).read_bytes())
        if tensor_bytes is not None:
            (pack_folder / TENSORS_FILE).write_bytes(tensor_bytes)
            config["files"][TENSORS_FILE] = hashlib.sha256(tensor_bytes).hexdigest()
        if edit is not None:
            edit(config)
        (pack_folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")

    return change


class LoopbackHub(ThreadingHTTPServer):
    """The part of the Hub's interface that publishing and fetching a small model repository uses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubRequest)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}  # repository -> commit -> path -> bytes
        self.log: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        commits = self.repos.setdefault(repo, {})
        sha = hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits[sha] = {**copy.copy(next(reversed(commits.values()), {})), **files}
        return sha


class _HubRequest(BaseHTTPRequestHandler):
    server: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.server.log.append(f"{self.command} {self.path}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization', 'someone')}/{asked['name']}"
            self.server.repos.setdefault(repo, {})
            self._json({"url": f"{self.server.url}/{repo}", "name": repo})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            entries = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self._json({"files": entries})
        elif match := re.match(r"/api/models/(.+?)/commit/", self.path):
            lines = [json.loads(line) for line in body.splitlines() if line]
            values = [line["value"] for line in lines if line["key"] == "file"]
            sha = self.server.commit(match[1], {v["path"]: base64.b64decode(v["content"]) for v in values})
            self._json({"commitUrl": f"{self.server.url}/{match[1]}/commit/{sha}", "commitOid": sha, "success": True})
        else:
            self._error(404, "EntryNotFound")

    def do_GET(self) -> None:
        if match := re.match(r"/api/models/([^/]+/[^/]+)/revision/([^/?]+)", self.path):
            files = self._files(match[1], match[2])
            if files is not None:
                siblings = [{"rfilename": path} for path in files[1]]
                self._json({"id": match[1], "sha": files[0], "siblings": siblings, "tags": [], "private": False})
        elif match := re.match(r"/api/models/([^/]+/[^/]+)/tree/([^/?]+)", self.path):
            files = self._files(match[1], match[2])
            if files is not None:
                tree = [
                    {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for path, data in files[1].items()
                ]
                self._json(tree)
        elif match := re.match(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            files = self._files(match[1], match[2])
            if files is not None:
                data = files[1].get(match[3])
                if data is None:
                    self._error(404, "EntryNotFound")
                else:
                    self._send(200, data, {"X-Repo-Commit": files[0], "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})
        else:
            self._error(404, "EntryNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _files(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.server.repos.get(repo)
        if commits is None:
            self._error(404, "RepoNotFound")
            return None
        if revision == "main":
            revision = next(reversed(commits))
        if revision not in commits:
            self._error(404, "RevisionNotFound")
            return None
        return revision, commits[revision]

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """A fresh, empty Hub; clients reach it in a process of their own whose HF_ENDPOINT is ``hub.url``."""
    server = LoopbackHub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
