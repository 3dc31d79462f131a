"""A small valid pack to damage, and a home of its own for every test."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub.client import Client
from hub.process import Hub

from ras_ext.registry import RawTensor, write_pack
from ras_ext.registry.layout import CONFIG_FILE, TENSORS_FILE

HIDDEN, VOCABULARY, PROTOTYPES = 6, 11, 5


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty RAS_EXT_HOME, and no setting of whoever runs the tests."""
    for name in ("NAMESPACE", "ALIASES", "REGISTRY", "LOCK", "TRUST", "SIGNING_PASSWORD"):
        monkeypatch.delenv(f"RAS_EXT_{name}", raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("RAS_EXT_HOME", str(home))
    return home


@pytest.fixture
def config() -> dict[str, Any]:
    """A config of the current schema with a longer schedule beside the paper's, without ``files``."""
    return {
        "schema_version": 2,
        "ras_ext_version": "0.1.0",
        "name": "tiny",
        "license": "apache-2.0",
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


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub on loopback in a process of its own."""
    with Hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def client_of(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Makes a client of the Hub: a process with the environment given on top of a home of this test's own."""
    made: dict[str, Client] = {}

    def make(**environ: str | None) -> Client:
        key = repr(sorted(environ.items()))
        if key not in made:
            token = environ.pop("HF_TOKEN", "hf_me")
            more = {name: value for name, value in environ.items() if value is not None}
            made[key] = Client(hub.environ(tmp_path, token, **more), tmp_path)
        return made[key]

    yield make
    hub.heal()
    for client in made.values():
        client.close()


@pytest.fixture
def client(client_of: Callable[..., Client]) -> Client:
    """The client of a user who may write to ``me``, ``team`` and ``ras-ext``."""
    return client_of()


@pytest.fixture
def another_pack(tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]) -> Callable[..., Path]:
    """Makes a sound pack that differs from all others in its gamma, and has other files of evidence."""

    def make(gamma: float, name: str | None = None, extra: dict[str, bytes] | None = None, **base_model: Any) -> Path:
        changed = copy.deepcopy(config)
        changed["method"]["gamma"] = gamma
        changed["base_model"].update(base_model)
        folder = tmp_path / (name or f"pack-{gamma}")
        return write_pack(folder, changed, tensors, extra or {f"evidence/{gamma}.txt": b"measured\n"}).path

    return make


@pytest.fixture
def large_pack(tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]) -> Callable[[int], Path]:
    """Makes a sound pack for a model of so many words; its mixture takes four bytes for each."""

    def make(vocabulary: int) -> Path:
        mixture = np.random.default_rng(1).random(vocabulary).astype("<f4")
        changed = {**config, "base_model": {**config["base_model"], "vocab_size": vocabulary}}
        grown = {**tensors, "prototype_mixture": RawTensor("F32", mixture.shape, mixture.tobytes())}
        return write_pack(tmp_path / f"large-{vocabulary}", changed, grown).path

    return make
