"""Attention read beside the model's own implementation is what the eager model says, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ras_ext import compiled, models
from ras_ext.conversation import Request
from ras_ext.errors import ModelError
from ras_ext.explaining import AttentionReader
from ras_ext.explaining.decoder import Decoder, encoded, prefill
from ras_ext.explaining.places import Places, find_places
from tests.conftest import Subject

TOLERANCE = 1e-5


def batch(decoder: Decoder, processor: Any, picture: Image.Image, words: str) -> tuple[dict[str, torch.Tensor], Places]:
    """Two rows with an image and one without, all of other lengths."""
    requests = [Request.of(picture, words), Request.of(picture, words.split()[0]), Request.of(None, words)]
    inputs = encoded(decoder.parts, processor, requests)
    return inputs, find_places(decoder.parts, inputs)


def every_head(decoder: Decoder) -> list[tuple[int, int]]:
    return [(layer, head) for layer in range(len(decoder.layers)) for head in range(decoder.n_heads())]


def by_the_eager_model(model: Any, inputs: dict[str, torch.Tensor], places: Places, heads: Any) -> torch.Tensor:
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            told = model(**inputs, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(own)
    found = torch.zeros(len(heads), *places.visual.shape)
    for row, (layer, head) in enumerate(heads):
        for b, count in enumerate(places.counts()):
            columns = places.visual[b, :count].long()
            found[row, b, :count] = told[layer][b, head][places.words[b]][:, columns].amax(0)
    return found


def agrees(model: Any, processor: Any, picture: Image.Image, words: str) -> tuple[torch.Tensor, torch.Tensor]:
    decoder = Decoder(models.read(model))
    inputs, places = batch(decoder, processor, picture, words)
    heads = every_head(decoder)
    with AttentionReader(decoder, places, heads) as reader:
        prefill(decoder.parts, inputs)
    return reader.attention, by_the_eager_model(model, inputs, places, heads)


@pytest.mark.parametrize("own", ["sdpa", "eager"])
def test_the_organisms_attention_is_what_its_eager_form_tells(
    organism: Subject, picture: Image.Image, own: str
) -> None:
    organism.model.set_attn_implementation(own)
    try:
        found, told = agrees(organism.model, organism.processor, picture, "how do i make this ?")
    finally:
        organism.model.set_attn_implementation("sdpa")
    torch.testing.assert_close(found, told, atol=TOLERANCE, rtol=0)
    assert float(found[:, :2].amin(dim=(0, 1)).max()) > 0
    assert not found[:, 2].any(), "a row without an image has nothing to attend to"
    # Twins: another head's attention, and a mean over words in place of the maximum, are told apart.
    assert float((found - told.roll(1, 0)).abs().max()) > 100 * TOLERANCE


def test_a_strangers_attention_is_what_its_eager_form_tells(stranger_folder: Path, picture: Image.Image) -> None:
    model, processor = models.load(stranger_folder)
    found, told = agrees(model, processor, picture, "w1 w2 w3 w4")
    torch.testing.assert_close(found, told, atol=TOLERANCE, rtol=0)
    assert float((found - told.roll(1, 2)).abs().max()) > 100 * TOLERANCE


def test_the_models_answer_is_the_same_while_it_is_read(organism: Subject, picture: Image.Image) -> None:
    decoder = Decoder(models.read(organism.model))
    inputs, places = batch(decoder, organism.processor, picture, "what is this ?")
    with torch.inference_mode():
        alone = organism.model(**inputs, use_cache=False).logits
        with AttentionReader(decoder, places, every_head(decoder)):
            read = organism.model(**inputs, use_cache=False).logits
    assert torch.equal(alone, read)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_models_own_implementation_comes_back(organism: Subject, picture: Image.Image, ends: str) -> None:
    decoder = Decoder(models.read(organism.model))
    inputs, places = batch(decoder, organism.processor, picture, "what is this ?")
    before = [config._attn_implementation for config in decoder.configs()]

    def leave() -> None:
        with AttentionReader(decoder, places, [(0, 0)]):
            prefill(decoder.parts, inputs)
            assert [config._attn_implementation for config in decoder.configs()] != before
            if ends == "badly":
                raise KeyError("on the way")

    if ends == "badly":
        with pytest.raises(KeyError, match="on the way"):
            leave()
    leave() if ends == "well" else None
    assert [config._attn_implementation for config in decoder.configs()] == before
    with AttentionReader(decoder, places, [(0, 0)]):  # and it can be read again
        prefill(decoder.parts, inputs)


def largest_allocation(act: Any) -> int:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        act()
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    return max(event.nbytes() for event in events if event.name() == "[memory]")


def test_no_attention_matrix_is_written(organism: Subject, picture: Image.Image) -> None:
    if not compiled.serves("attention_peak_", "cpu"):
        pytest.skip("plain torch writes it; the compiled operator is not built")
    decoder = Decoder(models.read(organism.model))
    request = Request.of(picture, " ".join(["what is this ?"] * 250))
    inputs = encoded(decoder.parts, organism.processor, [request])
    places = find_places(decoder.parts, inputs)
    matrix = 4 * places.width**2
    assert matrix > 4_000_000

    def read() -> None:
        with AttentionReader(decoder, places, [(3, 1), (3, 2), (2, 0)]):
            prefill(decoder.parts, inputs)

    def by_asking() -> None:
        by_the_eager_model(organism.model, inputs, places, [(3, 1)])

    assert largest_allocation(read) < matrix / 2
    assert largest_allocation(by_asking) >= matrix, "the measure would not see a matrix"


def test_a_head_or_layer_that_is_not_there_is_named(organism: Subject, picture: Image.Image) -> None:
    decoder = Decoder(models.read(organism.model))
    inputs, places = batch(decoder, organism.processor, picture, "what is this ?")
    with pytest.raises(ModelError, match="attention of layer 9 was asked for and the model has 4"):
        AttentionReader(decoder, places, [(9, 0)])
    with pytest.raises(ModelError, match="head 7 was asked for"), AttentionReader(decoder, places, [(0, 7)]):
        prefill(decoder.parts, inputs)
    assert organism.model.config._attn_implementation == "sdpa"


def test_a_model_that_never_computes_the_attention_is_an_error(organism: Subject, picture: Image.Image) -> None:
    decoder = Decoder(models.read(organism.model))
    _, places = batch(decoder, organism.processor, picture, "what is this ?")
    with pytest.raises(ModelError, match="nothing was read"), AttentionReader(decoder, places, [(0, 0)]):
        pass
    with pytest.raises(ModelError, match="being read already"), AttentionReader(decoder, places, [(0, 0)]):
        AttentionReader(decoder, places, [(0, 0)]).__enter__()


def test_reading_wants_the_whole_prompt_at_once(organism: Subject, picture: Image.Image) -> None:
    decoder = Decoder(models.read(organism.model))
    inputs, places = batch(decoder, organism.processor, picture, "what is this ?")
    short = {name: t[:, -3:] if t.ndim == 2 else t for name, t in inputs.items() if name != "pixel_values"}
    with pytest.raises(ModelError, match="over a whole prompt"), AttentionReader(decoder, places, [(0, 0)]):
        prefill(decoder.parts, short)
