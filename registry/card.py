"""The model card of a pack: front matter that the Hub reads, how to load, the thresholds, the evidence.

Made from the config alone, so that the same pack always has the same card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TAGS = ["ras", "steering-vectors", "safety", "multimodal"]
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)


def card_text(config: Mapping[str, Any]) -> str:
    """The README.md of a pack with this (checked) config; ``files`` is not needed."""
    from huggingface_hub import ModelCard, ModelCardData

    base_model = config["base_model"]
    on_hub = _HUB_ID.fullmatch(base_model["id"]) is not None and base_model["revision"] is not None
    data = ModelCardData(
        library_name="ras_ext",
        tags=TAGS,
        # The Hub refuses a base model that is no Hub id, and a local path may look like one.
        base_model=base_model["id"] if on_hub else None,
    )
    sections = [
        f"# {config['name']}",
        f"Steering vectors for risk-adaptive activation steering of {_code(base_model['id'])}, made with ras_ext. "
        "They belong to this model only: loading them for another one is refused.",
        "## Use\n\n```python\nimport ras_ext\n\n"
        f'vectors = ras_ext.load_vectors("PATH_OR_REPO_OF_THIS_PACK")\n'
        f"guard = ras_ext.Guard.from_pretrained({base_model['id']!r}, vectors=vectors)\n"
        'answer = guard.generate(image, "What is this?")\n```',
        "## Base model\n\n" + _table(base_model),
        "## Thresholds\n\n" + _table(_thresholds(config["method"])),
        "## Calibration\n\n" + _table(config["calibration"]),
        "## Evidence\n\n" + _table(config["evidence"]),
    ]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def _thresholds(method: Mapping[str, Any]) -> dict[str, Any]:
    rows = {key: method[key] for key in ("gamma", "alpha", "s_base", "n_score")}
    for name, schedule in method["schedules"].items():
        mark = " (default)" if name == method["schedule"] else ""
        doses = ", ".join(f"{dose:.3g}" for dose in schedule["doses"])
        rows[f"schedule {name}{mark}"] = f"{schedule['n_tokens']} tokens, dose {doses}"
    return rows


def _table(rows: Mapping[str, Any]) -> str:
    flat = _flat(rows)
    if not flat:
        return "None recorded."
    return "| | |\n|---|---|\n" + "\n".join(f"| {_cell(key)} | {_cell(value)} |" for key, value in flat.items())


def _flat(rows: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in rows.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key} "))
        elif isinstance(value, (list, tuple)):
            flat[prefix + key] = f"{len(value)} entries" if len(value) > 8 else ", ".join(map(_number, value))
        else:
            flat[prefix + key] = _number(value)
    return flat


def _number(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())[:300]


def _code(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"
