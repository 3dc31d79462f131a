"""Turns a report into one HTML page that needs nothing beside it: plots and pictures are inside, in light and dark."""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from ras_ext.conversation import load_image
from ras_ext.evaluation.examples import pick
from ras_ext.evaluation.plots import risk_histogram
from ras_ext.evaluation.report import Report
from ras_ext.items import Item
from ras_ext.registry.theme import DARK, LIGHT

TITLES = {
    "none": "no defence",
    "safety_prompt": "safety prompt",
    "ras": "RAS, paper's schedule",
    "ras_auto": "RAS, calibrated schedule",
}
_SIDE = 360  # pixels of an example's longer side
_LENGTH = 700  # characters of an answer that are shown


def title(defense: str) -> str:
    """The name of a defence as people read it."""
    return TITLES.get(defense, defense.replace("_", " "))


def render(report: Report) -> str:
    """The page as HTML; every text in it is escaped."""
    names = [row.defense for row in report.rows]
    looking = [name for name in names if any(r.risk is not None for r in report.records if r.defense == name)]
    before = "none" if "none" in names else names[0]
    after = (looking or names)[-1]
    scored = [record for record in report.records if looking and record.defense == looking[0]]
    plots = [risk_histogram(scored, report.vectors, theme) for theme in (LIGHT, DARK)] if report.vectors else []
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=_percent, title=title, picture=_picture, clip=_clip, interval=_interval)
    template = environment.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))
    return template.render(
        report=report,
        names=names,
        before=before,
        after=after,
        light=plots[0] if plots else None,
        dark=plots[1] if plots else None,
        kinds=_by_kind(report),
        examples=pick(report, before, after),
        # Harmful answers of a real model are folded away; the organism's are invented words.
        fold=report.model != "builtin:organism",
    )


def _by_kind(report: Report) -> dict[str, dict[str, dict[str, Any]]]:
    """label -> kind -> defence -> row."""
    found: dict[str, dict[str, dict[str, Any]]] = {"unsafe": {}, "safe": {}}
    for row in report.kinds:
        found[row.label].setdefault(row.kind or "without a kind", {})[row.defense] = row
    return found


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f} – {100 * bounds[1]:.1f}"


def _clip(text: str) -> str:
    return text if len(text) <= _LENGTH else text[:_LENGTH].rstrip() + " …"


def _picture(item: Item) -> str:
    """The item's image as PNG (base64), small enough for a page."""
    if item.image is None:
        return ""
    image = load_image(item.image)
    image.thumbnail((_SIDE, _SIDE))
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()
