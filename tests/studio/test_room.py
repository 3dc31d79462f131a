"""Whether a model fits is asked before it is opened, and never stands in the way where nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ras_ext.errors import ModelError
from ras_ext.studio.room import available, must_fit, size_of


def weights(folder: Path, name: str, size: int) -> None:
    """A file of that size that takes no room on the disk."""
    with open(folder / name, "wb") as file:
        file.truncate(size)


def test_a_model_larger_than_memory_is_refused_with_both_sizes(tmp_path: Path) -> None:
    weights(tmp_path, "model-00001.safetensors", 6 << 40)
    weights(tmp_path, "model-00002.safetensors", 4 << 40)
    said = r"the model big does not fit: its weights are 10240\.0 GiB, and cpu has \d+\.\d GiB free; take a smaller"
    with pytest.raises(ModelError, match=said):
        must_fit("big", str(tmp_path), None)


def test_a_model_that_fills_memory_to_the_brim_leaves_no_room_for_an_answer(tmp_path: Path) -> None:
    weights(tmp_path, "model.safetensors", int(available(None) * 0.97))
    with pytest.raises(ModelError, match="does not fit"):
        must_fit("big", str(tmp_path), "cpu")


def test_a_small_model_fits(tmp_path: Path) -> None:
    weights(tmp_path, "model.safetensors", 1 << 20)
    must_fit("small", str(tmp_path), None)


def test_weights_that_are_stored_twice_count_once(tmp_path: Path) -> None:
    weights(tmp_path, "model.safetensors", 1000)
    weights(tmp_path, "pytorch_model.bin", 1200)
    assert size_of("x", str(tmp_path)) == 1000
    (tmp_path / "model.safetensors").unlink()
    assert size_of("x", str(tmp_path)) == 1200


def test_a_folder_without_weights_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert size_of("x", str(tmp_path)) is None
    must_fit("x", str(tmp_path), None)


def test_a_hub_that_cannot_be_reached_is_left_to_whoever_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    must_fit("x", "nobody/nothing", None)


@pytest.mark.parametrize("place", ["not a / repo", "..", "a/b/c/d"])
def test_a_name_that_the_hub_cannot_have_is_left_to_whoever_opens_it(place: str) -> None:
    must_fit("x", place, None)


def test_without_a_network_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert size_of("x", "nobody/nothing") is None


def test_a_device_that_is_not_there_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    weights(tmp_path, "model.safetensors", 10 << 40)
    must_fit("x", str(tmp_path), "cuda:77")


def test_free_memory_is_what_the_system_says() -> None:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    assert 0 < available(None) <= total * 1024
