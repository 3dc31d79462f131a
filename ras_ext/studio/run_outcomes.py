"""Reads outcomes off a finished evaluation run: what its defences answered under one pack's prototypes and doses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ras_ext.errors import InputError
from ras_ext.evaluation.record import Record
from ras_ext.evaluation.report import Report
from ras_ext.studio.outcomes import Outcome, Outcomes, Setting
from ras_ext.vectors import SteeringVectors


def outcomes_of(report: Report, vectors: SteeringVectors) -> Outcomes:
    """The outcomes of a run at the risks that its defences found, at those of constant steering, and undefended.

    An answer depends on prototypes, doses and risk alone, so defences that judge otherwise count as answers too; the
    similarity is that of one that judges as the paper does.

    Raises:
        InputError: the run measured other vectors, or no defence of it judges in that way.
    """
    settings: Mapping[str, Any] = report.config.get("defenses", {})
    own = {name: one for name, one in settings.items() if one.get("vectors") == vectors.content_sha256}
    if not own:
        used = (report.vectors or {}).get("id")
        has = f"the run measured {used}" if used else "the run measured no steering vectors"
        raise InputError(
            f"{has}, and the pack chosen is {vectors.id}; choose the pack it measured, or answer a set here"
        )
    judges = [name for name, one in own.items() if _judges(one)]
    if not judges:
        raise InputError(
            f"no defence of the run ({', '.join(own)}) judges by the similarity alone; evaluate ras or ras_auto"
        )
    default = list(vectors.doses)
    judge = next((name for name in judges if own[name].get("doses") == default), judges[0])
    doses = own[judge].get("doses")
    same = [name for name, one in own.items() if one.get("doses") == doses]
    records = {(record.defense, record.id): record for record in report.records}
    each = []
    for item in report.items:
        found = [
            (risk, record)
            for name in [judge, *same, "none"]
            if (record := records.get((name, item.id))) and (risk := _risk(name, record, settings[name])) is not None
        ]
        each.append(Outcome.of(item, records[judge, item.id].similarity, found))
    return Outcomes(
        tuple(each),
        Setting(vectors.s_base, vectors.alpha),
        vectors.id,
        str(own[judge]["schedule"]),
        report.data or "an evaluation run",
        _count(report.config, "batch_size"),
        _count(report.config, "max_new_tokens"),
    )


def _judges(setting: Mapping[str, Any]) -> bool:
    """Whether the risk is that of one similarity, with the visual context."""
    plain: Sequence[tuple[str, Any]] = (("context", True), ("evidence", False), ("views", []))
    return "schedule" in setting and all(setting.get(name) == value for name, value in plain)


def _risk(name: str, record: Record, setting: Mapping[str, Any]) -> float | None:
    """The risk by which an answer was steered; a score that was not finite counted as 1."""
    if name == "none":
        return 0.0
    if "strength" in setting:
        return float(setting["strength"])
    return 1.0 if record.risk is None else record.risk


def _count(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"the settings of the run name no {name}, got {value!r}; evaluate again")
    return value
