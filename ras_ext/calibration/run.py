"""The whole calibration: prototypes from text, baseline from images, schedule from evidence, doubts in words."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ras_ext import models
from ras_ext.base_model import describe_model
from ras_ext.calibration.baseline import Baseline, find_baseline, from_text
from ras_ext.calibration.context import context_trade
from ras_ext.calibration.findings import doubts
from ras_ext.calibration.longer import CANDIDATES, Bench, Case, Trial, choose
from ras_ext.calibration.prototypes import Prototypes, find_prototypes
from ras_ext.calibration.regions import Judged, add_regions
from ras_ext.calibration.scored import similarity_files
from ras_ext.errors import CalibrationError, ModelError
from ras_ext.items import LABELS, Item
from ras_ext.models import Parts, device_of, dtype_of, quantization_of
from ras_ext.prompts import DEFAULT_PROMPTS, Prompts
from ras_ext.queries import built_in
from ras_ext.registry.schema import LICENSE_LIMIT, LICENSE_RULE, installed_version, is_license
from ras_ext.schedule import Schedule
from ras_ext.vectors import SteeringVectors

Progress = Callable[[str, int, int], None]


@dataclass
class _Stage:
    """Counts one stage's work for a progress display."""

    report: Progress | None
    name: str
    total: int
    done: int = 0

    def __call__(self, count: int) -> None:
        self.done += count
        self.total = max(self.total, self.done)  # text is read a second time where images of it told nothing apart
        if self.report:
            self.report(self.name, self.done, self.total)


def calibrate(
    model: Any,
    processor: Any,
    *,
    unsafe: Sequence[str] | None = None,
    safe: Sequence[str] | None = None,
    images: Sequence[Item] | None = None,
    prompts: Prompts | None = None,
    schedule: str = "paper",
    n_tokens: int = 3,
    gamma: float = 0.3,
    max_new_tokens: int = 64,
    batch_size: int = 16,
    progress: Progress | None = None,
    name: str | None = None,
    base_model: str | None = None,
    license: str | None = None,
    regions: bool = True,
    n_heads: int = 3,
) -> SteeringVectors:
    """Calibrates a model: forward passes only, nothing is trained.

    Args:
        unsafe, safe: text queries; ``None`` takes the built-in lists.
        images: labelled image queries for the baseline; ``None`` writes the text queries into images or, for a
            model that cannot read those, scores the text itself. ``calibration["source"]`` says which.
        prompts: of the defence; English defaults.
        schedule: ``"paper"`` steers `n_tokens`; ``"auto"`` also finds the fewest tokens that keep harmful content out,
            stores both, and makes the found one the default.
        n_tokens, gamma: number of tokens scored and steered by the paper's schedule, and their decay.
        max_new_tokens: length of the answers that are looked at.
        progress: called with (stage, done, total).
        name, base_model: what the pack and its base model are to be called.
        license: the pack's licence as the Hub writes it, such as ``apache-2.0``.
        regions: with labelled `images`, also find the attention heads and the token risk that say where in an image the
            risk is: two more passes over the images; nothing else depends on them.
        n_heads: how many heads are kept.

    Raises:
        ModelError: the model's family is not supported.
        CalibrationError: there are too few queries, the model's answers cannot be used, or a setting is not one; the
            message says why.
    """
    if schedule not in ("paper", "auto"):
        raise CalibrationError(f"schedule must be 'paper' or 'auto', got {schedule!r}")
    if license is not None and not is_license(license):
        raise CalibrationError(f"license must be {LICENSE_RULE} of at most {LICENSE_LIMIT} characters, got {license!r}")
    unsafe = list(built_in("unsafe") if unsafe is None else unsafe)
    safe = list(built_in("safe") if safe is None else safe)
    for label, queries in (("unsafe", unsafe), ("safe", safe)):
        if not queries:
            raise CalibrationError(f"the list of {label} queries is empty; give about 50")
    prompts = prompts or DEFAULT_PROMPTS
    parts = models.read(model)
    processor = models.as_processor(model.config, processor)
    start = datetime.datetime.now(datetime.timezone.utc)

    prototypes = find_prototypes(
        parts,
        processor,
        unsafe,
        safe,
        n_score=n_tokens,
        steps=max(n_tokens, CANDIDATES[-1] if schedule == "auto" else n_tokens),
        gamma=gamma,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        advance=_Stage(progress, "prototypes", len(unsafe) + len(safe)),
    )
    scored: dict[str, Any] = {
        "prompts": prompts,
        "mixture": prototypes.mixture,
        "gamma": gamma,
        "n_score": n_tokens,
        "batch_size": batch_size,
        "advance": _Stage(progress, "baseline", len(unsafe) + len(safe) if images is None else len(images)),
    }
    if images is None:
        baseline = from_text(model, processor, unsafe, safe, **scored)
    else:
        labelled = {label: [item.request() for item in images if item.label == label] for label in LABELS}
        baseline = find_baseline(model, processor, labelled, "images", **scored)
    vectors = SteeringVectors(
        name=name or _short_name(base_model or getattr(model.config, "_name_or_path", "") or parts.family.name),
        base_model=describe_model(model, processor, final_norm=parts.family.final_norm, id=base_model),
        prototypes=prototypes.unsafe,
        prototype_mixture=prototypes.mixture,
        gamma=gamma,
        alpha=baseline.alpha,
        s_base=baseline.s_base,
        prompts=prompts,
        schedules={"paper": Schedule(n_tokens, (1.0,) * n_tokens)},
        n_score=n_tokens,
        license=license,
    )
    trials: list[Trial] = []
    schedules = dict(vectors.schedules)
    if schedule == "auto":
        advance = _Stage(progress, "schedule", sum(n <= prototypes.unsafe.shape[0] for n in CANDIDATES) or 1)
        bench = Bench(
            parts,
            processor,
            vectors,
            _cases(baseline, images),
            baseline.requests["safe"],
            refusals=prototypes.refusals,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            pause=partial(advance, 0),  # a trial is long: whoever watches is asked between its batches
        )
        schedules["auto"], trials = choose(bench, prototypes.unsafe.shape[0], advance)
    record = _record(parts, processor, prototypes, baseline, trials, unsafe, safe, images)
    settings = {**scored, "advance": _Stage(progress, "context", len(baseline.unsafe) + len(baseline.safe))}
    if trade := context_trade(model, processor, baseline, **settings):
        record["context"] = trade
    record["date"] = start.date().isoformat()
    longest = max(one.n_tokens for one in schedules.values())
    found = replace(
        vectors,
        schedules=schedules,
        schedule=schedule,
        # Safe answers may be too short to have a mean state for every steered token.
        safe_prototypes=prototypes.safe if prototypes.safe.shape[0] >= longest else None,
        calibration=record,
        evidence_files=similarity_files(baseline, images),
    )
    if not regions or images is None:
        return found
    judged = _judged(baseline)
    advance = _Stage(progress, "regions", 2 * len(judged.requests) + len(unsafe) + len(safe))
    try:
        return add_regions(
            parts, processor, found, judged, (unsafe, safe), top=n_heads, batch_size=batch_size, advance=advance
        )
    except (ModelError, CalibrationError) as error:
        # The defence does not need the regions; whoever wants to see them must hear why they are missing.
        record["warnings"].append(f"where in an image the risk is was not calibrated: {error}")
        return replace(found, calibration=record)


def _judged(baseline: Baseline) -> Judged:
    """The scored requests that have an image."""
    requests, unsafe, contexts, similarity = [], [], [], []
    for label, scores in (("unsafe", baseline.unsafe), ("safe", baseline.safe)):
        rows = zip(baseline.requests[label], baseline.contexts[label], scores.tolist(), strict=True)
        for request, context, score in rows:
            if request.has_image:
                requests.append(request)
                unsafe.append(label == "unsafe")
                contexts.append(context)
                similarity.append(score)
    return Judged(requests, torch.tensor(unsafe, dtype=torch.bool), contexts, torch.tensor(similarity))


def _cases(baseline: Baseline, images: Sequence[Item] | None) -> list[Case]:
    """The unsafe requests that were scored, each with the content that must not come, where it is known."""
    unsafe = baseline.requests["unsafe"]
    references = [item.reference for item in images if item.label == "unsafe"] if images else [None] * len(unsafe)
    return [Case(request, reference) for request, reference in zip(unsafe, references, strict=True)]


def _record(
    parts: Parts,
    processor: Any,
    prototypes: Prototypes,
    baseline: Baseline,
    trials: Sequence[Trial],
    unsafe: Sequence[str],
    safe: Sequence[str],
    images: Sequence[Item] | None,
) -> dict[str, Any]:
    """Everything a reader of the pack wants to know about how it came about, as plain values."""
    first_token = processor.tokenizer.decode([prototypes.first_token])
    digest = hashlib.sha256("\n".join([*unsafe, "", *safe]).encode())
    for item in images or ():
        digest.update(repr((item.id, item.text, item.label, item.reference)).encode())
        digest.update(Path(item.image).read_bytes() if item.image else b"")
    return {
        "n_unsafe": len(unsafe),
        "n_safe": len(safe),
        "n_images": len(images or ()),
        "data_sha256": digest.hexdigest(),
        "source": baseline.source,
        "similarity_unsafe": [float(baseline.unsafe.mean()), float(baseline.unsafe.min())],
        "similarity_safe": [float(baseline.safe.mean()), float(baseline.safe.max())],
        "false_positives": float((baseline.safe > baseline.s_base).float().mean()),
        "false_negatives": float((baseline.unsafe < baseline.s_base).float().mean()),
        "refused": prototypes.refused,
        "prototype_spread": prototypes.spread,
        "first_token": first_token,
        "first_token_ambiguity": prototypes.ambiguity,
        "trials": [asdict(trial) for trial in trials],
        "warnings": doubts(prototypes, baseline, first_token),
        "ras_ext_version": installed_version(),
        "torch_version": torch.__version__,
        "dtype": str(dtype_of(parts.model)).removeprefix("torch."),
        "quantization": quantization_of(parts.model),
        "device": device_of(parts.model).type,
    }


def _short_name(path: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in path.rstrip("/").split("/")[-1])
    return kept.strip("._-")[:90] or "vectors"
