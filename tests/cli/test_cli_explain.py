"""``ras-ext explain`` writes a picture and the same JSON that it prints."""

from __future__ import annotations

import json

from tests.cli.cli_runs import only_json, run
from tests.cli.conftest import Workplace


def test_explain_writes_a_picture_and_its_numbers(workplace: Workplace) -> None:
    image = workplace.data.parent / "1.png"
    done = run(
        *("explain", workplace.model, "--vectors", workplace.pack, "--image", image, "--text", "w1 w2"),
        *("--out", "seen", "--json"),
        cwd=workplace.folder,
    )
    found = only_json(done)
    assert len(found["before"]["attention"]) == len(found["after"]["attention"]) == 2
    assert len(found["heads"]) == 3
    assert (workplace.folder / "seen" / "explanation.png").read_bytes()[:4] == b"\x89PNG"
    kept = json.loads((workplace.folder / "seen" / "explanation.json").read_text("utf-8"))
    assert kept == {**found, "picture": "explanation.png"}


def test_explain_draws_the_layers_of_labelled_requests(workplace: Workplace) -> None:
    done = run(
        *("explain", workplace.model, "--vectors", workplace.pack, "--layers", "--data", workplace.data),
        *("--out", "layers", "--json"),
        cwd=workplace.folder,
    )
    found = only_json(done)
    assert set(found["ratio"]) == {"original", "visual context", "safety prompt", "both"}
    assert (workplace.folder / "layers" / "layers.png").read_bytes()[:4] == b"\x89PNG"


def test_explain_without_an_image_is_wrong_use(workplace: Workplace) -> None:
    done = run("explain", workplace.model, "--vectors", workplace.pack, "--text", "w1", cwd=workplace.folder)
    assert done.returncode == 2
    assert "give both" in done.stderr
