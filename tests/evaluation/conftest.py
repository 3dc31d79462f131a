"""A model nobody trained with vectors calibrated on it, and a few requests: enough to run every step for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ras_ext import calibrate, models
from ras_ext.items import Item, load_items
from tests.conftest import Subject, build_stranger

SAFE, UNSAFE = ["w1 w2 w3", "w4 w5", "w6 w7 w8"], ["w11 w12", "w13 w14 w15", "w16 w17"]


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = build_stranger(tmp_path_factory.mktemp("untrained"), tied=False, padding_side="left")
    model, processor = models.load(folder)
    images = [
        Item(f"c{n}", text, label)
        for n, (text, label) in enumerate([*((t, "safe") for t in SAFE), *((t, "unsafe") for t in UNSAFE)])
    ]
    vectors = calibrate(
        model, processor, unsafe=UNSAFE, safe=SAFE, images=images, schedule="paper", max_new_tokens=8, name="stranger"
    )
    return Subject(model, processor, vectors)


def write_requests(folder: Path, count: int) -> Path:
    """A data file of `count` requests of both labels and three kinds, two in three with an image."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for n in range(count):
        image = None
        if n % 3:
            image = f"{n}.png"
            Image.new("RGB", (20, 20), (n * 37 % 256, n * 91 % 256, 80)).save(folder / image)
        line = {
            "id": f"r{n}",
            "image": image,
            "text": " ".join(f"w{(n * 7 + k) % 80}" for k in range(1 + n % 5)),
            "label": "unsafe" if n % 2 else "safe",
            "reference": f"w{n % 80}" if n % 4 < 2 else None,
            "kind": ("plain", "other", "")[n % 3],
        }
        lines.append(json.dumps(line))
    path = folder / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def requests_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_requests(tmp_path_factory.mktemp("requests"), 14)


@pytest.fixture(scope="session")
def requests(requests_file: Path) -> list[Item]:
    return load_items(requests_file)
