"""Where the risk is: attention as the model computes it, read without its matrix; regions, layers, and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ras_ext import Guard, calibrate, explain, models
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError
from ras_ext.explaining import AttentionReader, layer_separation
from ras_ext.explaining.decoder import encoded, find_decoder, prefill
from ras_ext.explaining.places import find_places
from ras_ext.items import Item, load_items
from ras_ext.organism import queries
from ras_ext.organism.queries import PROMPTS
from tests.cli.cli_runs import only_json, run

from tests.conftest import Subject, build_stranger  # isort: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return load_items(queries.write_set("calibration", tmp_path_factory.mktemp("set"), count=48))


@pytest.fixture(scope="module")
def located(organism: Subject, images: list[Item]) -> Subject:
    """The organism with vectors that say which heads to read and how risky a visual token is."""
    lists = {label: queries.text_queries("calibration", label)[:24] for label in ("unsafe", "safe")}
    vectors = calibrate(organism.model, organism.processor, **lists, images=images, prompts=PROMPTS, max_new_tokens=8)
    return Subject(organism.model, organism.processor, vectors)


@pytest.fixture(params=["organism", "stranger-left", "stranger-right"])
def eager(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """A model whose own attention matrix can be asked for."""
    if request.param == "organism":
        return models.load("builtin:organism", attn_implementation="eager")
    side = request.param.split("-")[1]
    folder = build_stranger(tmp_path / "stranger", tied=False, padding_side=side)
    return models.load(folder, attn_implementation="eager")


def test_what_is_read_is_the_models_own_attention(eager: tuple[Any, Any], picture: Image.Image) -> None:
    model, processor = eager
    parts = models.read(model)
    decoder = find_decoder(parts)
    inputs = encoded(parts, processor, [Request.of(picture, "w1 w2 w3"), Request.of(picture.rotate(90), "w5")])
    places = find_places(parts, inputs)
    heads = [(layer, head) for layer in range(len(decoder.layers)) for head in range(decoder.n_heads())]
    with AttentionReader(decoder, places, heads) as reader:
        prefill(parts, inputs)
    with torch.inference_mode():
        matrices = model(**inputs, output_attentions=True).attentions
    for row, (layer, head) in enumerate(heads):
        for b in range(2):
            words = places.words[b].nonzero()[:, 0]
            visual = places.visual[b][places.visual[b] >= 0].long()
            peak = matrices[layer][b, head][words][:, visual].max(0).values
            assert (reader.attention[row, b, : len(visual)] - peak).abs().max() < 1e-5
    # The twin: another head's attention is another.
    assert (reader.attention[0] - reader.attention[1]).abs().max() > 1e-4


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_models_own_attention_answers_and_comes_back(picture: Image.Image, implementation: str) -> None:
    model, processor = models.load("builtin:organism", attn_implementation=implementation)
    parts = models.read(model)
    decoder = find_decoder(parts)
    inputs = encoded(parts, processor, [Request.of(picture, "what is this ?")])
    with torch.inference_mode():
        alone = model(**inputs).logits
    places = find_places(parts, inputs)
    with AttentionReader(decoder, places, [(0, 0)]), torch.inference_mode():
        assert torch.equal(model(**inputs).logits, alone)
    assert {config._attn_implementation for config in decoder.configs()} == {implementation}
    with pytest.raises(RuntimeError, match="on purpose"), AttentionReader(decoder, places, [(0, 0)]):
        raise RuntimeError("on purpose")
    assert {config._attn_implementation for config in decoder.configs()} == {implementation}
    for wrong in ([(99, 0)], [(0, 99)]):
        with pytest.raises(ModelError), AttentionReader(decoder, places, wrong):
            prefill(parts, inputs)
    with pytest.raises(ModelError, match="nothing was read"), AttentionReader(decoder, places, [(0, 0)]):
        pass
    assert torch.equal(model(**inputs).logits, alone)


def test_calibration_finds_heads_and_changes_nothing_else(
    organism: Subject, located: Subject, images: list[Item]
) -> None:
    vectors = located.vectors
    assert len(vectors.attention_heads) == 3
    lists = {label: queries.text_queries("calibration", label)[:24] for label in ("unsafe", "safe")}
    without = calibrate(
        organism.model, organism.processor, **lists, images=images, prompts=PROMPTS, max_new_tokens=8, regions=False
    )
    assert not without.attention_heads
    assert without.token_risk is None
    assert (without.s_base, without.alpha) == (vectors.s_base, vectors.alpha)
    assert torch.equal(without.prototypes, vectors.prototypes)
    assert torch.equal(without.prototype_mixture, vectors.prototype_mixture)


def test_an_explanation_shows_where_the_model_looks(located: Subject, images: list[Item]) -> None:
    harm = next(item for item in images if item.label == "unsafe" and item.kind == "picture")
    guard = Guard(located.model, located.processor, located.vectors)
    request = harm.request()
    found = explain(guard, request.images[0], request.query)
    assert found.heads == tuple(map(tuple, located.vectors.attention_heads))
    assert found.heads_from == "pack"
    for view in (found.before, found.after):
        assert sum(map(sum, view.attention)) == pytest.approx(view.mass, rel=1e-4)
        assert {len(row) for row in view.tokens} == {found.grid.columns}
    assert found.after.query != found.before.query
    assert found.risk == pytest.approx(guard.assess(request.images[0], request.query).risk)
    json.dumps(found.to_dict(), allow_nan=False)


def test_without_calibrated_heads_those_that_look_most_are_read(organism: Subject, picture: Image.Image) -> None:
    found = explain(Guard(organism.model, organism.processor, organism.vectors), picture, "what is this ?")
    assert found.heads_from == "request"
    assert "no chosen attention heads" in found.remark
    with pytest.raises(InputError, match="only a request with an image"):
        explain(Guard(organism.model, organism.processor, organism.vectors), None, "what is this ?")  # type: ignore[arg-type]


def test_evidence_from_attention_is_off_unless_asked_for(
    organism: Subject, located: Subject, images: list[Item]
) -> None:
    requests = [item.request() for item in images if item.image is not None][:6]
    plain = Guard(located.model, located.processor, located.vectors)
    weighed = Guard(located.model, located.processor, located.vectors, evidence="attention")
    for one, other in zip(plain.assess_batch(requests), weighed.assess_batch(requests), strict=True):
        assert one.similarity == pytest.approx(other.similarity, abs=1e-6)
        assert 0.0 <= other.risk <= 1.0
    assert {a.image_prefills for a in weighed.generate_batch(requests, max_new_tokens=4)} == {2}
    with pytest.raises(InputError, match="no calibrated evidence"):
        Guard(organism.model, organism.processor, organism.vectors, evidence="attention")
    with pytest.raises(InputError):
        Guard(located.model, located.processor, located.vectors, evidence="tea leaves")


def test_layers_tell_safe_from_unsafe_better_where_the_states_are_apart(organism: Subject, images: list[Item]) -> None:
    found = layer_separation(organism.model, organism.processor, images, PROMPTS)
    assert set(found.ratio) == {"original", "visual context", "safety prompt", "both"}
    assert {len(values) for values in found.ratio.values()} == {5}
    # Half of its harm is only in the picture: context and safety prompt together set it apart.
    assert found.ratio["both"][-1] > found.ratio["original"][-1]
    # The twin: labels that mean nothing are told apart worse.
    mixed = [
        Item(one.id, one.text, ("safe", "unsafe")[n % 2], one.image, one.reference, one.kind, one.history)
        for n, one in enumerate(sorted(images, key=lambda item: item.id))
    ]
    random = layer_separation(organism.model, organism.processor, mixed, PROMPTS)
    assert random.ratio["both"][-1] < found.ratio["both"][-1]


def test_the_command_writes_a_picture_and_json(images: list[Item], tmp_path: Path) -> None:
    item = next(one for one in images if one.image is not None and one.label == "unsafe")
    words = ("explain", "builtin:organism", "--image", item.image, "--text", item.text, "--out", "seen", "--json")
    found = only_json(run(*words, cwd=tmp_path))
    assert 0.0 <= found["risk"] <= 1.0
    written = json.loads((tmp_path / "seen/explanation.json").read_text())
    assert written["heads"] == found["heads"]
    with Image.open(tmp_path / "seen/explanation.png") as drawn:
        assert min(drawn.size) > 200
    missing = only_json(
        run("explain", "builtin:organism", "--image", "absent.png", "--text", "a", "--json", cwd=tmp_path), 1
    )
    assert "absent.png" in missing["error"]
