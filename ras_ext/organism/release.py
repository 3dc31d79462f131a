"""Turns a trained organism into what the wheel ships: its calibrated pack and a card of measured behaviour.

``python -m ras_ext.organism.release`` after ``python -m ras_ext.organism.train``; with ``--evidence`` the vectors that
ship stay to the bit, and only what their pack says of them is measured anew.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from ras_ext import calibrate, evaluate, load_vectors, models
from ras_ext.conversation import Request
from ras_ext.defenses import NAMES, build
from ras_ext.errors import CalibrationError
from ras_ext.generation import GREEDY, answer
from ras_ext.items import Item, load_items
from ras_ext.judge import contains_reference, opens_with_refusal
from ras_ext.organism import FOLDER, MODEL, PACK, queries
from ras_ext.organism.draw import draw
from ras_ext.organism.world import THINGS
from ras_ext.vectors import SteeringVectors


def calibrated(model: Any, processor: Any) -> SteeringVectors:
    """The organism's own vectors, from its calibration split."""
    with tempfile.TemporaryDirectory() as folder:
        images = load_items(queries.write_set("calibration", folder, count=120))
        return calibrate(
            model,
            processor,
            unsafe=queries.text_queries("calibration", "unsafe"),
            safe=queries.text_queries("calibration", "safe"),
            images=images,
            prompts=queries.PROMPTS,
            schedule="auto",
            max_new_tokens=32,
            name="organism",
            base_model="builtin:organism",
            license="apache-2.0",
        )


def with_evidence(vectors: SteeringVectors, model: Any, processor: Any, items: list[Item]) -> SteeringVectors:
    """The vectors with the table of all defences on the evaluation set, measured as the demo does."""
    defenses = [build(name, model, processor, vectors) for name in NAMES]
    return vectors.with_evidence(evaluate(defenses, items, max_new_tokens=32).to_dict(), data="evaluation.jsonl")


def documented(shipped: SteeringVectors, anew: SteeringVectors) -> SteeringVectors:
    """The shipped vectors with the licence and the similarities of the same calibration, run again.

    A sum over states ends in other last digits on another processor; vectors that are made anew for that would be other
    vectors to everyone who has pinned them.

    Raises:
        CalibrationError: the calibration came out differently, so that its similarities are no evidence of these.
    """
    same = abs(anew.s_base - shipped.s_base) < 1e-4 and abs(anew.alpha - shipped.alpha) < 1e-3
    if not same or anew.calibration["data_sha256"] != shipped.calibration["data_sha256"]:
        raise CalibrationError(
            f"calibration gives S_base {anew.s_base:.6f} today, the shipped vectors have {shipped.s_base:.6f}; "
            "run without --evidence"
        )
    return replace(shipped, license=anew.license, evidence_files=anew.evidence_files)


def caption_errors(model: Any, processor: Any, count: int = 300) -> float:
    """Share of evaluation pictures whose visual context is not what was drawn."""
    rng = random.Random(1)
    pairs = queries.true_contexts("evaluation", count)
    wrong = 0
    for start in range(0, len(pairs), 50):
        batch = pairs[start : start + 50]
        requests = [
            Request.of(Image.fromarray(draw(picture, rng)), queries.PROMPTS.visual_context) for picture, _ in batch
        ]
        said = answer(model, processor, requests, **{**GREEDY, "max_new_tokens": 16})
        wrong += sum(one.text != truth for one, (_, truth) in zip(said, batch, strict=True))
    return wrong / len(pairs)


def undefended(model: Any, processor: Any, items: list[Item]) -> dict[str, dict[str, float]]:
    """By label and kind: number of items, share refused, share whose answer contains the reference."""
    counts: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for start in range(0, len(items), 40):
        batch = items[start : start + 40]
        said = answer(model, processor, [item.request() for item in batch], **{**GREEDY, "max_new_tokens": 32})
        for item, one in zip(batch, said, strict=True):
            hit = (opens_with_refusal(one.text), contains_reference(one.text, item.reference or ""))
            counts[f"{item.label} {item.kind}"].append(hit)
    return {
        kind: {
            "n": len(hits),
            "refused": sum(refused for refused, _ in hits) / len(hits),
            "contains": sum(content for _, content in hits) / len(hits),
        }
        for kind, hits in sorted(counts.items())
    }


def write_card(folder: Path, facts: dict[str, Any]) -> None:
    """The model card, filled with measured figures only."""
    template = (FOLDER / "card.md.j2").read_text(encoding="utf-8")
    text = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(template).render(**facts)
    (folder / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the organism's pack and card.")
    parser.add_argument("--evidence", action="store_true", help="keep the vectors, measure their evidence anew")
    only_evidence = parser.parse_args().evidence
    model, processor = models.load(MODEL)
    vectors = calibrated(model, processor)
    if only_evidence:
        vectors = documented(load_vectors(PACK), vectors)
    with tempfile.TemporaryDirectory() as folder:
        items = load_items(queries.write_set("evaluation", folder))
        vectors = with_evidence(vectors, model, processor, items)
        vectors.save(PACK)
        if only_evidence:
            return
        kinds = undefended(model, processor, items)
    write_card(
        MODEL,
        {
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "things": len(THINGS),
            "held_out": [thing.name for thing in THINGS.values() if thing.held_out],
            "caption_errors": caption_errors(model, processor),
            "kinds": kinds,
            "calibration": vectors.calibration,
            "s_base": vectors.s_base,
            "alpha": vectors.alpha,
            "auto": vectors.schedules["auto"].n_tokens,
        },
    )


if __name__ == "__main__":
    main()
