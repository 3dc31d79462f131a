"""Where in the image the risk is: attention and risk per region, before and after the request is reformulated.

Before is the request as it was put, after is what stage 2 judges: safety prompt, visual context and question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ras_ext.conversation import Request
from ras_ext.errors import InputError, PackError
from ras_ext.explaining.decoder import Decoder, encoded, prefill
from ras_ext.explaining.evidence import region_risks
from ras_ext.explaining.grid import Box, Grid, find_grid, seen_box
from ras_ext.explaining.interface import AttentionReader
from ras_ext.explaining.looking import look
from ras_ext.explaining.places import find_places
from ras_ext.reformulate import reformulate
from ras_ext.vectors import SteeringVectors

if TYPE_CHECKING:
    from ras_ext.guard import Guard

SIDE = 4  # regions down and across, at most
_HEADS = 3  # that are chosen on the spot

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class View:
    """One request's attention and risk over the image; rows run from the top of the image down.

    Attributes:
        query: the text beside the image.
        attention: mass of each region, Σ a_j over its tokens.
        density: mass of each region over its number of tokens, comparable between regions of unequal size.
        risk: risk of each region in [0, 1], Σ a_j c_j over its mass; ``None`` without a calibrated token risk.
        pooled: ρ, the same over the whole image; ``None`` likewise.
        mass: attention to the whole image.
        tokens: a_j of each visual token.
    """

    query: str
    attention: Rows
    density: Rows
    risk: Rows | None
    pooled: float | None
    mass: float
    tokens: Rows


@dataclass(frozen=True)
class Explanation:
    """Where a model looks and where the risk is.

    Attributes:
        before, after: the request as put and as reformulated.
        grid: of the visual tokens and the regions.
        box: the part of the image that the model is shown: left, top, right, bottom in pixels.
        size: width and height of the image.
        heads: ``(layer, head)`` pairs that were read.
        heads_from: ``"pack"`` where calibration chose them, ``"request"`` where they are those that look most at this
            very image.
        layer: where the token risk is taken; ``None`` without one.
        risk, similarity, visual_context: what stages 1 and 2 found.
        remark: what is missing and how to get it; empty where nothing is.
        vectors: id of the vectors.
    """

    before: View
    after: View
    grid: Grid
    box: Box
    size: tuple[int, int]
    heads: tuple[tuple[int, int], ...]
    heads_from: str
    layer: int | None
    risk: float
    similarity: float
    visual_context: str
    remark: str
    vectors: str

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def explain(
    guard: Guard,
    image: Image.Image | str | Path,
    text: str,
    *,
    history: Sequence[tuple[str, str]] = (),
    side: int = SIDE,
) -> Explanation:
    """Shows which regions of an image the words attend to and where the risk is, before and after reformulation.

    Two forward passes beside stages 1 and 2. Without calibrated heads in the guard's vectors the three are read that
    look most at the image; without a calibrated token risk there is attention only, and ``remark`` says so.

    Args:
        guard: model and vectors.
        image, text, history: the request.
        side: regions down and across, at most; as many as divide the visual tokens evenly.

    Raises:
        InputError: there is no image, or it cannot be opened.
        ModelError: the attention cannot be read, or the visual tokens form no grid.
        PackError: the vectors name heads that the model has not.
    """
    if image is None:
        raise InputError("only a request with an image can be explained, got none; give an image")
    request = Request.of(image, text, history)
    found = guard.assess_batch([request])[0]
    vectors, processor = guard.vectors, guard.processor
    asked = reformulate(request, found.visual_context, vectors.prompts)
    decoder = Decoder(guard.parts)
    heads, heads_from = _heads(decoder, processor, asked, vectors)
    layer = None if vectors.token_risk is None else int(vectors.token_risk["layer"])
    views = []
    for put in (request, asked):
        seen = look(decoder, processor, [put], heads, layer)
        grid = find_grid(seen.inputs, seen.places.counts()[0], side)
        views.append(_view(put, seen.attention, seen.states, grid, vectors))
    return Explanation(
        before=views[0],
        after=views[1],
        grid=grid,
        box=seen_box(processor, request.images[0].size),
        size=request.images[0].size,
        heads=heads,
        heads_from=heads_from,
        layer=layer,
        risk=found.risk,
        similarity=found.similarity,
        visual_context=found.visual_context,
        remark=_remark(vectors),
        vectors=vectors.id,
    )


def _heads(
    decoder: Decoder, processor: Any, asked: Request, vectors: SteeringVectors
) -> tuple[tuple[tuple[int, int], ...], str]:
    """The calibrated heads, or those whose mass on this image is greatest."""
    there = decoder.n_heads()
    if vectors.attention_heads:
        wrong = [pair for pair in vectors.attention_heads if pair[1] >= there]
        if wrong:
            raise PackError(
                f"{vectors.name!r} names head {wrong[0][1]} of layer {wrong[0][0]}, and this model's layers have "
                f"{there}; calibrate this model"
            )
        return vectors.attention_heads, "pack"
    every = [(layer, head) for layer in range(len(decoder.layers)) for head in range(there)]
    inputs = encoded(decoder.parts, processor, [asked])
    with AttentionReader(decoder, find_places(decoder.parts, inputs), every) as reader:
        prefill(decoder.parts, inputs)
    best = reader.attention.sum((1, 2)).argsort(descending=True, stable=True)[:_HEADS]
    return tuple(every[index] for index in best.tolist()), "request"


def _view(
    request: Request, attention: torch.Tensor, states: torch.Tensor | None, grid: Grid, vectors: SteeringVectors
) -> View:
    region = grid.region()
    mass = torch.zeros(grid.n_regions).index_add(0, region.long(), attention[0])
    risk = pooled = None
    if states is not None:
        mass, risk, pooled = (
            t[0].cpu() for t in region_risks(states, attention, region[None], grid.n_regions, vectors)
        )
    return View(
        query=request.query,
        attention=_rows(mass, grid.across),
        density=_rows(mass / grid.sizes(), grid.across),
        risk=None if risk is None else _rows(risk, grid.across),
        pooled=None if pooled is None else float(pooled),
        mass=float(attention.sum()),
        tokens=_rows(attention[0], grid.columns),
    )


def _rows(values: torch.Tensor, width: int) -> Rows:
    return tuple(tuple(row) for row in values.reshape(-1, width).tolist())


def _remark(vectors: SteeringVectors) -> str:
    missing = []
    if not vectors.attention_heads:
        missing.append("no chosen attention heads, so the ones that look most at this image are shown")
    if vectors.token_risk is None:
        missing.append("no risk of visual tokens, so attention is shown without it")
    if not missing:
        return ""
    return (
        f"the vectors {vectors.name!r} hold {', and '.join(missing)}; calibrate with labelled image requests, or give "
        "some with --data"
    )
