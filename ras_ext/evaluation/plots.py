"""Draws how the risk separates safe from unsafe requests, once for light and once for dark pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ras_ext.evaluation.record import Record
from ras_ext.items import LABELS
from ras_ext.registry.plots import risk_histograms
from ras_ext.registry.theme import Theme


def risk_histogram(records: Sequence[Record], vectors: Mapping[str, Any], theme: Theme) -> str | None:
    """PNG (base64) with two panels, similarity S and risk r of every request; None without any risk."""
    scored = [record for record in records if record.risk is not None]
    if not scored:
        return None
    similarities, risks = (
        {label: [v for r in scored if r.label == label and (v := getattr(r, name)) is not None] for label in LABELS}
        for name in ("similarity", "risk")
    )
    image = risk_histograms(similarities, risks, alpha=vectors["alpha"], s_base=vectors["s_base"], theme=theme)
    return base64.b64encode(image).decode()
