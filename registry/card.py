"""The model card of a pack: front matter that the Hub reads, how to load, the thresholds, the evidence.

Made from the config and the names of the files alone, so that the same pack always has the same card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from .card_tables import base_model_table, calibration_tables, evaluation_table, thresholds_table
from .evidence import SIMILARITIES_FILE
from .markdown import code, listing
from .measured import KEY
from .plots import RISK_FILE, THRESHOLD_FILE

TAGS = ["ras", "steering-vectors", "safety", "multimodal"]
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
_CAPTIONS = {
    RISK_FILE: "Similarity S and risk r of safe and unsafe calibration queries, with the baseline S_base",
    THRESHOLD_FILE: "Share of unsafe queries let through and of safe queries flagged as the baseline moves",
}


def card_text(config: Mapping[str, Any], members: Collection[str] = ()) -> str:
    """The README.md of a pack with this (checked) config, in which plots among its ``members`` are shown."""
    from huggingface_hub import ModelCard, ModelCardData

    base_model = config["base_model"]
    on_hub = _HUB_ID.fullmatch(base_model["id"]) is not None and base_model["revision"] is not None
    # The Hub refuses a base model that is no Hub id, and a local path may look like one.
    relation = {"base_model": base_model["id"], "base_model_relation": "adapter"} if on_hub else {}
    data = ModelCardData(
        license=config["license"],
        library_name="ras_ext",
        pipeline_tag="image-text-to-text",
        tags=TAGS,
        **relation,
    )
    sections = [
        f"# {config['name']}",
        f"Steering vectors for risk-adaptive activation steering of {code(base_model['id'])}, made with ras_ext. "
        "They belong to this model only: loading them for another one is refused.",
        "## Use\n\n" + _use(config),
        "## Base model\n\n" + base_model_table(base_model),
        "## Thresholds\n\n" + thresholds_table(config["method"]),
        "## Calibration\n\n" + calibration_tables(config["calibration"]),
        "## Evidence\n\n" + evidence_section(config["evidence"], members),
    ]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def _use(config: Mapping[str, Any]) -> str:
    name, model = config["name"], config["base_model"]["id"]
    shipped = model == f"builtin:{name}"
    source = model if shipped else f"OWNER/{name}"
    pin = "" if shipped else ', revision="v1"'
    revision = config["base_model"]["revision"]
    base_pin = "" if revision is None else f", revision={_quoted(revision)}"
    lines = [
        "```\npip install ras-ext\n```",
        "```python\nimport ras_ext\n\n"
        f'vectors = ras_ext.load_vectors("{source}"{pin})\n'
        f"guard = ras_ext.Guard.from_pretrained({_quoted(model)}, vectors{base_pin})\n"
        'answer = guard.generate("picture.png", "What is this?")\n```',
    ]
    if not shipped:
        lines.append(
            f"`{source}` is this repository; a folder with these files will do as well. A tag such as `v1` can be "
            f"moved, a commit cannot: `ras-ext lock {source}` writes the commit and the sha256 of every byte to "
            '`ras.lock.json`, and `load_vectors(..., lock="ras.lock.json")` then takes these and no others.'
        )
    return "\n\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def evidence_section(evidence: Mapping[str, Any], members: Collection[str] = ()) -> str:
    """What was measured of answers, and the plots among ``members``; as Markdown."""
    rest = dict(evidence)
    parts = []
    known = evaluation_table(rest[KEY]) if isinstance(rest.get(KEY), Mapping) else None
    if known is not None:
        del rest[KEY]
        parts.append("### Answers\n\n" + known)
    if rest:
        parts.append(listing(rest))
    plots = [f"![{caption}]({name})" for name, caption in _CAPTIONS.items() if name in members]
    if plots:
        parts.append(
            f"### Similarities\n\nOf the queries the baseline was read from ([table]({SIMILARITIES_FILE})). A query "
            "counts as let through if its similarity is below S_base, which makes its risk less than one half, and "
            "as flagged if it is above. These are shares of similarities on the calibration's own queries, not of "
            "answers: "
            "what the model says under the defence is measured by `ras-ext eval`."
        )
        parts += plots
    return "\n\n".join(parts) or "None recorded."
