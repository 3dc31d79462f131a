"""Loading by name: vectors calibrated here where none are published, and a whole road through the Hub."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.process import Hub

from ras_ext import SteeringVectors, load_vectors
from ras_ext.errors import InputError, PackMismatchError, PackNotFoundError
from ras_ext.registry import list_packs, push
from tests.conftest import Subject, build_stranger


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a registry in which nothing is published yet."""
    monkeypatch.setenv("RAS_EXT_HOME", str(tmp_path / "home"))
    registry = tmp_path / "registry"
    registry.mkdir()
    (registry / "ras_registry.json").write_text('{"ras_registry": 1}')
    monkeypatch.setenv("RAS_EXT_REGISTRY", str(registry))
    return registry


@pytest.fixture
def calibrations(monkeypatch: pytest.MonkeyPatch, organism: Subject) -> list[str]:
    """Counts calibrations, which are quick here: the organism's own vectors stand for what comes out."""
    import ras_ext.calibration

    made: list[str] = []

    def counted(model: Any, processor: Any, **options: Any) -> SteeringVectors:
        made.append(str(options["schedule"]))
        assert model is organism.model
        return organism.vectors

    monkeypatch.setattr(ras_ext.calibration, "calibrate", counted)
    return made


def test_what_is_missing_is_calibrated_once_and_kept_and_said(
    alone: Path, calibrations: list[str], organism: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"model": organism.model, "processor": organism.processor, "if_missing": "calibrate"}
    with caplog.at_level(logging.WARNING, logger="ras_ext.registry"):
        first = load_vectors("llava-1.5", **asked)
    assert calibrations == ["auto"]
    assert first.id == organism.vectors.id
    said = "\n".join(caplog.messages)
    assert "calibrating the model at hand instead, once" in said
    assert "are kept in" in said
    again = load_vectors("llava-1.5", **asked)
    assert (again.id, calibrations) == (first.id, ["auto"])
    # Without asking for a calibration the name leads there as well, and the listing says where it comes from.
    assert load_vectors("llava-1.5").id == first.id
    assert [entry.name for entry in list_packs() if entry.source == "made here"] == ["llava-1.5"]


def test_a_pack_made_for_one_model_is_not_used_for_another(
    alone: Path, calibrations: list[str], organism: Subject, tmp_path: Path
) -> None:
    from ras_ext import models

    load_vectors("ours/model", model=organism.model, processor=organism.processor, if_missing="calibrate")
    other, processor = models.load(str(build_stranger(tmp_path / "other", tied=True, padding_side="left")))
    with pytest.raises(PackNotFoundError):
        load_vectors("ours/model", model=other, processor=processor)
    with pytest.raises(PackMismatchError):
        load_vectors("builtin:organism", model=other, processor=processor)


def test_what_must_be_exact_or_signed_is_never_replaced_by_a_calibration(
    alone: Path, calibrations: list[str], organism: Subject, tmp_path: Path
) -> None:
    asked = {"model": organism.model, "processor": organism.processor, "if_missing": "calibrate"}
    (tmp_path / "lock").write_text('{"ras_ext_lock": 1, "packs": {}}')
    for strict in ({"revision": "v1"}, {"require_signature": True}, {"lock": tmp_path / "lock"}):
        with pytest.raises(PackNotFoundError):
            load_vectors("ours/model", **asked, **strict)
    assert calibrations == []
    load_vectors("ours/model", **asked)
    for strict in ({"revision": "v1"}, {"require_signature": True}, {"refresh": True}):
        with pytest.raises(PackNotFoundError):
            load_vectors("ours/model", **strict)


def test_what_is_published_stands_before_a_calibration(
    alone: Path, calibrations: list[str], organism: Subject, tmp_path: Path
) -> None:
    push(organism.vectors.save(tmp_path / "pack"), "ours/model")
    load_vectors("ours/model", model=organism.model, processor=organism.processor, if_missing="calibrate")
    assert calibrations == []


def test_a_registry_that_cannot_be_reached_is_no_missing_pack(
    alone: Path, calibrations: list[str], organism: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ras_ext.errors import RegistryError

    monkeypatch.setenv("RAS_EXT_REGISTRY", str(alone / "nowhere"))
    with pytest.raises(RegistryError):
        load_vectors("ours/model", model=organism.model, processor=organism.processor, if_missing="calibrate")
    with pytest.raises(InputError, match="needs the model"):
        load_vectors("ours/model", if_missing="calibrate")
    with pytest.raises(InputError, match="if_missing must be one of"):
        load_vectors("ours/model", if_missing="guess")


def test_the_stand_in_for_a_calibration_is_what_calibration_gives(tmp_path: Path, organism: Subject) -> None:
    """The real thing, once, in the way the tests above replace: on the organism, with the lists for everybody."""
    import ras_ext

    vectors = ras_ext.calibrate(organism.model, organism.processor, schedule="auto", max_new_tokens=8)
    assert type(vectors) is type(organism.vectors)
    assert load_vectors(vectors.save(tmp_path / "pack"), model=organism.model).id == vectors.id


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def ras_ext_in(environ: dict[str, str], folder: Path, program: str) -> dict[str, Any]:
    """The last line, JSON, of a program in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PUBLISH = """
import json, ras_ext
model, processor = ras_ext.models.load("llava")
lists = dict(unsafe=["w1 w2", "w3 w4", "w5"], safe=["w6 w7", "w8 w9", "w10"])
vectors = ras_ext.calibrate(model, processor, **lists, max_new_tokens=6, name="llava-1.5-7b", base_model=BASE)
vectors.save("pack")
published = ras_ext.load_vectors("pack").push_to_hub("ras-ext/llava-1.5-7b-hf-ras")
print(json.dumps({"id": vectors.id, "tag": published.tag, "revision": published.revision}))
"""
GUARD = """
import json, ras_ext
from PIL import Image
model, processor = ras_ext.models.load("llava")
vectors = ras_ext.load_vectors("llava-1.5", model=model, processor=processor, allow_mismatch=["id"])
guard = ras_ext.Guard(model, processor, vectors)
answer = guard.generate(Image.new("RGB", (20, 20)), "w3 w4", max_new_tokens=6)
print(json.dumps({"id": vectors.id, "risk": answer.risk, "text": answer.text}))
"""


def test_llava_1_5_by_its_alias_from_publishing_to_a_guarded_answer(hub: Hub, tmp_path: Path) -> None:
    """A tiny random model with the layout of LLaVA-1.5; its pack stands where the alias leads."""
    build_stranger(tmp_path / "llava", tied=False, padding_side="left")
    maker = hub.environ(tmp_path)
    published = ras_ext_in(maker, tmp_path, PUBLISH.replace("BASE", "None"))
    assert published["tag"] == "v1"
    user = hub.environ(tmp_path, None, RAS_EXT_HOME=str(tmp_path / "user"), HF_HOME=str(tmp_path / "user-hf"))
    answered = ras_ext_in(user, tmp_path, GUARD)
    assert answered["id"].split("@")[1] == published["id"].split("@")[1]
    assert 0.0 <= answered["risk"] <= 1.0
    # Later, and with no network: the same.
    hub.forget()
    assert ras_ext_in({**user, "HF_HUB_OFFLINE": "1"}, tmp_path, GUARD) == answered
    assert ras_ext_in(user, tmp_path, GUARD) == answered
    assert hub.log() == []
