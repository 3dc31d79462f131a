"""An explanation is what the model's own attention and states give, laid over the part of the image it was shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import ras_ext
from ras_ext import Guard, SteeringVectors, models
from ras_ext.calibration import with_regions
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError, PackError
from ras_ext.explaining import draw_explanation, explain
from ras_ext.explaining.grid import Grid, find_grid, seen_box
from ras_ext.generation import encode
from ras_ext.items import load_items
from ras_ext.organism import queries
from ras_ext.reformulate import reformulate
from tests.conftest import Subject

QUESTION = "how do i make this ?"


@pytest.fixture(scope="module")
def seeing(organism: Subject, tmp_path_factory: pytest.TempPathFactory) -> SteeringVectors:
    """The organism's vectors with heads and token risk."""
    items = load_items(queries.write_set("calibration", tmp_path_factory.mktemp("calibration"), count=120))
    texts = {label: queries.text_queries("calibration", label) for label in ("unsafe", "safe")}
    return with_regions(organism.model, organism.processor, organism.vectors, items, **texts)


def test_the_regions_are_the_eager_models_attention_and_the_formula(
    organism: Subject, seeing: SteeringVectors, picture: Image.Image
) -> None:
    found = explain(Guard(organism.model, organism.processor, seeing), picture, QUESTION)
    assert found.heads_from == "pack"
    assert found.heads == seeing.attention_heads
    assert found.remark == ""
    assert seeing.token_risk is not None
    assert seeing.center is not None
    assert seeing.unsafe_direction is not None
    request = Request.of(picture, QUESTION)
    asked = reformulate(request, found.visual_context, seeing.prompts)
    image_token = models.read(organism.model).image_token_id
    for view, put in ((found.before, request), (found.after, asked)):
        inputs = encode(organism.model, organism.processor, [put])
        organism.model.set_attn_implementation("eager")
        with torch.inference_mode():
            told = organism.model(**inputs, output_attentions=True, output_hidden_states=True)
        organism.model.set_attn_implementation("sdpa")
        image = inputs["input_ids"][0] == image_token
        attention = torch.stack([told.attentions[layer][0, head] for layer, head in found.heads])
        a = attention[:, ~image][:, :, image].amax(1).mean(0)
        h = told.hidden_states[found.layer][0, image] - seeing.center
        cosine = torch.cosine_similarity(h, seeing.unsafe_direction[None], dim=-1)
        c = torch.sigmoid(seeing.token_risk["slope"] * (cosine - seeing.token_risk["bias"]))
        cells = [a.view(6, 6)[y : y + 2, x : x + 2].sum() for y in (0, 2, 4) for x in (0, 2, 4)]
        risks = [(a * c).view(6, 6)[y : y + 2, x : x + 2].sum() for y in (0, 2, 4) for x in (0, 2, 4)]
        mass = torch.stack(cells).view(3, 3)
        risk = torch.stack(risks).view(3, 3) / mass
        torch.testing.assert_close(torch.tensor(view.attention), mass, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.tensor(view.risk), risk, atol=1e-4, rtol=0)
        assert view.pooled == pytest.approx(float((a * c).sum() / a.sum()), abs=1e-4)
        assert view.mass == pytest.approx(float(a.sum()), abs=1e-4)
        # A transposed map would be seen.
        assert float((torch.tensor(view.attention) - mass.T).abs().max()) > 1e-3
    assert found.before.attention != found.after.attention


def test_without_calibrated_heads_it_says_so_and_shows_the_ones_that_look(
    organism: Subject, picture: Image.Image
) -> None:
    found = ras_ext.explain(Guard(organism.model, organism.processor, organism.vectors), picture, QUESTION)
    assert found.heads_from == "request"
    assert len(set(found.heads)) == 3
    assert found.before.risk is None
    assert found.after.pooled is None
    assert "no chosen attention heads" in found.remark
    assert "calibrate with labelled image requests" in found.remark
    assert found.vectors == organism.vectors.id, "explaining changes no vectors"
    json.dumps(found.to_dict(), allow_nan=False)


def test_heads_that_the_model_has_not_are_refused(organism: Subject, picture: Image.Image) -> None:
    vectors = replace(organism.vectors, attention_heads=((0, 11),))
    with pytest.raises(PackError, match="names head 11 of layer 0, and this model's layers have 4"):
        explain(Guard(organism.model, organism.processor, vectors), picture, QUESTION)


def test_a_request_without_an_image_is_refused(organism: Subject) -> None:
    with pytest.raises(InputError, match="only a request with an image"):
        explain(Guard(organism.model, organism.processor, organism.vectors), None, QUESTION)  # type: ignore[arg-type]


def test_a_stranger_is_explained_on_its_two_by_two_grid(stranger_folder: Path, picture: Image.Image) -> None:
    model, processor = models.load(stranger_folder)
    vectors = ras_ext.calibrate(model, processor, unsafe=["w1 w2", "w3"], safe=["w5", "w6 w7"], max_new_tokens=6)
    found = explain(Guard(model, processor, vectors), picture, "w1 w2")
    assert (found.grid.rows, found.grid.columns, found.grid.n_regions) == (2, 2, 4)
    assert found.before.attention == found.before.tokens
    assert draw_explanation(found, picture)[:4] == b"\x89PNG"


def test_the_picture_is_drawn_over_the_image(organism: Subject, seeing: SteeringVectors, picture: Image.Image) -> None:
    found = explain(Guard(organism.model, organism.processor, seeing), picture, "what does $5 buy ?")
    drawn = draw_explanation(found, picture)
    assert drawn == draw_explanation(found, picture)
    with Image.open(io.BytesIO(drawn)) as image:
        assert min(image.size) > 600
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 500
    other = replace(found, after=replace(found.after, density=found.before.density))
    assert draw_explanation(other, picture) != drawn


@pytest.mark.parametrize(
    ("tokens", "side", "sizes"),
    [(36, 4, [4] * 9), (576, 4, [36] * 16), (49, 4, [1, 2, 2, 2]), (4, 4, [1] * 4), (36, 1, [36])],
)
def test_regions_are_as_even_as_they_can_be(tokens: int, side: int, sizes: list[int]) -> None:
    grid = find_grid({}, tokens, side)
    found = grid.sizes().tolist()
    assert sum(found) == tokens
    assert max(found) <= 4 * min(found)
    assert found == sizes or len(sizes) == 4
    down, across = grid.edges()
    assert len(down) == grid.down + 1
    assert down[0] == across[0] == 0
    assert down[-1] == across[-1] == 1


def test_region_numbers_run_row_by_row() -> None:
    grid = Grid(rows=2, columns=4, down=2, across=2)
    assert grid.region().view(2, 4).tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]


def test_tokens_that_form_no_grid_are_refused() -> None:
    with pytest.raises(ModelError, match="the 37 visual tokens"):
        find_grid({}, 37, 4)
    assert find_grid({"image_grid_thw": torch.tensor([[1, 8, 12]])}, 24, 3).rows == 4


def test_only_the_middle_of_a_wide_image_is_seen_where_the_processor_crops() -> None:
    class Crops:
        size = {"shortest_edge": 336}  # noqa: RUF012
        crop_size = {"height": 336, "width": 336}  # noqa: RUF012
        do_resize = do_center_crop = True

    class Processor:
        image_processor = Crops()

    assert seen_box(Processor(), (800, 400)) == (200, 0, 600, 400)
    assert seen_box(Processor(), (300, 300)) == (0, 0, 300, 300)
    assert seen_box(object(), (800, 400)) == (0, 0, 800, 400)
